"""What a map saw of an area, and how it differs from the map before: counted block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cluster.markers import Markers
from cluster.storage import Storage
from jobs.cells import CellTask
from jobs.inherit import SCENES
from jobs.products import class_of
from tiler.classes import NO_CLASS
from tiler.grids import Box, Cell, MapGrid
from tiler.map_store import MapStore
from tiler.regions import Regions


@dataclass(frozen=True)
class MapChange:
    """How what is mapped changed, on ground that both maps saw; of any class but background."""

    before_px: int
    """That were of a class."""
    gained_px: int
    """That are now and were not."""
    lost_px: int
    """That were and are not now."""
    pixel_area_m2: float | None
    """None on a geographic grid."""

    def share(self, part_px: int) -> float:
        """Return a part as a share of what was mapped before; where that was nothing, of one pixel."""
        return part_px / max(1, self.before_px)


@dataclass(frozen=True)
class PublishedMap:
    """A finished map in the folder of a run."""

    run: Storage
    name: str
    """Of its store."""
    threshold: float
    pixel_area_m2: float | None = None

    def store(self) -> MapStore:
        """Open it."""
        return MapStore(f"{self.run.url}/mosaic/{self.name}.zarr")

    def scenes_of(self, row: int) -> dict[str, object]:
        """Return what touches the cells of a row, by the units of this map's own name."""
        records = Markers(self.run.child("markers/mosaic")).read_all(f"{self.name}_r{row}")
        return {unit: record["record"].get(SCENES) for unit, record in records.items()}


def compare(before: PublishedMap, now: PublishedMap) -> MapChange | None:
    """Count how a map differs from the one before; None where grids or classes are others.

    Cells that the same scenes made, by the same rule of fusion, at the same threshold, are the same, and are read once.
    """
    old, new = before.store(), now.store()
    if (old.grid, old.classes) != (new.grid, new.classes):
        return None
    alike = before.threshold == now.threshold and _fusion(old) == _fusion(new)
    counted = np.zeros(3, np.int64)
    for row, cells in _rows(new.extent, old.extent):
        theirs, ours = before.scenes_of(row), now.scenes_of(row)
        for box, cell in cells:
            made = [of.get(CellTask(one.name, cell, ()).unit) for of, one in ((theirs, before), (ours, now))]
            was = _mapped(old, box, before.threshold)
            same = alike and made[0] is not None and made[0] == made[1]
            counted += _count(was, was if same else _mapped(new, box, now.threshold))
    before_px, gained_px, lost_px = counted.tolist()
    return MapChange(before_px, gained_px, lost_px, now.pixel_area_m2)


def _fusion(store: MapStore) -> object:
    made_of = store.group.attrs.get("made_of")
    return made_of.get("fusion") if isinstance(made_of, dict) else None


def _count(was: np.ndarray, is_now: np.ndarray) -> list[int]:
    both = (was != NO_CLASS) & (is_now != NO_CLASS)
    return [int(np.count_nonzero(both & one)) for one in (was == 1, was < is_now, was > is_now)]


def seen_share(store: MapStore, area: Regions, area_px: float) -> float:
    """Return which share of an area any scene saw.

    Args:
        store: the map.
        area: as one region.
        area_px: how many pixels of the map's grid it covers, also outside of the map.
    """
    parts = MapGrid.parts_of(store.extent)
    seen = sum(int(np.count_nonzero(store.read("count", box)[area.at(box) >= 0])) for box in parts)
    return min(1.0, seen / area_px)


def _mapped(store: MapStore, box: Box, threshold: float) -> np.ndarray:
    """Return uint8 (y, x): 1 of any class but background, 0 of background, 255 unseen."""
    classes = class_of(store.read("logit", box), threshold)
    return np.where(classes == NO_CLASS, classes, np.minimum(classes, 1))


def _rows(extent: Box, other: Box) -> Iterator[tuple[int, list[tuple[Box, Cell]]]]:
    """Yield the rows of cells of two maps, each with what both maps have of its cells."""
    both = extent.clip(other)
    found: dict[int, list[tuple[Box, Cell]]] = {}
    for cell in () if both.empty else MapGrid.cells_of(both):
        found.setdefault(cell.row, []).append((MapGrid.box_of(cell).clip(both), cell))
    yield from found.items()
