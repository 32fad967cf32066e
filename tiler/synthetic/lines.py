"""Rivers and roads as straight pieces between scattered nodes, and the distance to the nearest one.

The pieces of a network are made tile by tile, each from hashes of its own cells and of a bounded neighbourhood, and
they are met at *warped* coordinates (`tiler.synthetic.terrain`), which is what makes them wind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tiler.synthetic.noise import Array, hash_cells, unit

WARP_M = 1_200.0
"""No place is moved further than this by the warp."""
TILE_CELLS = 4
"""Side of the square of network cells whose pieces are made together."""

Bounds = tuple[float, float, float, float]
"""x0, y0, x1, y1 in metres."""


@dataclass(frozen=True)
class Lines:
    """Straight pieces, each with a width."""

    ax: Array
    """float64 (n): start, metres east, warped."""
    ay: Array
    bx: Array
    by: Array
    half_width_m: Array
    """float32 (n)."""

    def __len__(self) -> int:
        """Number of pieces."""
        return len(self.ax)

    def near(self, bounds: Bounds, reach_m: float) -> Lines:
        """Return those whose bounding box comes within `reach_m` of a rectangle, in the same order."""
        x0, y0, x1, y1 = bounds
        keep = (np.minimum(self.ax, self.bx) < x1 + reach_m) & (np.maximum(self.ax, self.bx) > x0 - reach_m)
        keep &= (np.minimum(self.ay, self.by) < y1 + reach_m) & (np.maximum(self.ay, self.by) > y0 - reach_m)
        return Lines(self.ax[keep], self.ay[keep], self.bx[keep], self.by[keep], self.half_width_m[keep])

    @staticmethod
    def joined(parts: Iterable[Lines]) -> Lines:
        """Return the pieces of several, in order."""
        many = list(parts)
        names = ("ax", "ay", "bx", "by", "half_width_m")
        return Lines(*(np.concatenate([getattr(p, n) for p in many]) for n in names))

    def nearest(self, x_m: Array, y_m: Array, reach_m: float) -> tuple[Array, Array]:
        """Return the number of the nearest piece (int16, -1 beyond `reach_m`) and the distance (float32, clipped)."""
        best = np.full(x_m.shape, reach_m, np.float32)
        which = np.full(x_m.shape, -1, np.int16)
        for number in range(len(self)):
            distance = _distance(
                x_m, y_m, self.ax[number], self.ay[number], self.bx[number] - self.ax[number],
                self.by[number] - self.ay[number],
            )  # fmt: skip
            closer = distance < best
            best[closer], which[closer] = distance[closer], number
        return which, best

    def distance_to(self, which: Array, x_m: Array, y_m: Array) -> Array:
        """Return the distance, float32, of each place to the piece numbered for it."""
        ax, ay = self.ax[which], self.ay[which]
        return _distance(x_m, y_m, ax, ay, self.bx[which] - ax, self.by[which] - ay)


def _distance(x_m: Array, y_m: Array, ax: Array, ay: Array, dx: Array, dy: Array) -> Array:
    px, py = (x_m - ax).astype(np.float32), (y_m - ay).astype(np.float32)
    length2 = np.float32(1) / (dx * dx + dy * dy + 1e-3).astype(np.float32)
    dx, dy = dx.astype(np.float32), dy.astype(np.float32)
    along = (px * dx + py * dy) * length2
    np.clip(along, 0, 1, out=along)
    px = px - along * dx
    py = py - along * dy
    return np.sqrt(px * px + py * py)


class Network:
    """A network over the whole plane: pieces are made for tiles of cells when they are first asked for."""

    def __init__(self, spacing_m: float, reach_m: float, make: Callable[[Array, Array], Lines]) -> None:
        """`make(rows, cols)` returns the pieces that start in cells (1-D integers each, the cells of one tile)."""
        self.spacing_m, self.reach_m, self._make = spacing_m, reach_m, make
        self._tile = lru_cache(maxsize=4096)(self._make_tile)

    def within(self, bounds: Bounds) -> Lines:
        """Return the pieces that come within `reach_m` of a rectangle, in an order that does not depend on it."""
        margin, side = self.reach_m + 2 * self.spacing_m + WARP_M, self.spacing_m * TILE_CELLS
        x0, y0, x1, y1 = bounds
        rows = range(int((y0 - margin) // side), int((y1 + margin) // side) + 1)
        cols = range(int((x0 - margin) // side), int((x1 + margin) // side) + 1)
        return Lines.joined(self._tile(row, col) for row in rows for col in cols).near(bounds, self.reach_m)

    def _make_tile(self, row: int, col: int) -> Lines:
        inside = np.arange(TILE_CELLS)
        rows, cols = np.meshgrid(row * TILE_CELLS + inside, col * TILE_CELLS + inside, indexing="ij")
        return self._make(rows.ravel(), cols.ravel())


def scattered(key: int, rows: Array, cols: Array, spacing_m: float, share: float = 0.7) -> tuple[Array, Array]:
    """Return one place `(x_m, y_m)`, float64, in each cell, within the middle `share` of it."""
    hashes = hash_cells(key, rows, cols)
    dx, dy = (unit(hashes, 1) - 0.5) * share, (unit(hashes, 2) - 0.5) * share
    return (cols + 0.5 + dx) * spacing_m, (rows + 0.5 + dy) * spacing_m


NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


def drain(heights: Array, depth: int) -> tuple[Array, Array]:
    """Let each node of a lattice flow to its lowest neighbour.

    Args:
        heights: float (rows, cols); a margin of `depth + 1` nodes on each side serves as neighbourhood only.
        depth: how many nodes upstream are counted.

    Returns:
        int (rows, cols) index into `NEIGHBOURS` (-1: nothing lower), and the number of nodes that drain through each
        within `depth` steps; both correct inside the margin.
    """
    around = np.stack([np.roll(heights, (-dy, -dx), (0, 1)) for dy, dx in NEIGHBOURS])
    lowest = around.argmin(axis=0)
    down = np.where(around.min(axis=0) < heights, lowest, -1)
    count: Array = np.ones(heights.shape)
    for _ in range(depth):
        above = [np.roll(np.where(down == k, count, 0), step, (0, 1)) for k, step in enumerate(NEIGHBOURS)]
        count = 1 + np.sum(above, axis=0)
    return down, count
