"""Semi-Lagrangian advection, compiled: where air came from, and what it brought along.

After Staniforth and Cote (1991, Mon. Weather Rev. 119:2206). One long step: the way back is followed in short pieces
through a wind that stands still, and fields are interpolated once, so that little is smeared. The plane closes on
itself from east to west; in the north and south the last row is repeated.
"""

from __future__ import annotations

import numpy as np
from numba import njit

Array = np.ndarray


@njit(cache=True, nogil=True, inline="always")
def _wrapped(x: float, width: int) -> float:
    """Return a column of [0, width); winds go around the plane once in a step at most, so this is no division."""
    while x < 0.0:
        x += width
    while x >= width:
        x -= width
    return x


@njit(cache=True, nogil=True)
def departures(east: Array, south: Array, pieces: int) -> tuple[Array, Array]:
    """Return where the air of each pixel was one step before.

    Args:
        east: float32 (y, x): wind in pixels a step.
        south: float32 (y, x): likewise, along the rows.
        pieces: into which the step is cut; each is a midpoint step.

    Returns:
        float64 (y, x) rows in [0, y - 1], and columns in [0, x): the plane wraps.
    """
    height, width = east.shape
    rows, cols = np.empty((height, width), np.float64), np.empty((height, width), np.float64)
    whole, half, last = 1.0 / pieces, 0.5 / pieces, float(height - 1)
    for i in range(height):
        for j in range(width):
            y, x = float(i), float(j)
            for _ in range(pieces):
                at_y, at_x = y, x
                for length in (half, whole):
                    # the wind at (at_y, at_x), bilinear; both components from one look at the indices
                    top, left = int(at_y), int(at_x)
                    fy, fx = np.float32(at_y - top), np.float32(at_x - left)
                    low = top + 1 if top + 1 < height else top
                    right = left + 1 if left + 1 < width else 0
                    upper = east[top, left] + fx * (east[top, right] - east[top, left])
                    lower = east[low, left] + fx * (east[low, right] - east[low, left])
                    to_east = upper + fy * (lower - upper)
                    upper = south[top, left] + fx * (south[top, right] - south[top, left])
                    lower = south[low, left] + fx * (south[low, right] - south[low, left])
                    to_south = upper + fy * (lower - upper)
                    at_y = min(max(y - length * to_south, 0.0), last)
                    at_x = _wrapped(x - length * to_east, width)
                y, x = at_y, at_x
            rows[i, j], cols[i, j] = y, x
    return rows, cols


@njit(cache=True, nogil=True)
def bring(fields: Array, rows: Array, cols: Array) -> Array:
    """Interpolate fields at the places where the air was: cubic, within the bounds of the four pixels around.

    Args:
        fields: float32 (field, y, x).
        rows: float64 (y, x), as `departures` returns them.
        cols: float64 (y, x), likewise.

    Returns:
        float32 (field, y, x).
    """
    count, height, width = fields.shape
    found = np.empty_like(fields)
    wy, wx = np.empty(4, np.float32), np.empty(4, np.float32)
    at_y, at_x = np.empty(4, np.int64), np.empty(4, np.int64)
    for i in range(height):
        for j in range(width):
            top, left = int(rows[i, j]), int(cols[i, j])
            _cubic(wy, rows[i, j] - top)
            _cubic(wx, cols[i, j] - left)
            for k in range(4):
                at_y[k] = min(max(top + k - 1, 0), height - 1)
                column = left + k - 1
                at_x[k] = column + width if column < 0 else column - width if column >= width else column
            for f in range(count):
                total = np.float32(0)
                for k in range(4):
                    row = fields[f, at_y[k]]
                    total += wy[k] * (
                        wx[0] * row[at_x[0]] + wx[1] * row[at_x[1]] + wx[2] * row[at_x[2]] + wx[3] * row[at_x[3]]
                    )
                a, b = fields[f, at_y[1], at_x[1]], fields[f, at_y[1], at_x[2]]
                c, d = fields[f, at_y[2], at_x[1]], fields[f, at_y[2], at_x[2]]
                found[f, i, j] = min(max(total, min(min(a, b), min(c, d))), max(max(a, b), max(c, d)))
    return found


@njit(cache=True, nogil=True)
def _cubic(weights: Array, t: float) -> None:
    """Set the weights of Lagrange's cubic through four neighbours, at `t` of the way from the second to the third."""
    weights[0] = -t * (t - 1) * (t - 2) / 6
    weights[1] = (t + 1) * (t - 1) * (t - 2) / 2
    weights[2] = -(t + 1) * t * (t - 2) / 2
    weights[3] = (t + 1) * t * (t - 1) / 6


@njit(cache=True, nogil=True)
def spread(lattice: Array, offset_y: float, offset_x: float, spacing_px: float, height: int, width: int) -> Array:
    """Return float32 (y, x): a smooth field from numbers on a coarse lattice, by cubic B-splines.

    Args:
        lattice: float32 (y, x), at least (side / spacing + 4) on each side.
        offset_y: in [0, 1): where the first pixel lies between lattice rows 1 and 2.
        offset_x: likewise.
        spacing_px: pixels from one lattice point to the next.
        height: rows of the field.
        width: columns of it.
    """
    tall = lattice.shape[0]
    between = np.empty((tall, width), np.float32)
    w = np.empty(4, np.float32)
    for j in range(width):
        place = offset_x + j / spacing_px
        left = int(place)
        _spline(w, place - left)
        for i in range(tall):
            row = lattice[i]
            between[i, j] = w[0] * row[left] + w[1] * row[left + 1] + w[2] * row[left + 2] + w[3] * row[left + 3]
    found = np.empty((height, width), np.float32)
    for i in range(height):
        place = offset_y + i / spacing_px
        top = int(place)
        _spline(w, place - top)
        for j in range(width):
            found[i, j] = (
                w[0] * between[top, j]
                + w[1] * between[top + 1, j]
                + w[2] * between[top + 2, j]
                + w[3] * between[top + 3, j]
            )
    return found


@njit(cache=True, nogil=True)
def _spline(weights: Array, t: float) -> None:
    """Set the weights of the cubic B-spline at `t` of the way from the second to the third node; they add up to 1."""
    weights[0] = (1 - t) ** 3 / 6
    weights[1] = (3 * t**3 - 6 * t**2 + 4) / 6
    weights[2] = (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6
    weights[3] = t**3 / 6


@njit(cache=True, nogil=True)
def sample(fields: Array, rows: Array, cols: Array) -> Array:
    """Return float32 (field, *places): bilinear values at places of a plane, which ends at its edges.

    Args:
        fields: float32 (field, y, x).
        rows: float32 (y', x'), of any value.
        cols: float32 (y', x').
    """
    count, height, width = fields.shape
    tall, wide = rows.shape
    found = np.empty((count, tall, wide), np.float32)
    for i in range(tall):
        for j in range(wide):
            y = min(max(float(rows[i, j]), 0.0), height - 1.0)
            x = min(max(float(cols[i, j]), 0.0), width - 1.0)
            top, left = int(y), int(x)
            fy, fx = np.float32(y - top), np.float32(x - left)
            low, right = min(top + 1, height - 1), min(left + 1, width - 1)
            for f in range(count):
                upper = fields[f, top, left] + fx * (fields[f, top, right] - fields[f, top, left])
                lower = fields[f, low, left] + fx * (fields[f, low, right] - fields[f, low, left])
                found[f, i, j] = upper + fy * (lower - upper)
    return found
