"""Cells that are as they were: taken over from an earlier map of the run instead of being made again.

A map is named by everything in it, so that a scene that was replaced or added makes another map. Most of its cells are
those of the map before: the same scenes touch them. On a disk they become further names of the same files, which never
change: shards are replaced, not written into. In an object store they are copied there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, compress, groupby
from typing import Any

from cluster.markers import Markers
from cluster.storage import Storage
from cluster.units import unfinished
from jobs.cells import CellTask, MosaicPlan
from tiler.grids import Cell
from tiler.map_store import MapStore, cell_keys

SCENES, LACKING = "scenes", "quarantined_windows"
"""In the marker of a cell: a digest of what touches it, and windows that are missing there."""
SAME = ("contract", "grid", "classes", "fusion", "uncertainty")
"""Of what a map is made of, what its cells must share."""


@dataclass(frozen=True)
class Heir:
    """A cell that is to be made, and one that is the same."""

    task: CellTask
    map: str
    """Name of the earlier map."""
    record: Mapping[str, Any]
    """Of the earlier cell's marker."""


def heirs(storage: Storage, markers: Markers, plan: MosaicPlan) -> Iterator[Heir]:
    """Yield the cells without a marker that an earlier map of the same grid has with the same scenes.

    Args:
        storage: of the run.
        markers: of Mosaic.
        plan: of the map that is to be made.
    """
    groups = plan.tasks.by_row()
    masks, affected = unfinished(markers, groups), set(plan.affected)
    undone = chain.from_iterable(map(compress, groups, masks))
    left = [task for task in undone if task.cell not in affected]
    for name in _earlier(storage, plan) if left else ():
        rest: list[CellTask] = []
        for row, tasks in groupby(left, key=lambda task: task.cell.row):
            records = markers.read_all(f"{name}_r{row}")
            for task in tasks:
                record = records.get(CellTask(name, task.cell, ()).unit, {}).get("record", {})
                if record.get(SCENES) == task.scenes_key and not record.get(LACKING):
                    yield Heir(task, name, record)
                else:
                    rest.append(task)
        left = rest
        if not left:
            return


def inherit(storage: Storage, markers: Markers, plan: MosaicPlan) -> int:
    """Take over what `heirs` finds into the plan's map, whose store is there; return how many cells."""
    target = MapStore(f"{storage.url}/{_store(plan.name)}")
    sources: dict[str, MapStore] = {}
    count = 0
    for heir in heirs(storage, markers, plan):
        if heir.map not in sources:
            sources[heir.map] = MapStore(f"{storage.url}/{_store(heir.map)}")
        for old, new in _keys(sources[heir.map], target, heir.task.cell):
            storage.copy(f"{_store(heir.map)}/{old}", f"{_store(plan.name)}/{new}")
        record = {**heir.record, "inherited": heir.map}
        count += markers.create(heir.task.unit, {"stage": "mosaic", "unit": heir.task.unit, "record": record})
    return count


def _keys(source: MapStore, target: MapStore, cell: Cell) -> Iterator[tuple[str, str]]:
    return zip(cell_keys(source, cell), cell_keys(target, cell), strict=True)


def _store(name: str) -> str:
    return f"mosaic/{name}.zarr"


def _earlier(storage: Storage, plan: MosaicPlan) -> Iterator[str]:
    """Yield the names of maps on the same grid, by the same contract and of the same classes."""
    for folder in sorted(storage.folders("mosaic")):
        name = folder.removesuffix(".zarr")
        if name == plan.name:
            continue
        try:
            made_of = MapStore(f"{storage.url}/{_store(name)}").group.attrs.get("made_of")
        except FileNotFoundError:  # its creation was cut short
            continue
        if isinstance(made_of, dict) and all(made_of.get(fact) == plan.made_of.get(fact) for fact in SAME):
            yield name
