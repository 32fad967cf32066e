"""Where the work of a run lies on the ground, and how far it is: every unit of Ingest, Infer and Mosaic with its state.

What is known is in storage: markers, failures, flags of windows. So it can be asked of a run that is at work, from any
machine that sees its folder, and of one that has ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from cluster.markers import unit_of
from cluster.units import Units, unfinished
from jobs.decisions import decide
from jobs.failures import failures_of
from jobs.infer import complete
from jobs.plan import LogitPlan, Run, key_of
from jobs.runner import markers_of
from jobs.window_faults import read_faults, window_name
from tiler.grids import Box, MapGrid, PixelGrid
from tiler.lattice import Lattice
from tiler.logit_store import QUARANTINED, WindowShard
from tiler.shards import shard_box

DONE, PENDING, FAILED, SKIPPED, QUARANTINED_WINDOW = "d", "p", "f", "s", "q"
MOST_UNITS = 50_000
"""Units of a stage that are drawn; a stage of more is left out, and nobody is asked for their states."""


@dataclass(frozen=True)
class Work:
    """A unit of work on the ground."""

    unit: str
    grid: PixelGrid
    box: Box
    """Pixels of `grid` that it is about."""


@dataclass(frozen=True)
class StageMap:
    """The units of a stage and the state of each."""

    stage: str
    work: tuple[Work, ...]
    """Empty where there are none, or more than `MOST_UNITS`."""
    states: str
    """A letter for each of `work`: `DONE`, `PENDING`, `FAILED`, `SKIPPED` or `QUARANTINED_WINDOW`."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Of units that failed."""

    def count(self, state: str) -> int:
        """Return how many units are in a state."""
        return self.states.count(state)


@dataclass(frozen=True)
class RunMap:
    """All that is planned of a run, with its state."""

    stages: tuple[StageMap, ...]

    @property
    def plan(self) -> str:
        """What identifies the units and their order, whatever their states."""
        return key_of([(one.stage, len(one.states), one.work[:1], one.work[-1:]) for one in self.stages])


def run_map(run: Run) -> RunMap:
    """Look at the folder of a run; nothing is written."""
    stages = [_ingest(run)]
    precision = decide(run, None) if run.config.models else None
    if precision is not None:
        plans = run.logits(precision)
        stages += [_infer(run, plans), _quarantined(run, plans), _mosaic(run, plans)]
    return RunMap(tuple(stages))


def _stage(run: Run, stage: str, groups: Sequence[Units], works: Iterable[Work], skipped: Iterable[bool]) -> StageMap:
    """Ask markers and failures for the state of every unit.

    Args:
        run: the run.
        stage: its name.
        groups: of the units.
        works: where each lies, in the same order.
        skipped: which have nothing to do.
    """
    if sum(map(len, groups)) > MOST_UNITS:
        return StageMap(stage, (), "")
    left = list(chain(*unfinished(markers_of(run.storage, stage), groups)))
    reasons = {unit: str(facts["reason"]) for unit, facts in failures_of(run.storage, stage).items()}
    names = (unit_of(key) for group in groups for key in group)
    states = "".join(
        SKIPPED if none else FAILED if name in reasons else PENDING if is_left else DONE
        for name, is_left, none in zip(names, left, skipped, strict=True)
    )
    work = tuple(works)
    known = {one.unit for one in work}
    return StageMap(stage, work, states, {unit: reason for unit, reason in reasons.items() if unit in known})


def _ingest(run: Run) -> StageMap:
    grids = {plan.name: plan.scene.grid for plan in run.scenes}
    groups = [plan.shards() for plan in run.scenes]
    works = (Work(one.unit, grids[one.scene], shard_box(one, grids[one.scene])) for group in groups for one in group)
    return _stage(run, "ingest", groups, works, (False for group in groups for _ in group))


def _infer(run: Run, plans: Sequence[LogitPlan]) -> StageMap:
    by_name = {plan.name: plan for plan in plans}
    groups = [plan.shards() for plan in plans]

    def shards() -> Iterator[tuple[LogitPlan, WindowShard]]:
        return ((by_name[one.scene], one) for group in groups for one in group)

    works = (
        Work(one.unit, plan.source.scene.grid, shard_pixels(plan.lattice, one.row, one.col)) for plan, one in shards()
    )
    skipped = (
        plan.wanted is not None and not any(plan.wanted[place] for place in plan.lattice.shard(one.row, one.col))
        for plan, one in shards()
    )
    return _stage(run, "infer", groups, works, skipped)


def shard_pixels(lattice: Lattice, row: int, col: int) -> Box:
    """Return the pixels that the windows of a shard own between them."""
    places = list(lattice.shard(row, col))
    first, last = lattice.own(*places[0]), lattice.own(*places[-1])
    return Box(first.y0, first.x0, last.y1, last.x1)


def _quarantined(run: Run, plans: Sequence[LogitPlan]) -> StageMap:
    """Return the windows that are not in the map, though their units are done."""
    work = [
        Work(f"{plan.name}/{window_name(row, col)}", plan.source.scene.grid, plan.lattice.own(row, col))
        for plan, flags in read_faults(run.storage, plans).scenes
        for row, col in np.argwhere(flags & QUARANTINED).tolist()
    ]
    return StageMap("quarantined windows", tuple(work[:MOST_UNITS]), QUARANTINED_WINDOW * len(work[:MOST_UNITS]))


def _mosaic(run: Run, plans: Sequence[LogitPlan]) -> StageMap:
    """Return the cells of the map: of the scenes that are inferred, once all others have failed."""
    finished = complete(run, plans)
    stores = {unit.split("/")[0] for stage in ("ingest", "infer") for unit in failures_of(run.storage, stage)}
    failed = [plan for plan in plans if {plan.name, plan.source.name} & stores and plan not in finished]
    chosen = finished if finished and len(finished) + len(failed) == len(plans) else list(plans)
    plan = run.mosaic(chosen)
    groups = plan.tasks.by_row()
    works = (
        Work(task.unit, plan.grid.pixels, MapGrid.box_of(task.cell).clip(plan.extent))
        for group in groups
        for task in group
    )
    return _stage(run, "mosaic", groups, works, (False for group in groups for _ in group))
