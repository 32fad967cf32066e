"""Random samples of pixels of a map by stratum, drawn in one pass, whatever the map's cells and their order.

Each pixel gets a random number from its place alone: by that and its area it stands in a race, and the first n of a
stratum are its sample (Efraimidis and Spirakis 2006, Weighted random sampling with a reservoir). So pixels are drawn
without replacement and, where their areas differ, in proportion to them; and a larger sample contains a smaller one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numba import njit

from tiler.grids import Box, MapGrid
from tiler.pixel_areas import pixel_areas

_GOLDEN = 0x9E3779B97F4A7C15
_ONE, _TWO = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


@njit(cache=True, nogil=True)
def _mixed(number: np.uint64) -> np.uint64:
    """Return a number whose bits all depend on all bits of another (splitmix64, Steele et al. 2014)."""
    number = (number ^ (number >> np.uint64(30))) * np.uint64(_ONE)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(_TWO)
    return number ^ (number >> np.uint64(31))


@njit(cache=True, nogil=True)
def uniforms(y0: int, x0: int, height: int, width: int, seed: int) -> np.ndarray:
    """Return a random number between 0 and 1, neither of them, for each of some absolute map pixels.

    Returns:
        float64 (height, width); the same for a pixel in whatever rectangle.
    """
    found = np.empty((height, width))
    for y in range(height):
        row = _mixed(_mixed(np.uint64(seed) + np.uint64(_GOLDEN)) + np.uint64(y0 + y))
        for x in range(width):
            bits = _mixed(row + np.uint64(x0 + x) * np.uint64(_GOLDEN))
            found[y, x] = (np.float64(bits >> np.uint64(12)) + 0.5) * 2.0**-52
    return found


@dataclass(frozen=True)
class Drawn:
    """The pixels of a stratum that are first in the race, the first first."""

    keys: np.ndarray
    """float64 (n,), rising."""
    rows: np.ndarray
    """int64 (n,): of absolute map pixels."""
    cols: np.ndarray
    """int64 (n,)."""

    def first(self, count: int) -> Drawn:
        """Return the sample of that size."""
        return Drawn(self.keys[:count], self.rows[:count], self.cols[:count])


@dataclass(frozen=True)
class Stratum:
    """What there is of a stratum, and who of it is drawn."""

    units: int
    """Pixels."""
    area_m2: float
    drawn: Drawn


def draw(
    read: Callable[[Box], np.ndarray], strata: int, most: int, grid: MapGrid, extent: Box, seed: int, threads: int = 1
) -> list[Stratum]:
    """Count the strata of a map and draw pixels of each.

    Args:
        read: returns the stratum of absolute map pixels, uint8 (y, x); what is none belongs to no stratum.
        strata: how many there are, from 0.
        most: pixels to draw of each, where it has so many.
        grid: the map grid.
        extent: absolute map pixels of the map.
        seed: of the random numbers.
        threads: cells that are held at once.
    """

    def of_cell(box: Box) -> list[Stratum]:
        return _of_box(read(box), strata, most, grid, box, seed)

    found = [Stratum(0, 0.0, Drawn(*np.empty((3, 0))))] * strata
    with ThreadPoolExecutor(threads, "sample") as pool:
        for parts in pool.map(of_cell, [MapGrid.box_of(cell).clip(extent) for cell in MapGrid.cells_of(extent)]):
            found = [_merged((one, part), most) for one, part in zip(found, parts, strict=True)]
    return found


def _of_box(stratum: np.ndarray, strata: int, most: int, grid: MapGrid, box: Box, seed: int) -> list[Stratum]:
    areas = pixel_areas(grid, box)
    with np.errstate(divide="ignore"):  # a pixel without area comes last
        keys = -np.log(uniforms(box.y0, box.x0, box.height, box.width, seed)) / areas
    found = []
    for place in range(strata):
        members = np.flatnonzero(stratum.ravel() == place)
        of_members = keys.ravel()[members]
        if len(members) > most:
            first = np.argpartition(of_members, most)[:most]
            drawn, of_drawn = members[first], of_members[first]
        else:
            drawn, of_drawn = members, of_members
        rows, cols = np.divmod(drawn, box.width)
        part = Drawn(of_drawn, rows + box.y0, cols + box.x0)
        found.append(Stratum(len(members), float(areas.ravel()[members].sum()), part))
    return found


def _merged(parts: Iterable[Stratum], most: int) -> Stratum:
    parts = list(parts)
    columns = (np.concatenate([getattr(part.drawn, name) for part in parts]) for name in ("keys", "rows", "cols"))
    keys, rows, cols = columns
    order = np.lexsort((cols, rows, keys))[:most]
    drawn = Drawn(keys[order], rows[order].astype(np.int64), cols[order].astype(np.int64))
    return Stratum(sum(part.units for part in parts), sum(part.area_m2 for part in parts), drawn)
