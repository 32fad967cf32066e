"""Exact shares of pixels that a polygon covers, and sums over them: loops compiled as those of `tiler.kernels`.

The area right of every edge is spread over the pixels of its rows, and summed from left to right, so that what lies
right of no edge, or of two of opposite direction, comes to nothing. Nothing is clipped, holes and parts need no special
case, and two polygons that share an edge get, between them, exactly what one polygon without it would get.
(The accumulation buffer of font renderers: R. Levien, font-rs, 2016.)
"""

from __future__ import annotations

import numpy as np
import shapely
from numba import njit

from tiler.vectors import polygons_of


def edges_of(shape: shapely.Geometry) -> np.ndarray:
    """Return the edges of polygons in pixels (x is the column, y the row), turned as `spread_edges` wants them.

    Returns:
        float64 (n, 4): column and row of the begin, column and row of the end.
    """
    parts = polygons_of(np.array([shape], object))
    rings = shapely.get_rings(shapely.normalize(parts))  # outlines turn one way, holes the other
    points, ring = shapely.get_coordinates(rings, return_index=True)
    joined = ring[1:] == ring[:-1]
    return np.concatenate([points[:-1], points[1:]], axis=1)[joined]


@njit(cache=True, nogil=True)
def spread_edges(sums: np.ndarray, edges: np.ndarray, y0: float, x0: float) -> None:
    """Add what lies right of edges to a rectangle of pixels, as differences along its rows.

    Args:
        sums: float64 (y, x + 1), changed: their running sum along a row is the share that is covered.
        edges: float64 (n, 4) of `edges_of`; those beside, above and below the rectangle count as they must.
        y0: row of the rectangle's first pixel.
        x0: its column.
    """
    height, width = sums.shape[0], sums.shape[1] - 1
    for edge in range(len(edges)):
        ax, ay, bx, by = edges[edge, 0] - x0, edges[edge, 1] - y0, edges[edge, 2] - x0, edges[edge, 3] - y0
        sign = 1.0
        if ay > by:  # always downwards: an edge and its reverse must cancel to the last bit
            ax, ay, bx, by, sign = bx, by, ax, ay, -1.0
        if ay == by or by <= 0 or ay >= height:
            continue
        slope = (bx - ax) / (by - ay)
        for row in range(int(max(np.floor(ay), 0.0)), int(min(np.ceil(by), float(height)))):
            top, bottom = max(ay, float(row)), min(by, row + 1.0)
            above, below = ax + (top - ay) * slope, ax + (bottom - ay) * slope
            left, right, drop = min(above, below), max(above, below), sign * (bottom - top)
            if right <= 0:
                sums[row, 0] += drop
            elif left == right:
                if left < width:
                    column = int(left)
                    sums[row, column] += drop * (column + 1 - left)
                    sums[row, column + 1] += drop * (left - column)
            else:
                per_column = drop / (right - left)
                if left < 0:
                    sums[row, 0] -= per_column * left
                for column in range(int(max(left, 0.0)), int(min(np.ceil(right), float(width)))):
                    begin, end = max(left, float(column)), min(right, column + 1.0)
                    part, middle = per_column * (end - begin), (begin + end) / 2
                    sums[row, column] += part * (column + 1 - middle)
                    sums[row, column + 1] += part * (middle - column)


@njit(cache=True, nogil=True)
def add_covered(
    sums: np.ndarray, y0: int, x0: int, values: np.ndarray, areas: np.ndarray, totals: np.ndarray, covered: np.ndarray
) -> None:
    """Sum the areas of covered pixels by their values, each by the share of it that is covered.

    Args:
        sums: float64 (height, width + 1) that `spread_edges` filled, of a part of the pixels of the arrays below.
        y0: row of the part's first pixel in them.
        x0: its column.
        values: uint8 (y, x).
        areas: float64 (y, x) of whole pixels.
        totals: float64 (value,), changed; its last place is for all values from there on.
        covered: float64 (y, x), changed: the share is added.
    """
    last = len(totals) - 1
    for row in range(sums.shape[0]):
        share, y = 0.0, y0 + row
        for column in range(sums.shape[1] - 1):
            x = x0 + column
            share += sums[row, column]
            totals[min(values[y, x], last)] += share * areas[y, x]
            covered[y, x] += share


@njit(cache=True, nogil=True)
def add_uneven(
    values: np.ndarray,
    areas: np.ndarray,
    covered: np.ndarray,
    whole: np.ndarray,
    outside: np.ndarray,
    twice: np.ndarray,
) -> None:
    """Sum the areas of all pixels by their values: whole, what is not covered, and what is covered more than once.

    Args:
        values: uint8 (y, x).
        areas: float64 (y, x).
        covered: float64 (y, x): how often each pixel is covered, as a sum of shares.
        whole: float64 (value,), changed; the last place of the three is for all values from there on.
        outside: float64 (value,), changed.
        twice: float64 (value,), changed.
    """
    last = len(whole) - 1
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            value, area, over = min(values[y, x], last), areas[y, x], covered[y, x] - 1
            whole[value] += area
            if over > 0:
                twice[value] += over * area
            else:
                outside[value] -= over * area


def shares_of(shape: shapely.Geometry, y0: int, x0: int, height: int, width: int) -> np.ndarray:
    """Return which share of each pixel of a rectangle polygons cover: float64 (y, x), 0 to 1."""
    sums = np.zeros((height, width + 1))
    spread_edges(sums, edges_of(shape), float(y0), float(x0))
    return np.asarray(sums.cumsum(axis=1)[:, :-1])
