"""Infer: every network, in every view, over every window of every scene; logits and their spread are kept.

python -m jobs.infer examples/aberystwyth/map.yaml
sandan infer map.yaml --set infer.overlap_px=128 --dry-run
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import compress

import numpy as np

from cluster.engine import Engine
from cluster.storage import Storage
from cluster.units import unfinished
from jobs.config import VIEWS, RunConfig
from jobs.decisions import WINDOWS_PER_BATCH, decide, decision_name, measures, window_pace
from jobs.estimate import Estimate, activation_bytes, infer_memory
from jobs.infer_stage import Infer
from jobs.ingest import ingested
from jobs.pace import Work
from jobs.plan import CONTRACTS, LogitPlan, Precision, Run, key_of, plan_run
from jobs.room import crew_here
from jobs.runner import Outcome, engine_of, markers_of, report_failures, run_stage
from jobs.shell import DONE, INCOMPLETE, Job, run_job
from jobs.stale import Wanted, explained, stale_stores
from jobs.teams import most_teams, planned_teams
from jobs.time_left import Rest
from jobs.window_faults import read_faults, remarks
from tiler.logit_store import create_logit_store, layer_names
from tiler.stores import is_complete, keep_facts


def make_logit_store(run: Run, plan: LogitPlan) -> None:
    """Make the empty logit store of a scene, if there is none."""
    url = run.url("infer", plan.name)
    if not is_complete(url):
        uncertainty = run.config.infer.uncertainty
        create_logit_store(url, plan.source.scene.id, plan.lattice, run.classes, plan.wanted, uncertainty)
        keep_facts(url, {"made_of": dict(plan.made_of)})


def window_layers(run: Run) -> int:
    """Return how many layers a window of logits has."""
    return len(layer_names(run.classes, run.config.infer.uncertainty))


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
        rule=run.rule,
        uncertainty=run.config.infer.uncertainty,
        teams=planned_teams(run.config.engine, precision),
    )


def infer(run: Run, engine: Engine, plans: Sequence[LogitPlan], precision: Precision) -> Outcome:
    """Run the networks over every window of every scene that has no logits yet.

    Quarantined windows of scenes that are done are `partly` in the outcome, whoever did them.
    """
    by_name = {plan.name: plan for plan in plans}
    outcome = run_stage(
        engine,
        run.storage,
        "infer",
        infer_stage(run, plans, precision),
        [plan.shards() for plan in plans],
        "window shards",
        memory_bytes=memory(run, plans, precision),
        work=_work(run, plans, precision),
        prepare=lambda name: make_logit_store(run, by_name[name]),
    )
    left = {unit.rpartition("/")[0] for unit in outcome.failed}
    faults = read_faults(run.storage, [plan for plan in plans if plan.name not in left])
    outcome.partly = faults.quarantined()
    for said in remarks(faults.counts):
        print(f"infer: {said}", file=sys.stderr)
    return outcome


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
    if precision and measures(run.config) and not run.storage.exists(decision_name(run.config)):
        notes = (
            f"infer: precision and batch are auto: {assumed.precision} and {assumed.batch} windows a pass are assumed, "
            "the first start measures",
        )
    plans = run.logits(assumed)
    masks = _left(run, plans) if precision else [b"\1" * len(plan.shards()) for plan in plans]
    units, left = sum(map(len, masks)), sum(map(sum, masks))
    windows = sum(_windows(plan, mask) for plan, mask in zip(plans, masks, strict=True))
    tile = settings.tile_px
    rest = Rest("infer", "window shards", [plan.shards() for plan in plans], masks, windows)
    time = None
    if left:
        work, crew = _work(run, plans, assumed), crew_here(run.config.engine)
        time = rest.time(run.storage, work, crew, assumed.device == "cuda", otherwise=window_pace(run))
    return Estimate(
        stage="infer",
        units=units,
        unit="window shards",
        done=units - left,
        read_bytes=windows * tile**2 * (len(run.sensor.bands) * itemsize(plans) + 1),
        write_bytes=windows * tile**2 * window_layers(run) * 2,
        peak_memory_bytes=memory(run, plans, assumed),
        folder=run.config.out if run.storage.is_local else "",
        notes=(*notes, *explained("infer", stale_stores(run.storage, "infer", wanted(plans)))),
        time=time,
    )


def _work(run: Run, plans: Sequence[LogitPlan], precision: Precision) -> Work:
    """Return what the time of Infer goes with: the windows of a shard."""
    lattices, settings = {plan.name: plan.lattice for plan in plans}, run.config.infer
    rule = None if run.rule is None else run.rule.digest()
    bundles = [card.digest() for card in run.cards]
    how = [CONTRACTS["infer"], bundles, settings.tile_px, settings.tta, settings.average, asdict(precision), rule]
    how += ["uncertainty"] * settings.uncertainty
    return Work(lambda shard: lattices[shard.scene].windows_in(shard.row, shard.col), key_of(how))


def wanted(plans: Sequence[LogitPlan]) -> list[Wanted]:
    """Return the stores that Infer fills."""
    return [Wanted(plan.source.scene.id, plan.name, plan.made_of) for plan in plans]


def memory(run: Run, plans: Sequence[LogitPlan], precision: Precision) -> int:
    """Return the expected peak of a worker, in bytes; of one whose cores nobody knows here, the most that it may be."""
    sizes = [Storage(path).size("weights.safetensors") for path in run.config.models]
    return infer_memory(
        max((plan.lattice for plan in plans), key=lambda lattice: lattice.shard_windows),
        bands=len(run.sensor.bands),
        itemsize=itemsize(plans),
        coarse=len(run.coarse_channels),
        layers=window_layers(run),
        tiles_per_pass=precision.batch * VIEWS[run.config.infer.tta],
        passes=most_teams(run.config.engine, precision).count,
        activation_bytes=activation_bytes(run.cards, precision.precision),
        weight_bytes=sum(sizes) + (max(sizes) if run.rule else 0),  # the first pass has a copy of its own
    )


def itemsize(plans: Sequence[LogitPlan]) -> int:
    """Return bytes of the widest stored value of any scene."""
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
        return DONE if len(finished) == len(plans) and not outcome.partly else INCOMPLETE


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
    helps=True,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_job(JOB, argv)


if __name__ == "__main__":
    sys.exit(main())
