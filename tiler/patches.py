"""Patches: the pixels of one class that hang together by their sides, found cell by cell over a whole map.

    PatchFinder.add (one cell, in reading order)  ->  labels of the cell, rows of the table  ->  table (all cells)

A patch that goes on in the next cell has a row for each; which rows are one patch the pairs along the cells' borders
say. Only tables grow with the map: a row is some hundred bytes, and what is too small to be kept never gets one where
it lies within a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import compress
from typing import Literal

import numpy as np

from tiler.classes import NO_CLASS
from tiler.components import joined
from tiler.grids import Box

OUTSIDE = 255
"""Kind of a patch that is of no class: background, or what nobody saw."""


@dataclass(frozen=True)
class PolygonRules:
    """Which sites there are, and how they are drawn."""

    connectivity: Literal[4, 8] = 8
    """Whether pixels that meet at a corner only are of one site (8) or not (4)."""
    min_area_m2: float = 0.0
    """Smaller sites are left out."""
    min_hole_m2: float = 0.0
    """Smaller holes are filled, if there is nothing in them: no other site, and no pixel that nobody saw."""
    simplify_px: float = 0.0
    """How far an outline may move, in pixels; 0 keeps every corner."""


@dataclass(frozen=True)
class SiteLayers:
    """A part of a map, as polygons want it; all arrays (y, x)."""

    kind: np.ndarray
    """uint8: 0 background, 255 unseen, else the class."""
    means: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Numbers whose mean over a site is wanted; NaN is left out."""
    bounds: Mapping[str, tuple[np.ndarray, int]] = field(default_factory=dict)
    """Whole numbers whose least and most are wanted, each with the number that says that there is none."""
    lies_in: Mapping[str, np.ndarray] = field(default_factory=dict)
    """int32: which numbered thing a pixel lies in, such as a region, -1 for none; wanted is how many pixels of a site
    lie in each."""


@dataclass(frozen=True)
class PatchTable:
    """The patches of all cells, by their names from 1 on; row 0 is of no patch. All arrays (patch + 1,)."""

    kind: np.ndarray
    """uint8: the class, or `OUTSIDE`."""
    pixels: np.ndarray
    area_m2: np.ndarray
    first: np.ndarray
    """int64: place of its first pixel in reading order, row times width of the map plus column."""
    last_row: np.ndarray
    open: np.ndarray
    """bool: holds a pixel that nobody saw, or lies at the border of the map."""
    sums: Mapping[str, tuple[np.ndarray, np.ndarray]]
    """Of each of `means`: sum, and how many numbers."""
    bounds: Mapping[str, tuple[np.ndarray, np.ndarray]]
    """Least and most; the least exceeds the most where there is none."""
    lies_in: Mapping[str, np.ndarray]
    """Of each of `lies_in`: int64 (n, 3), patch, thing, pixels."""
    beside: np.ndarray
    """int64 (n, 2): patches that lie beside each other; of one kind: the parts of a patch in two cells."""
    corners: np.ndarray
    """int64 (n, 2): patches of one class that meet at a corner."""


