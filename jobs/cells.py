"""The cells of a map and the scenes that touch each: the units of work of Mosaic, held as numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import pairwise
from typing import overload

import numpy as np

from cluster.units import Units
from jobs.window_faults import WindowFaults
from tiler.grids import Box, Cell, MapGrid


@dataclass(frozen=True)
class CellTask:
    """One cell of one map with the scenes that touch it: the unit of work of Mosaic."""

    map: str
    cell: Cell
    scenes: tuple[str, ...]
    """Names of logit stores, in order of scene ids."""

    @property
    def unit(self) -> str:
        """The name of the unit of work; a row of cells has a folder."""
        return f"{self.map}_r{self.cell.row}/c{self.cell.col}"

    @property
    def scenes_key(self) -> str:
        """What makes the cell, beside its place and the grid: a digest of the names of its scenes' logits, in order."""
        return hashlib.sha256("\n".join(self.scenes).encode()).hexdigest()[:12]


class CellTasks(Sequence[CellTask]):
    """All cells that a scene may touch, row by row: twelve bytes for each cell of each scene, not a list of tasks."""

    def __init__(self, name: str, scenes: Sequence[str], touched: np.ndarray) -> None:
        """Sort what touches what.

        Args:
            name: of the map.
            scenes: names of logit stores, in order of scene ids.
            touched: int (n, 3): row and column of a cell, and the place in `scenes` of one that touches it; any order.
        """
        self._map, self._scenes = name, tuple(scenes)
        self._touched = touched[np.lexsort(touched.T[::-1])].astype(np.int32)
        cells = self._touched[:, :2]
        new = np.ones(len(cells), bool)
        new[1:] = (cells[1:] != cells[:-1]).any(axis=1)
        self._starts = np.append(np.flatnonzero(new), len(cells))

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, place: int) -> CellTask: ...

    @overload
    def __getitem__(self, place: slice) -> list[CellTask]: ...

    def __getitem__(self, place: int | slice) -> CellTask | list[CellTask]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        rows = self._touched[self._starts[place] : self._starts[place + 1]].tolist()
        return CellTask(self._map, Cell(rows[0][0], rows[0][1]), tuple(self._scenes[i] for _, _, i in rows))

    @property
    def scenes_per_cell(self) -> float:
        """How many scenes touch a cell, on average."""
        return len(self._touched) / len(self)

    def touched_by(self, scene: str) -> list[Cell]:
        """Return the cells that a scene touches, by the name of its logits."""
        rows = self._touched[self._touched[:, 2] == self._scenes.index(scene)]
        return [Cell(row, col) for row, col, _ in rows.tolist()]

    def by_row(self) -> list[Units[CellTask]]:
        """Return the tasks in groups that share a folder of markers: a row of cells each."""
        rows = self._touched[self._starts[:-1], 0]
        starts = [0, *(np.flatnonzero(np.diff(rows)) + 1).tolist(), len(self)]
        return [
            Units(f"{self._map}_r{rows[a]}", b - a, partial(map, self.__getitem__, range(a, b)))
            for a, b in pairwise(starts)
        ]


@dataclass(frozen=True)
class MosaicPlan:
    """The map of a run."""

    name: str
    """Key of the map: the store is `mosaic/<name>.zarr`."""
    grid: MapGrid
    extent: Box
    tasks: CellTasks
    made_of: Mapping[str, str] = field(default_factory=dict)
    """What the key stands for, by name: digests."""
    faults: WindowFaults = field(default=WindowFaults(), compare=False)
    """What has to be known of the scenes' windows: those that are quarantined are not in the map."""

    @cached_property
    def affected(self) -> tuple[Cell, ...]:
        """The cells that a quarantined window reaches: pixels there are seen by fewer scenes, or blended of fewer."""
        return self.faults.affected(self.grid, self.tasks.touched_by)
