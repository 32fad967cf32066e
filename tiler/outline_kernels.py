"""Loops along the outlines of labelled pixels, compiled by numba as those of `tiler.kernels`, and as slow to import.

A corner `(i, j)` of pixels lies above and left of pixel `(i, j)`. A crack is the unit of outline between two corners
that neighbour; directions are 0 east, 1 south, 2 west, 3 north, so a turn to the right adds 1.
"""

from __future__ import annotations

import numpy as np
from numba import njit

NODE, CUT, CLOSED = 0, 1, 2
"""Kinds of an arc's end: at a corner where more than two cracks meet; at a cell's border, where it goes on, unless that
is a node; none, the arc is a ring."""
STEP_ROW, STEP_COL = np.array([0, 1, 0, -1]), np.array([1, 0, -1, 0])


@njit(cache=True, nogil=True)
def _cracks(names: np.ndarray, i: int, j: int) -> int:
    """Return which cracks meet at a corner, bit d for direction d; `names` has a row above and a column left of it."""
    nw, ne, sw, se = names[i, j], names[i, j + 1], names[i + 1, j], names[i + 1, j + 1]
    return int(ne != se) | int(sw != se) << 1 | int(nw != sw) << 2 | int(nw != ne) << 3


@njit(cache=True, nogil=True)
def _sides(names: np.ndarray, i: int, j: int, way: int) -> tuple[int, int]:
    """Return what lies left and right of who walks from a corner in a direction."""
    nw, ne, sw, se = names[i, j], names[i, j + 1], names[i + 1, j], names[i + 1, j + 1]
    if way == 0:
        return ne, se
    if way == 1:
        return se, sw
    if way == 2:
        return sw, nw
    return nw, ne


@njit(cache=True, nogil=True)
def _is_node(cracks: int) -> bool:
    return cracks & (cracks - 1) & ((cracks & (cracks - 1)) - 1) != 0  # three bits or more


@njit(cache=True, nogil=True)
def count_cracks(names: np.ndarray, corners: np.ndarray) -> int:
    """Count the cracks of a cell, and mark the corners that they touch.

    Args:
        names: int32 (y + 1, x + 1): the pixels of a cell, with a row above and a column left of it.
        corners: bool (y, x), written.
    """
    count = 0
    for i in range(names.shape[0] - 1):
        for j in range(names.shape[1] - 1):
            cracks = _cracks(names, i, j)
            corners[i, j] = cracks != 0
            count += (cracks & 1) + (cracks >> 1 & 1)
    return count


@njit(cache=True, nogil=True)
def _walk(names, seen, i, j, way, points, at):  # type: ignore[no-untyped-def]
    """Follow an arc to its end; return where its points end, and the kind of its end."""
    height, width = seen.shape
    start_i, start_j = i, j
    points[at, 0], points[at, 1] = i, j
    at += 1
    while True:
        if way == 0:
            seen[i, j] |= 1
        elif way == 1:
            seen[i, j] |= 2
        elif way == 2:
            seen[i, j - 1] |= 1
        else:
            seen[i - 1, j] |= 2
        i, j = i + STEP_ROW[way], j + STEP_COL[way]
        end = -1
        following = way
        if i == height or j == width:
            end = CUT
        else:
            cracks = _cracks(names, i, j)
            if _is_node(cracks):
                end = NODE
            else:
                onward = cracks & ~(1 << (way + 2) % 4)
                following = 0 if onward == 1 else 1 if onward == 2 else 2 if onward == 4 else 3
                if (following == 2 and j == 0) or (following == 3 and i == 0):
                    end = CUT
                elif i == start_i and j == start_j:
                    return at, CLOSED  # the first point is the last one
        if end >= 0:
            points[at, 0], points[at, 1] = i, j
            return at + 1, end
        if following != way:
            points[at, 0], points[at, 1] = i, j
            at += 1
            way = following


@njit(cache=True, nogil=True)
def trace(names, cracks_total):  # type: ignore[no-untyped-def]
    """Follow the outlines of a cell: arcs between nodes and the cell's border, and rings.

    A cell has the cracks that lead east and south from the upper left corners of its pixels.

    Args:
        names: int32 (y + 1, x + 1), as in `count_cracks`; 0 is outside.
        cracks_total: as that counts.

    Returns:
        points int32 (n, 2): row and column of corners where an arc begins, turns or ends;
        offsets int64 (arc + 1,): where the points of each arc begin;
        sides int32 (arc, 2): what lies left and right of it;
        ends uint8 (arc, 2): kinds of its first and last point;
        nodes int32 (m, 2): nodes in the first row or column of corners, which other cells take for their border.
    """
    height, width = names.shape[0] - 1, names.shape[1] - 1
    seen = np.zeros((height, width), np.uint8)
    points = np.empty((3 * cracks_total + 1, 2), np.int32)
    offsets = np.zeros(cracks_total + 1, np.int64)
    sides = np.empty((cracks_total, 2), np.int32)
    ends = np.empty((cracks_total, 2), np.uint8)
    nodes = np.empty((height + width, 2), np.int32)
    arcs, at, border_nodes = 0, 0, 0
    for turn in range(2):  # first what has an end here, then rings
        for i in range(height + 1):
            for j in range(width + 1):
                if i == height and j == width:
                    continue
                if i == height or j == width:  # another cell's corner: one crack of this cell may end there
                    if turn == 1:
                        continue
                    ways = 8 if i == height else 4
                    if names[i, j] == (names[i, j + 1] if i == height else names[i + 1, j]):
                        continue
                    first_end = CUT
                else:
                    cracks = _cracks(names, i, j)
                    if cracks == 0:
                        continue
                    node = _is_node(cracks)
                    at_border = (i == 0 and cracks & 8) or (j == 0 and cracks & 4)
                    if turn == 0:
                        if not node and not at_border:
                            continue
                        if node and (i == 0 or j == 0):
                            nodes[border_nodes, 0], nodes[border_nodes, 1] = i, j
                            border_nodes += 1
                        first_end = NODE if node else CUT
                        ways = cracks
                        if i == 0:
                            ways &= 7
                        if j == 0:
                            ways &= 11
                    else:
                        first_end = CLOSED
                        ways = cracks & 1
                for way in range(4):
                    if not ways & 1 << way:
                        continue
                    y, x = i - (way == 3), j - (way == 2)
                    if seen[y, x] & (1 if way % 2 == 0 else 2):
                        continue
                    if way == 3 and i == height:
                        sides[arcs, 0], sides[arcs, 1] = names[i, j], names[i, j + 1]
                    elif way == 2 and j == width:
                        sides[arcs, 0], sides[arcs, 1] = names[i + 1, j], names[i, j]
                    else:
                        sides[arcs, 0], sides[arcs, 1] = _sides(names, i, j, way)
                    at, last_end = _walk(names, seen, i, j, way, points, at)
                    ends[arcs, 0], ends[arcs, 1] = first_end, last_end
                    arcs += 1
                    offsets[arcs] = at
    return points[:at], offsets[: arcs + 1], sides[:arcs], ends[:arcs], nodes[:border_nodes]