class PatchFinder:
    """Finds the patches of a map whose cells come row by row, from left to right."""

    def __init__(self, extent: Box, rules: PolygonRules) -> None:
        self._extent, self._rules = extent, rules
        self._holes = rules.min_hole_m2 > 0
        self._count = 0
        self._parts: list[dict[str, np.ndarray]] = []
        self._lies_in: dict[str, list[np.ndarray]] = {}
        self._beside: list[np.ndarray] = []
        self._corners: list[np.ndarray] = []
        # names and kinds of the last line of the cells above, and of this row of cells; place x + 1 is column x
        self._above, self._below = (np.zeros((2, extent.width + 1), np.int64) for _ in range(2))
        self._left = np.zeros((2, 0), np.int64)

    def add(self, box: Box, layers: SiteLayers, areas_of: Callable[[Box], np.ndarray]) -> tuple[np.ndarray, int]:
        """Add a cell.

        Args:
            box: its absolute map pixels.
            layers: its pixels.
            areas_of: returns the areas of pixels in square metres, float64 (y, x).

        Returns:
            int32 (y, x): the label of each pixel, 0 for none; and what makes a label a name: add it.
        """
        from tiler.patch_kernels import label_patches

        labels = np.empty(layers.kind.shape, np.int32)
        kinds = np.where(layers.kind == NO_CLASS, np.uint8(0), layers.kind)
        count = label_patches(kinds, labels)
        areas_m2 = areas_of(box) if count or self._holes else np.zeros(labels.shape)
        if self._rules.min_area_m2 > 0 and count:
            kinds[self._small(labels, kinds, count, areas_m2)[labels]] = 0
            count = label_patches(kinds, labels)
        if self._holes:
            kinds[kinds == 0] = OUTSIDE
            count = label_patches(kinds, labels)
        self._describe(box, layers, areas_m2, labels, kinds, count)
        self._meet(box, labels, kinds)
        offset, self._count = self._count, self._count + count
        return labels, offset

    def _small(self, labels: np.ndarray, kinds: np.ndarray, count: int, areas_m2: np.ndarray) -> np.ndarray:
        """Return bool (label + 1,): whether it is of a site that lies within the cell and is too small."""
        from tiler.patch_kernels import across_corners, add_up

        site = np.arange(count + 1)
        if self._rules.connectivity == 8:
            site = joined(count + 1, _pairs(partial(across_corners, labels, kinds)))
        area = np.zeros(count + 1)
        add_up(labels, areas_m2, area, np.zeros(count + 1, np.int64))
        whole = np.bincount(site, area)
        small = whole < self._rules.min_area_m2
        for edge in _edges(labels):
            small[site[edge]] = False
        small = small[site]
        small[0] = False
        return np.asarray(small)

    def _describe(
        self, box: Box, layers: SiteLayers, areas_m2: np.ndarray, labels: np.ndarray, kinds: np.ndarray, count: int
    ) -> None:
        from tiler.patch_kernels import add_up, bounds, extents

        first, last_row, pixels = (np.zeros(count + 1, np.int64) for _ in range(3))
        extents(labels, first, last_row, pixels)
        rows, cols = np.divmod(first[1:], box.width)
        part: dict[str, np.ndarray] = {"pixels": pixels[1:], "last_row": last_row[1:] + box.y0 - self._extent.y0}
        part["first"] = (rows + box.y0 - self._extent.y0) * self._extent.width + cols + box.x0 - self._extent.x0
        part["kind"] = kinds.ravel()[first[1:]]
        open_at_border = np.zeros(count + 1, bool)
        if self._holes:
            open_at_border[np.unique(labels[layers.kind == NO_CLASS])] = True
            whole = self._extent
            at_border = box.y0 == whole.y0, box.y1 == whole.y1, box.x0 == whole.x0, box.x1 == whole.x1
            for edge in compress(_edges(labels), at_border):
                open_at_border[edge] = True
        part["open"] = open_at_border[1:]
        for name, layer in {"area": areas_m2, **{f"mean {name}": one for name, one in layers.means.items()}}.items():
            sums, counts = np.zeros(count + 1), np.zeros(count + 1, np.int64)
            add_up(labels, layer, sums, counts)
            part[f"sum {name}"], part[f"count {name}"] = sums[1:], counts[1:]
        for name, (layer, missing) in layers.bounds.items():
            least, most = np.full(count + 1, 2**62, np.int64), np.full(count + 1, -(2**62), np.int64)
            bounds(labels, layer, missing, least, most)
            part[f"least {name}"], part[f"most {name}"] = least[1:], most[1:]
        self._parts.append(part)
        for name, things in layers.lies_in.items() if count else ():
            self._lies_in.setdefault(name, []).append(_shares(labels, things) + np.array([self._count, 0, 0]))

    def _meet(self, box: Box, labels: np.ndarray, kinds: np.ndarray) -> None:
        """Note which patches lie beside each other, across the cell's borders, too."""
        from tiler.patch_kernels import across_corners, beside

        x0, x1 = box.x0 - self._extent.x0, box.x1 - self._extent.x0
        if x0 == 0:
            self._above, self._below = self._below, np.zeros_like(self._below)
            self._left = np.zeros((2, box.height), np.int64)
        line = self._above[:, x0 : x1 + 1]  # from the column before the cell
        top, bottom, left, right = (
            np.stack([np.where(names > 0, names + np.int64(self._count), 0), of.astype(np.int64)])
            for names, of in zip(_edges(labels), _edges(kinds), strict=True)
        )
        strips = (
            np.stack([line, np.append(self._left[:, :1], top, 1)], axis=1),
            np.stack([np.append(line[:, :1], self._left, 1), np.append(line[:, 1:2], left, 1)], axis=2),
        )
        if self._holes:
            self._beside.append(_pairs(partial(beside, labels)) + self._count)
        self._beside += [_pairs(partial(beside, strip[0])) for strip in strips]
        if self._rules.connectivity == 8:
            self._corners.append(_pairs(partial(across_corners, labels, kinds)) + self._count)
            self._corners += [_pairs(partial(across_corners, *strip)) for strip in strips]
        self._below[:, x0 + 1 : x1 + 1], self._left = bottom, right

    def table(self) -> PatchTable:
        """Return what was found, once every cell was added."""
        names = list(self._parts[0])

        def column(name: str) -> np.ndarray:
            values = np.concatenate([part[name] for part in self._parts])
            for part in self._parts:
                del part[name]
            return np.concatenate([np.zeros(1, values.dtype), values])

        def pairs(found: list[np.ndarray], width: int) -> np.ndarray:
            return np.concatenate([np.zeros((0, width), np.int64), *found])

        whole = {name: column(name) for name in names}
        means = [name.removeprefix("sum ") for name in names if name.startswith("sum mean ")]
        limits = [name.removeprefix("least ") for name in names if name.startswith("least ")]
        return PatchTable(
            **{name: whole[name] for name in ("kind", "pixels", "first", "last_row", "open")},
            area_m2=whole["sum area"],
            sums={n.removeprefix("mean "): (whole[f"sum {n}"], whole[f"count {n}"]) for n in means},
            bounds={n: (whole[f"least {n}"], whole[f"most {n}"]) for n in limits},
            lies_in={name: pairs(found, 3) for name, found in self._lies_in.items()},
            beside=pairs(self._beside, 2),
            corners=pairs(self._corners, 2),
        )


def _pairs(list_into: Callable[[np.ndarray], int]) -> np.ndarray:
    """Return the pairs that a kernel lists, each once: int64 (n, 2)."""
    found = np.empty((1 << 14, 2), np.int64)
    count = list_into(found)
    if count > len(found):
        found = np.empty((count, 2), np.int64)
        list_into(found)
    packed = np.unique(found[:count, 0] << 32 | found[:count, 1])
    return np.stack([packed >> 32, packed & 0xFFFFFFFF], axis=1)


def _shares(labels: np.ndarray, things: np.ndarray) -> np.ndarray:
    """Return how many pixels of each label lie in each thing: int64 (n, 3) of label, thing, pixels."""
    there = (labels > 0) & (things >= 0)
    keys = labels[there].astype(np.int64) << 32 | things[there]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    lengths = np.diff(starts, append=keys.size)
    packed, place = np.unique(keys[starts], return_inverse=True)
    pixels = np.bincount(place, lengths, len(packed)).astype(np.int64)
    return np.stack([packed >> 32, packed & 0xFFFFFFFF, pixels], axis=1)


def _edges(array: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the first and the last row and column."""
    return array[0], array[-1], array[:, 0], array[:, -1]
