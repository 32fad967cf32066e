"""Places of pixels: world coordinates of any rectangle of a scene, and coarse nodes for what changes slowly.

Coordinates and slow fields are computed at nodes that are counted from the scene's own first pixel, and interpolated
by the same few multiplications for every pixel, so that a rectangle gets the same bits alone or inside a larger one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyproj

from tiler.grids import Box, PixelGrid
from tiler.synthetic.country import WORLD_CRS
from tiler.synthetic.lines import Bounds
from tiler.synthetic.noise import Array
from tiler.synthetic.terrain import bounds_of

GEO_STEP_PX = 64
"""Pixels between nodes of the map projection; its curvature over 640 m is below a millimetre."""
MIDDLE_M, HALF_M = (1_000_000.0, 2_000_000.0), 2_300_000.0
"""The square of the plane in which scenes may lie; further out the projection stretches too much."""
NODE_PX = 4
"""Pixels between nodes of slow fields: 40 m."""


@lru_cache(maxsize=32)
def transformer(source: str, target: str) -> pyproj.Transformer:
    """Return the change of coordinates, x before y."""
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def interpolate(nodes: Array, first: tuple[int, int], rows: Array, cols: Array, step: int) -> Array:
    """Return values between nodes by straight lines.

    Args:
        nodes: (row, col), node (0, 0) standing at pixel `first * step`.
        first: number of the first node.
        rows: float64 (y) pixels.
        cols: float64 (x) pixels.
        step: pixels between nodes.

    Returns:
        (y, x) in the dtype of `nodes`.
    """
    r, c = rows / step - first[0], cols / step - first[1]
    r0, c0 = np.floor(r).astype(int), np.floor(c).astype(int)
    fr, fc = (r - r0).astype(nodes.dtype)[:, None], (c - c0).astype(nodes.dtype)[None]
    down = nodes[r0] * (1 - fr) + nodes[r0 + 1] * fr
    # `take` keeps rows contiguous, which indexing with [:, c0] does not.
    return np.asarray(down.take(c0, axis=1) * (1 - fc) + down.take(c0 + 1, axis=1) * fc)


def world_xy(grid: PixelGrid, rows: Array, cols: Array) -> tuple[Array, Array]:
    """Return world coordinates of the centres of pixels, float64 (y, x) metres.

    Args:
        grid: the scene.
        rows: integers (y); may lie outside the scene.
        cols: integers (x).
    """
    step = GEO_STEP_PX
    first = int(rows[0]) // step, int(cols[0]) // step
    node_rows = np.arange(first[0], int(rows[-1]) // step + 2) * float(step)
    node_cols = np.arange(first[1], int(cols[-1]) // step + 2) * float(step)
    x, y = grid.xy(*np.meshgrid(node_rows + 0.5, node_cols + 0.5, indexing="ij"))
    x, y = transformer(grid.crs, WORLD_CRS).transform(x, y)
    if not ((abs(x - MIDDLE_M[0]) < HALF_M).all() and (abs(y - MIDDLE_M[1]) < HALF_M).all()):
        raise ValueError(
            f"a scene in {grid.crs[:40]!r} at {grid.transform[2]:.0f}, {grid.transform[5]:.0f} lies outside the plane "
            f"of the synthetic world ({WORLD_CRS}); choose a place in East Asia"
        )
    rows, cols = rows.astype(float), cols.astype(float)
    return interpolate(x, first, rows, cols, step), interpolate(y, first, rows, cols, step)


class Nodes(NamedTuple):
    """Coarse nodes around a rectangle, with one more on each side for slopes."""

    first: tuple[int, int]
    x_m: Array
    y_m: Array


@dataclass(frozen=True, eq=False)
class Patch:
    """A rectangle of a scene's pixels with their places in the world."""

    box: Box
    """Pixels of the 10 m grid that the scene is drawn on; may reach outside the scene."""
    x_m: Array
    """float64 (y, x)."""
    y_m: Array
    nodes: Nodes

    @staticmethod
    def of(grid: PixelGrid, box: Box) -> Patch:
        """Return the places of a rectangle of a scene."""
        rows, cols = np.arange(box.y0, box.y1), np.arange(box.x0, box.x1)
        x, y = world_xy(grid, rows, cols)
        first = box.y0 // NODE_PX - 1, box.x0 // NODE_PX - 1
        node_rows = np.arange(first[0], (box.y1 - 1) // NODE_PX + 3) * NODE_PX
        node_cols = np.arange(first[1], (box.x1 - 1) // NODE_PX + 3) * NODE_PX
        return Patch(box, x, y, Nodes(first, *world_xy(grid, node_rows, node_cols)))

    @property
    def bounds(self) -> Bounds:
        """The rectangle of the world around it."""
        return bounds_of(self.nodes.x_m, self.nodes.y_m)

    def spread(self, nodes: Array) -> Array:
        """Return a field given at the nodes at every pixel, by straight lines."""
        rows = np.arange(self.box.y0, self.box.y1, dtype=float)
        cols = np.arange(self.box.x0, self.box.x1, dtype=float)
        return interpolate(nodes, self.nodes.first, rows, cols, NODE_PX)

    def repeat(self, nodes: Array) -> Array:
        """Return at every pixel the value of the nearest node."""
        rows = (np.arange(self.box.y0, self.box.y1) + NODE_PX // 2) // NODE_PX - self.nodes.first[0]
        cols = (np.arange(self.box.x0, self.box.x1) + NODE_PX // 2) // NODE_PX - self.nodes.first[1]
        return np.asarray(nodes[rows].take(cols, axis=1))
