"""Ingest: the files of every scene into its scene store, of a data set or of a frame series into one store.

python -m jobs.ingest examples/aberystwyth/map.yaml
sandan ingest examples/aberystwyth/map.yaml --dry-run
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cluster.engine import Engine
from cluster.units import grouped, unfinished
from jobs.config import RunConfig
from jobs.estimate import INGEST_IN_FLIGHT, Estimate, coarse_memory, ingest_memory
from jobs.kinds import plan_of
from jobs.pace import Work
from jobs.plan import CONTRACTS, Run, ScenePlan, key_of
from jobs.room import crew_here
from jobs.runner import Outcome, engine_of, markers_of, report_failures, run_stage
from jobs.shell import DONE, INCOMPLETE, Job, Planned, run_job
from jobs.stages import QUALITY, Ingest, Summarise
from jobs.stale import Wanted, explained, stale_stores
from jobs.time_left import Rest
from tiler.scene_store import create_scene_store
from tiler.scenes import Scene
from tiler.shards import Shard, shard_box, shard_shape
from tiler.stores import is_complete, keep_facts


def ingest(run: Run, engine: Engine) -> list[Outcome]:
    """Ingest every scene of a run that is not yet, and measure its quality.

    A scene whose files turn out damaged is left without its closing marker; the others are not touched by that.
    """
    run.modalities.write(run.storage)
    for note in run.modalities.notes(len(run.scenes)):
        print(note, file=sys.stderr)
    by_name = {plan.name: plan for plan in _open_scenes(run)}
    stage = Ingest({s.name: (s.scene, s.labels, run.url("ingest", s.name)) for s in by_name.values()})

    def make_store(name: str) -> None:
        url = run.url("ingest", name)
        if not is_complete(url):
            create_scene_store(url, by_name[name].scene, by_name[name].labels is not None)
            keep_facts(url, {"made_of": dict(by_name[name].made_of)})

    shards = [plan.shards() for plan in by_name.values()]
    filled = run_stage(
        *(engine, run.storage, "ingest", stage, shards, "shards"),
        memory_bytes=memory(run),
        work=_work(run),
        prepare=make_store,
        at_once=INGEST_IN_FLIGHT,
    )
    closed = sum(len(plan.shards()) for plan in run.scenes if plan.name not in by_name)
    filled.total, filled.before = filled.total + closed, filled.before + closed
    damaged = {unit.rpartition("/")[0] for unit in filled.failed}
    summarise = Summarise({s.name: (s.scene.coarse, run.url("ingest", s.name)) for s in run.scenes})
    closing = [s.name + QUALITY for s in run.scenes if s.name not in damaged]
    summed = run_stage(engine, run.storage, "ingest", summarise, grouped(closing), "scenes", facts_as="quality")
    return [filled, summed]


def _open_scenes(run: Run) -> list[ScenePlan]:
    """Return the scenes that lack their closing marker; nothing is left of the others."""
    done = markers_of(run.storage, "ingest").done()
    return [s for s in run.scenes if s.name + QUALITY not in done]


def ingested(run: Run) -> Run:
    """Return the run with only the scenes that are ingested to their end."""
    return run.without(s.name for s in _open_scenes(run))


def estimate(run: Run) -> Estimate:
    """Return what Ingest has to do."""
    plans = _open_scenes(run)
    masks = unfinished(markers_of(run.storage, "ingest"), [plan.shards() for plan in plans])
    share = [(plan, sum(mask), len(mask)) for plan, mask in zip(plans, masks, strict=True)]
    units, left = sum(len(plan.shards()) for plan in run.scenes), sum(map(sum, masks))
    coarse = sum(c.size_bytes for plan in plans for c in plan.scene.coarse)
    todo_px = sum(_pixels(plan) / shards * todo for plan, todo, shards in share)
    known = dict(zip((plan.name for plan in plans), masks, strict=True))
    groups = [plan.shards() for plan in run.scenes]
    rest = Rest("ingest", "shards", groups, [known.get(g.folder, bytes(len(g))) for g in groups], todo_px)
    return Estimate(
        stage="ingest",
        units=units,
        unit="shards",
        done=units - left,
        read_bytes=sum(plan.scene.size_bytes // shards * todo for plan, todo, shards in share) + coarse,
        write_bytes=sum(_store_bytes(plan) // shards * todo for plan, todo, shards in share) + coarse,
        peak_memory_bytes=memory(run),
        folder=run.config.out if run.storage.is_local else "",
        notes=(
            *run.modalities.notes(len(run.scenes)),
            *explained("ingest", stale_stores(run.storage, "ingest", wanted(run))),
        ),
        time=rest.time(run.storage, _work(run), crew_here(run.config.engine)) if left else None,
    )


def wanted(run: Run) -> list[Wanted]:
    """Return the stores that Ingest fills."""
    return [Wanted(plan.scene.id, plan.name, plan.made_of) for plan in run.scenes]


def memory(run: Run) -> int:
    """Return the expected peak of a worker, in bytes."""
    return max(_peak_memory(plan.scene) for plan in run.scenes)


def _peak_memory(scene: Scene) -> int:
    shard = ingest_memory(max(shard_shape(scene.grid)), len(scene.sensor.bands), np.dtype(scene.dtype).itemsize)
    return max(shard, coarse_memory(sum(coarse.size_bytes // 4 for coarse in scene.coarse)))


def _store_bytes(plan: ScenePlan) -> int:
    scene = plan.scene
    per_pixel = len(scene.sensor.bands) * np.dtype(scene.dtype).itemsize + 1 + (plan.labels is not None)
    return _pixels(plan) * per_pixel


def _pixels(plan: ScenePlan) -> int:
    return plan.scene.grid.height * plan.scene.grid.width


def _work(run: Run) -> Work:
    """Return what the time of Ingest goes with: the pixels of a shard."""
    grids = {plan.name: plan.scene.grid for plan in run.scenes}

    def pixels(shard: Shard) -> int:
        box = shard_box(shard, grids[shard.scene])
        return box.height * box.width

    return Work(pixels, key_of(CONTRACTS["ingest"], run.sensor.model_dump(mode="json"), run.config.labels is not None))


@dataclass(frozen=True)
class PlannedIngest:
    """The job, checked."""

    planned: Run

    def estimates(self) -> list[Estimate]:
        """Return what there is to do."""
        return [estimate(self.planned)]

    def run(self) -> int:
        """Ingest, and name the scenes that could not be."""
        with engine_of(self.planned.config.engine) as engine:
            outcomes = ingest(self.planned, engine)
        report_failures(outcomes)
        good = ingested(self.planned)
        print(f"{len(good.scenes)} of {len(self.planned.scenes)} scenes ingested in {self.planned.config.out}/ingest")
        return DONE if len(good.scenes) == len(self.planned.scenes) else INCOMPLETE


def plan_ingest(config: RunConfig) -> Planned:
    """Check a run of scenes, a data set or a frame series.

    Raises:
        ValueError: bad input.
    """
    planned = plan_of(config)
    return PlannedIngest(planned) if isinstance(planned, Run) else planned


JOB = Job(
    name="ingest",
    summary="Read scenes into scene stores, a data set into a tile store, or frames into a frame store, with validity.",
    example="  sandan ingest examples/aberystwyth/map.yaml\n"
    "  sandan ingest map.yaml --set out=s3://bucket/runs/june --dry-run\n"
    "  sandan ingest weather.yaml   (a run with `frames`; repeat it when new files have arrived)",
    kind=RunConfig,
    plan=plan_ingest,
    helps=True,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_job(JOB, argv)


if __name__ == "__main__":
    sys.exit(main())
