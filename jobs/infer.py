"""Infer: every network, in every view, over every window of every scene; logits and their spread are kept.

python -m jobs.infer examples/aberystwyth/map.yaml
sandan infer map.yaml --set infer.overlap_px=128 --dry-run
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np

from cluster.engine import Engine
from cluster.storage import Storage
from jobs.config import RunConfig
from jobs.estimate import Estimate, activation_bytes, infer_memory
from jobs.infer_stage import Infer
from jobs.ingest import ingested
from jobs.plan import LogitPlan, Precision, Run, key_of, plan_run
from jobs.runner import Outcome, engine_of, markers_of, report_failures, run_stage
from jobs.shell import DONE, INCOMPLETE, Job, run_job
from tiler.logit_store import WindowShard, create_logit_store
from tiler.stores import is_complete

WINDOWS_PER_BATCH = {"cpu": 1, "cuda": 8}
"""`batch: auto` by kind of device; each window counts once for each of its views."""
VIEWS = {"none": 1, "flips4": 4}


def probe() -> tuple[str, str]:
    """Return the device and the precision that suit the machine this runs on."""
    import torch

    from models.precision import choose

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return device, choose(device)


class Configured(Protocol):
    """What a decision is made for and kept with: a run of scenes, or of a data set."""

    @property
    def config(self) -> RunConfig:
        """Its configuration."""
        ...

    @property
    def storage(self) -> Storage:
        """Its folder."""
        ...


def decide(run: Configured, engine: Engine | None) -> Precision | None:
    """Resolve what `infer` leaves to "auto", once: the decision is kept with the run and found again on resume.

    Args:
        run: the run.
        engine: asked for what its workers can do, if they may be on other machines; None asks nobody.

    Returns:
        The decision, or None where only workers elsewhere could tell.
    """
    settings, workers = run.config.infer, run.config.engine
    name = f"decisions/{key_of(settings.model_dump(mode='json'), workers.model_dump(mode='json'))}.json"
    if run.storage.exists(name):
        return Precision(**json.loads(run.storage.get(name)))
    elsewhere = workers.kind == "ray" and (workers.address or os.environ.get("RAY_ADDRESS"))
    if elsewhere and engine is None:
        return None
    device, precision = engine.ask(probe) if elsewhere and engine is not None else probe()
    if workers.gpus_per_worker == 0:
        device, precision = "cpu", precision if device == "cpu" else "fp32"
    decision = Precision(
        device,
        precision if settings.precision == "auto" else settings.precision,
        WINDOWS_PER_BATCH[device] if settings.batch == "auto" else settings.batch,
    )
    if engine is not None:
        run.storage.put(name, json.dumps(asdict(decision)).encode())
    return decision


def infer_stage(run: Run, plans: Sequence[LogitPlan], precision: Precision) -> tuple[Infer, list[WindowShard]]:
    """Make the logit stores that do not exist; return the stage and every unit of it."""
    for plan in plans:
        url = run.url("infer", plan.name)
        if not is_complete(url):
            create_logit_store(url, plan.source.scene.id, plan.lattice, run.classes, plan.wanted)
    stage = Infer(
        stores={p.name: (run.url("ingest", p.source.name), run.url("infer", p.name)) for p in plans},
        bundles=run.config.models,
        channels=run.channels,
        coarse=run.coarse_channels,
        tta=run.config.infer.tta,
        average=run.config.infer.average,
        precision=precision,
        rule=run.rule,
    )
    return stage, [shard for plan in plans for shard in plan.shards()]


def infer(run: Run, engine: Engine, plans: Sequence[LogitPlan], precision: Precision) -> Outcome:
    """Run the networks over every window of every scene that has no logits yet."""
    stage, shards = infer_stage(run, plans, precision)
    expected = memory(run, plans, precision)
    return run_stage(engine, run.storage, "infer", stage, shards, "window shards", memory_bytes=expected)


def complete(run: Run, plans: Sequence[LogitPlan]) -> list[LogitPlan]:
    """Return the plans of which every shard is done."""
    done = markers_of(run.storage, "infer").done()
    return [plan for plan in plans if all(shard.unit in done for shard in plan.shards())]


def estimate(run: Run) -> Estimate:
    """Return what Infer has to do."""
    settings, precision = run.config.infer, decide(run, None)
    notes: tuple[str, ...] = ()
    if precision is None:
        notes = ("infer: precision and batch are auto and decided by the cluster's workers at the first start",)
    assumed = precision or Precision("cuda", "bf16", WINDOWS_PER_BATCH["cuda"])
    plans = run.logits(assumed)
    done = markers_of(run.storage, "infer").done() if precision else set()
    shards = [(plan, shard) for plan in plans for shard in plan.shards()]
    left = [(plan, shard) for plan, shard in shards if shard.unit not in done]
    windows = sum(1 for plan, shard in left for _ in plan.lattice.shard(shard.row, shard.col))
    tile = settings.tile_px
    return Estimate(
        stage="infer",
        units=len(shards),
        unit="window shards",
        done=len(shards) - len(left),
        read_bytes=windows * tile**2 * (len(run.sensor.bands) * _itemsize(plans) + 1),
        write_bytes=windows * tile**2 * 2 * len(run.classes) * 2,
        peak_memory_bytes=memory(run, plans, assumed),
        folder=run.config.out if run.storage.is_local else "",
        notes=notes,
    )


def memory(run: Run, plans: Sequence[LogitPlan], precision: Precision) -> int:
    """Return the expected peak of a worker, in bytes."""
    weights = sum(Storage(path).size("weights.safetensors") for path in run.config.models)
    return infer_memory(
        max((plan.lattice for plan in plans), key=lambda lattice: lattice.shard_windows),
        bands=len(run.sensor.bands),
        itemsize=_itemsize(plans),
        coarse=len(run.coarse_channels),
        classes=len(run.classes),
        tiles_per_pass=precision.batch * VIEWS[run.config.infer.tta],
        activation_bytes=activation_bytes((card.architecture for card in run.cards), precision.precision),
        weight_bytes=weights,
    )


def _itemsize(plans: Sequence[LogitPlan]) -> int:
    return max(np.dtype(plan.source.scene.dtype).itemsize for plan in plans)


@dataclass(frozen=True)
class PlannedInfer:
    """The job, checked."""

    planned: Run

    def estimates(self) -> list[Estimate]:
        """Return what there is to do."""
        return [estimate(self.planned)]

    def run(self) -> int:
        """Infer, and name the scenes that could not be."""
        run = self.planned
        with engine_of(run.config.engine) as engine:
            precision = decide(run, engine)
            assert precision is not None
            plans = run.logits(precision)
            outcome = infer(run, engine, plans, precision)
        report_failures([outcome])
        finished = complete(run, plans)
        print(f"{len(finished)} of {len(plans)} scenes inferred in {run.config.out}/infer")
        return DONE if len(finished) == len(plans) else INCOMPLETE


def plan_infer(config: RunConfig) -> PlannedInfer:
    """Check a run whose scenes are ingested.

    Raises:
        ValueError: bad input, or a scene that is not ingested.
    """
    run = plan_run(config)
    _ = run.cards, run.rule
    require_ingested(run)
    return PlannedInfer(run)


def require_ingested(run: Run) -> None:
    """Refuse a run with scenes that are not ingested.

    Raises:
        ValueError: names them.
    """
    good = {s.name for s in ingested(run).scenes}
    missing = [s.scene.id for s in run.scenes if s.name not in good]
    if missing:
        raise ValueError(
            f"scenes {missing} are not ingested in {run.config.out}; run `sandan ingest` first, or `sandan map`, which "
            f"does all of it"
        )


JOB = Job(
    name="infer",
    summary="Run every network in every view over every window; keep logits and their spread.",
    example="  sandan infer examples/aberystwyth/map.yaml\n"
    "  sandan infer map.yaml --set infer.overlap_px=128 --set engine.kind=serial --dry-run",
    kind=RunConfig,
    plan=plan_infer,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_job(JOB, argv)


if __name__ == "__main__":
    sys.exit(main())
