"""Mosaic: blend the windows of every scene, warp them to the map grid, fuse the scenes; each cell is written once.

python -m jobs.mosaic examples/aberystwyth/map.yaml
sandan mosaic map.yaml --set grid='{crs: EPSG:5179, resolution_m: 10}'
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.engine import Engine
from cluster.units import unfinished
from jobs.cells import MosaicPlan
from jobs.config import RunConfig
from jobs.decisions import decide
from jobs.estimate import Estimate, mosaic_memory
from jobs.infer import complete, require_ingested, window_layers
from jobs.inherit import heirs, inherit
from jobs.pace import Work
from jobs.plan import CONTRACTS, LogitPlan, Precision, Run, key_of, plan_run
from jobs.room import crew_here
from jobs.runner import Outcome, engine_of, markers_of, report_failures, run_stage
from jobs.shell import DONE, INCOMPLETE, Job, run_job
from jobs.stages import Mosaic
from jobs.stale import Wanted, explained, stale_stores
from jobs.supervise import supervision
from jobs.time_left import Rest
from tiler.grids import CELL_PX
from tiler.map_store import create_map_store
from tiler.stores import is_complete, keep_facts


def mosaic(run: Run, engine: Engine, plans: Sequence[LogitPlan], plan: MosaicPlan) -> Outcome:
    """Make every cell of the map that is not made yet."""
    url = run.url("mosaic", plan.name)
    if not is_complete(url):
        cells_of_map = (t.cell for t in plan.tasks)
        create_map_store(url, plan.grid, cells_of_map, plan.extent, run.classes, run.config.infer.uncertainty)
        keep_facts(url, {"made_of": dict(plan.made_of)})
    taken = 0 if supervision().joins else inherit(run.storage, markers_of(run.storage, "mosaic"), plan)
    if taken:
        print(f"mosaic: {taken} cells are those of an earlier map", file=sys.stderr)
    stage = Mosaic(
        stores={p.name: (run.url("ingest", p.source.name), run.url("infer", p.name)) for p in plans},
        map_url=url,
        most=run.config.fuse.most,
    )
    expected = mosaic_memory(CELL_PX, _map_layers(run))
    cells = plan.tasks.by_row()
    return run_stage(engine, run.storage, "mosaic", stage, cells, "cells", memory_bytes=expected, work=_work(run))


def _work(run: Run) -> Work:
    """Return what the time of Mosaic goes with: the scenes of a cell."""
    settings = run.config.infer
    how = [CONTRACTS["mosaic"], run.classes, settings.tile_px, settings.overlap_px]
    how += ["uncertainty"] * settings.uncertainty
    return Work(lambda task: len(task.scenes), key_of(how))


def _map_layers(run: Run) -> int:
    """Return how many float32 layers a map has."""
    return window_layers(run) + (len(run.classes) if run.config.infer.uncertainty else 0)


def estimate(run: Run) -> Estimate:
    """Return what Mosaic has to do."""
    precision = decide(run, None) or Precision("cuda", "bf16", 8)
    plans = run.logits(precision)
    plan = run.mosaic(plans)
    markers = markers_of(run.storage, "mosaic")
    groups = plan.tasks.by_row()
    masks = unfinished(markers, groups)
    left = sum(map(sum, masks)) - sum(1 for _ in heirs(run.storage, markers, plan))
    rest = Rest("mosaic", "cells", groups, masks, left * plan.tasks.scenes_per_cell)
    scene_px = sum(p.source.scene.grid.height * p.source.scene.grid.width for p in plans)
    share = left / len(plan.tasks)
    return Estimate(
        stage="mosaic",
        units=len(plan.tasks),
        unit="cells",
        done=len(plan.tasks) - left,
        read_bytes=int(scene_px * (window_layers(run) * 2 + 1) * share),
        write_bytes=int(plan.extent.height * plan.extent.width * (_map_layers(run) * 4 + 2 + 4) * share),
        peak_memory_bytes=mosaic_memory(CELL_PX, _map_layers(run)),
        folder=run.config.out if run.storage.is_local else "",
        notes=tuple(explained("mosaic", stale_stores(run.storage, "mosaic", [wanted(plan)]))),
        time=rest.time(run.storage, _work(run), crew_here(run.config.engine)) if left else None,
    )


def wanted(plan: MosaicPlan) -> Wanted:
    """Return the store that Mosaic fills."""
    return Wanted("", plan.name, plan.made_of)


def planned_map(run: Run) -> tuple[list[LogitPlan], MosaicPlan]:
    """Return the finished logits of a run and the map that they make.

    Raises:
        ValueError: a scene has no complete logits.
    """
    precision = decide(run, None)
    plans = [] if precision is None else list(run.logits(precision))
    finished = complete(run, plans)
    missing = [s.scene.id for s in run.scenes if s.name not in {p.source.name for p in finished}]
    if missing:
        raise ValueError(f"scenes {missing} have no complete logits in {run.config.out}; run `sandan infer` first")
    return finished, run.mosaic(finished)


@dataclass(frozen=True)
class PlannedMosaic:
    """The job, checked."""

    planned: Run
    plans: list[LogitPlan]
    map: MosaicPlan

    def estimates(self) -> list[Estimate]:
        """Return what there is to do."""
        return [estimate(self.planned)]

    def run(self) -> int:
        """Make the cells."""
        with engine_of(self.planned.config.engine) as engine:
            outcome = mosaic(self.planned, engine, self.plans, self.map)
        left_out = Outcome("infer", 0, 0, partly=self.map.faults.quarantined())
        report_failures([left_out, outcome])
        made = outcome.total - len(outcome.failed)
        print(f"{made} of {outcome.total} cells in {self.planned.url('mosaic', self.map.name)}")
        return INCOMPLETE if outcome.failed or left_out.partly else DONE


def plan_mosaic(config: RunConfig) -> PlannedMosaic:
    """Check a run whose windows are inferred.

    Raises:
        ValueError: bad input, or a scene that is not inferred.
    """
    run = plan_run(config)
    _ = run.cards, run.rule
    require_ingested(run)
    return PlannedMosaic(run, *planned_map(run))


JOB = Job(
    name="mosaic",
    summary="Blend the windows of every scene, warp them to the map grid, fuse the scenes.",
    example="  sandan mosaic examples/aberystwyth/map.yaml\n"
    "  sandan mosaic map.yaml --set 'grid={crs: EPSG:5179, resolution_m: 10}' --dry-run",
    kind=RunConfig,
    plan=plan_mosaic,
    helps=True,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_job(JOB, argv)


if __name__ == "__main__":
    sys.exit(main())
