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
from itertools import compress
from typing import Protocol

from cluster.engine import Engine
from cluster.storage import Storage
from cluster.units import unfinished
from jobs.config import RunConfig
from jobs.estimate import Estimate, infer_memory
from jobs.infer_stage import Infer
from jobs.ingest import ingested
from jobs.plan import LogitPlan, Precision, Run, key_of, plan_run
from jobs.runner import Outcome, engine_of, markers_of, report_failures, run_stage
from jobs.shell import DONE, INCOMPLETE, Job, run_job
from tiler.logit_store import create_logit_store
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


def make_logit_store(run: Run, plan: LogitPlan) -> None:
    """Make the empty logit store of a scene, if there is none."""
    url = run.url("infer", plan.name)
    if not is_complete(url):
        create_logit_store(url, plan.source.scene.id, plan.lattice, run.classes, plan.wanted)


def infer_stage(run: Run, plans: Sequence[LogitPlan], precision: Precision) -> Infer:
    """Return what a worker needs to run the networks over the scenes of a run."""
    return Infer(
        stores={p.name: (run.url("ingest", p.source.name), run.url("infer", p.name)) for p in plans},
        bundles=run.config.models,
        channels=run.channels,
        coarse=run.coarse_channels,
        tta=run.config.infer.tta,
        average=run.config.infer.average,
        precision=precision,
    )


def infer(run: Run, engine: Engine, plans: Sequence[LogitPlan], precision: Precision) -> Outcome:
    """Run the networks over every window of every scene that has no logits yet."""
    by_name = {plan.name: plan for plan in plans}
    return run_stage(
        engine,
        run.storage,
        "infer",
        infer_stage(run, plans, precision),
        [plan.shards() for plan in plans],
        "window shards",
        prepare=lambda name: make_logit_store(run, by_name[name]),
    )


def complete(run: Run, plans: Sequence[LogitPlan]) -> list[LogitPlan]:
    """Return the plans of which every shard is done."""
    return [plan for plan, left in zip(plans, _left(run, plans), strict=True) if not any(left)]


def _left(run: Run, plans: Sequence[LogitPlan]) -> list[bytes]:
    return unfinished(markers_of(run.storage, "infer"), [plan.shards() for plan in plans])


def _windows(plan: LogitPlan, left: bytes) -> int:
    """Return how many windows a scene has that are still to do."""
    if all(left):
        return plan.lattice.rows * plan.lattice.cols
    return sum(plan.lattice.windows_in(shard.row, shard.col) for shard in compress(plan.shards(), left))


def estimate(run: Run) -> Estimate:
    """Return what Infer has to do."""
    settings, precision = run.config.infer, decide(run, None)
    notes: tuple[str, ...] = ()
    if precision is None:
        notes = ("infer: precision and batch are auto and decided by the cluster's workers at the first start",)
    assumed = precision or Precision("cuda", "bf16", WINDOWS_PER_BATCH["cuda"])
    plans = run.logits(assumed)
    masks = _left(run, plans) if precision else [b"\1" * len(plan.shards()) for plan in plans]
    units, left = sum(map(len, masks)), sum(map(sum, masks))
    windows = sum(_windows(plan, mask) for plan, mask in zip(plans, masks, strict=True))
    tile = settings.tile_px
    itemsize = max(2, *(4 if p.source.scene.dtype == "float32" else 2 for p in plans))
    weights = sum(Storage(path).size("weights.safetensors") for path in run.config.models)
    return Estimate(
        stage="infer",
        units=units,
        unit="window shards",
        done=units - left,
        read_bytes=windows * tile**2 * (len(run.sensor.bands) * itemsize + 1),
        write_bytes=windows * tile**2 * 2 * len(run.classes) * 2,
        peak_memory_bytes=infer_memory(
            tile,
            len(run.channels),
            max(p.lattice.shard_windows for p in plans),
            assumed.batch,
            VIEWS[settings.tta],
            weights,
        ),
        folder=run.config.out if run.storage.is_local else "",
        notes=notes,
    )


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
    _ = run.cards
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
