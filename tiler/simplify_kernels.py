"""Loops that simplify outlines, compiled by numba as those of `tiler.kernels`, and as slow to import."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def mark(bits: np.ndarray, corners: np.ndarray, y0: int, x0: int) -> None:
    """Set the bits of corners.

    Args:
        bits: uint8 (y, x // 8), changed: bit x % 8 of a byte.
        corners: bool (y, x): those of a part.
        y0: row of the part's first one.
        x0: column.
    """
    for i in range(corners.shape[0]):
        for j in range(corners.shape[1]):
            if corners[i, j]:
                bits[y0 + i, (x0 + j) >> 3] |= np.uint8(1 << ((x0 + j) & 7))


@njit(cache=True, nogil=True)
def _distance(py, px, ay, ax, by, bx):  # type: ignore[no-untyped-def]
    """Return the distance of a point from the line between two others, which ends there."""
    dy, dx = float(by - ay), float(bx - ax)
    length = dy * dy + dx * dx
    if length == 0:
        return np.sqrt(float(py - ay) ** 2 + float(px - ax) ** 2)
    along = min(1.0, max(0.0, ((py - ay) * dy + (px - ax) * dx) / length))
    return np.sqrt((ay + along * dy - py) ** 2 + (ax + along * dx - px) ** 2)


@njit(cache=True, nogil=True)
def _farthest(points, low, high, a, b):  # type: ignore[no-untyped-def]
    """Return which of the points [low, high) lies farthest from the line from point a to b, and how far."""
    worst, place = -1.0, low
    for k in range(low, high):
        far = _distance(points[k, 0], points[k, 1], points[a, 0], points[a, 1], points[b, 0], points[b, 1])
        if far > worst:
            worst, place = far, k
    return place, worst


@njit(cache=True, nogil=True)
def _is_free(points, a, b, bits, reach):  # type: ignore[no-untyped-def]
    """Return whether no corner of another outline lies on a line or between it and the points that it is to replace.

    Args:
        points: int (n, 2); the line goes from a to b, which is in place of the points between them.
        a: first point.
        b: last point.
        bits: the corners of all outlines.
        reach: how far the points between lie from the line at most.
    """
    top, bottom, left, right = points[a, 0], points[a, 0], points[a, 1], points[a, 1]
    for k in range(a + 1, b + 1):
        top, bottom = min(top, points[k, 0]), max(bottom, points[k, 0])
        left, right = min(left, points[k, 1]), max(right, points[k, 1])
    ay, ax, by, bx = points[a, 0], points[a, 1], points[b, 0], points[b, 1]
    dy, dx = by - ay, bx - ax
    wide = reach * np.sqrt(float(dy) ** 2 + float(dx) ** 2) / max(1, abs(dy)) + 1.0 if dy != 0 else 0.0
    for y in range(top, bottom + 1):
        low, high = left, right
        if dy != 0:  # what lies farther from the line than the points do is not between them
            there = ax + dx * (y - ay) / dy
            low, high = max(left, int(np.floor(there - wide))), min(right, int(np.ceil(there + wide)))
        for x in range(low, high + 1):
            if not bits[y, x >> 3] & (1 << (x & 7)):
                continue
            own, turns = False, 0
            for k in range(a, b + 1):
                y0, x0 = points[k, 0], points[k, 1]
                following = k + 1 if k < b else a
                y1, x1 = points[following, 0], points[following, 1]
                cross = (y1 - y0) * (x - x0) - (x1 - x0) * (y - y0)
                within = min(y0, y1) <= y <= max(y0, y1) and min(x0, x1) <= x <= max(x0, x1)
                if k < b and cross == 0 and within:
                    own = True
                    break
                if y0 <= y < y1 and cross > 0:
                    turns += 1
                elif y1 <= y < y0 and cross < 0:
                    turns -= 1
            if own:
                continue
            on_line = (
                dy * (x - ax) == dx * (y - ay) and min(ay, by) <= y <= max(ay, by) and min(ax, bx) <= x <= max(ax, bx)
            )
            if on_line or turns != 0:
                return False
    return True


@njit(cache=True, nogil=True)
def _thin(points, a, b, bits, tolerance, kept, stack):  # type: ignore[no-untyped-def]
    """Choose which points between two that stay are to stay as well (Douglas and Peucker 1973)."""
    size = 1
    stack[0, 0], stack[0, 1] = a, b
    while size:
        size -= 1
        low, high = stack[size, 0], stack[size, 1]
        if high - low < 2:
            continue
        place, far = _farthest(points, low + 1, high, low, high)
        if far <= tolerance and _is_free(points, low, high, bits, far):
            continue
        kept[place] = True
        stack[size, 0], stack[size, 1] = low, place
        stack[size + 1, 0], stack[size + 1, 1] = place, high
        size += 2


@njit(cache=True, nogil=True)
def simplify(points, offsets, rings, bits, tolerance):  # type: ignore[no-untyped-def]
    """Choose which points of arcs stay.

    A line may replace the points between its ends where none of them lies farther from it than the tolerance, and where
    no corner of another outline, as it was, lies on it or between it and them. Then no two of these lines cross,
    whichever are chosen on other arcs: to cross, one must end between another and the points it replaces. So every arc
    is decided by itself. Each keeps so many points that no two become one line, and no patch vanishes.

    Args:
        points: int32 (n, 2): row and column of corners.
        offsets: int64 (arc + 1,).
        rings: bool (arc,); the first point of a ring is not repeated.
        bits: as `mark` leaves it: the corners of all outlines.
        tolerance: pixels.

    Returns:
        bool (n,).
    """
    kept = np.zeros(len(points), np.bool_)
    longest = 0
    for arc in range(len(rings)):
        longest = max(longest, offsets[arc + 1] - offsets[arc])
    stack, loop, stays = (
        np.empty((longest + 2, 2), np.int64),
        np.empty((longest + 1, 2), np.int64),
        np.zeros(longest + 1, np.bool_),
    )
    for arc in range(len(rings)):
        low, high = offsets[arc], offsets[arc + 1]
        count = high - low
        loop[:count] = points[low:high]
        if rings[arc]:
            loop[count] = points[low]
            count += 1
        stays[:count] = False
        stays[0] = stays[count - 1] = True
        closed = loop[0, 0] == loop[count - 1, 0] and loop[0, 1] == loop[count - 1, 1]
        if count <= 5 and closed:  # a rectangle
            stays[:count] = True
        elif count > 2:
            middle, _ = _farthest(loop, 1, count - 1, 0, count - 1)
            stays[middle] = True
            if closed:  # a third one, for a triangle
                one, far_one = _farthest(loop, 1, middle, 0, middle) if middle > 1 else (1, -1.0)
                two, far_two = (
                    _farthest(loop, middle + 1, count - 1, middle, count - 1) if middle < count - 2 else (1, -1.0)
                )
                stays[one if far_one >= far_two else two] = True
            before = 0
            for k in range(1, count):
                if stays[k]:
                    _thin(loop, before, k, bits, tolerance, stays, stack)
                    before = k
        kept[low:high] = stays[: high - low]
    return kept
