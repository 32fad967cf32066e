"""Loops that make whole arcs and rings of parts of outlines, compiled by numba as those of `tiler.kernels`."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _append(points, low, high, backwards, raw, at, without_first):  # type: ignore[no-untyped-def]
    """Copy points of an arc behind others; return where they end."""
    for k in range(int(without_first), high - low):
        raw[at] = points[high - 1 - k] if backwards else points[low + k]
        at += 1
    return at


@njit(cache=True, nogil=True)
def _precedes(points, a, b):  # type: ignore[no-untyped-def]
    return points[a, 0] < points[b, 0] or (points[a, 0] == points[b, 0] and points[a, 1] < points[b, 1])


@njit(cache=True, nogil=True)
def _canonical(points, low, high, ring):  # type: ignore[no-untyped-def]
    """Let an arc begin and run where it does however it was found; return whether it was turned round.

    A ring begins at its first corner in reading order, and runs east.
    """
    if ring:
        least = low
        for k in range(low + 1, high):
            if _precedes(points, k, least):
                least = k
        points[low:high] = np.concatenate((points[least:high], points[low:least]))
        turn = points[low + 1, 0] != points[low, 0]
        if turn:
            points[low + 1 : high] = points[low + 1 : high][::-1].copy()
        return turn
    turn = _precedes(points, high - 1, low)
    if points[low, 0] == points[high - 1, 0] and points[low, 1] == points[high - 1, 1]:
        turn = _precedes(points, high - 2, low + 1)
    if turn:
        points[low:high] = points[low:high][::-1].copy()
    return turn


@njit(cache=True, nogil=True)
def join_arcs(points, offsets, mates):  # type: ignore[no-untyped-def]
    """Join arcs that were cut at the borders of cells, and drop the points where they do not turn.

    Args:
        points: int32 (n, 2) and
        offsets: int64 (arc + 1,), as `trace` returns them.
        mates: int64 (2 * arc,): the end (2 * arc + 0 or 1) where an end goes on; -1 for a node, -2 for a ring.

    Returns:
        The same two of whole arcs; int64 (whole arc,): the arc that each begins with, forwards; bool: whether a ring.
    """
    count = len(offsets) - 1
    out = np.empty((len(points), 2), np.int32)
    out_offsets, firsts = np.zeros(count + 1, np.int64), np.empty(count, np.int64)
    rings = np.zeros(count, np.bool_)
    used = np.zeros(count, np.bool_)
    raw = np.empty((len(points) + 1, 2), np.int32)
    arcs, at = 0, 0
    for turn in range(2):  # first from nodes, then rings
        for end in range(2 * count):
            if used[end // 2] or (turn == 0) != (mates[end] == -1):
                continue
            if turn == 1 and end % 2 == 1:
                continue
            here, length = end, 0
            firsts[arcs] = end
            while True:
                arc = here // 2
                used[arc] = True
                length = _append(points, offsets[arc], offsets[arc + 1], here % 2 == 1, raw, length, length > 0)
                onward = mates[2 * arc + 1 - here % 2]
                if onward < 0 or used[onward // 2]:
                    break
                here = onward
            ring = turn == 1
            if ring and mates[end] >= 0:
                length -= 1  # the last point of the last arc is the first one
            rings[arcs] = ring
            begin = at
            for k in range(length):
                a, c = (k - 1) % length, (k + 1) % length
                straight = (raw[a, 0] == raw[k, 0] and raw[k, 0] == raw[c, 0]) or (
                    raw[a, 1] == raw[k, 1] and raw[k, 1] == raw[c, 1]
                )
                if straight and (ring or (k > 0 and k < length - 1)):
                    continue
                out[at] = raw[k]
                at += 1
            firsts[arcs] ^= _canonical(out, begin, at, ring)
            arcs += 1
            out_offsets[arcs] = at
    return out[:at], out_offsets[: arcs + 1], firsts[:arcs], rings[:arcs]


@njit(cache=True, nogil=True)
def link_rings(points, offsets, halves, follow):  # type: ignore[no-untyped-def]
    """Walk from arc to arc until every ring is closed.

    Args:
        points: float64 or int (n, 2) and
        offsets: int64 (arc + 1,).
        halves: int64 (half,): an arc, 2 * arc forwards or 2 * arc + 1 backwards.
        follow: int64 (half,): the half that comes next.

    Returns:
        Points of the rings, each beginning at its least (row, column), the last one not repeated; their offsets;
        int64 (ring,): a half of each.
    """
    total = 0
    for k in range(len(halves)):
        total += offsets[halves[k] // 2 + 1] - offsets[halves[k] // 2]
    out, raw = np.empty((total, 2), points.dtype), np.empty((total + 1, 2), points.dtype)
    out_offsets, members = np.zeros(len(halves) + 1, np.int64), np.empty(len(halves), np.int64)
    used = np.zeros(len(halves), np.bool_)
    rings, at = 0, 0
    for start in range(len(halves)):
        if used[start]:
            continue
        here, length = start, 0
        while not used[here]:
            used[here] = True
            low, high = offsets[halves[here] // 2], offsets[halves[here] // 2 + 1]
            length = _append(points, low, high, halves[here] % 2 == 1, raw, length, False)
            if follow[here] != here or (
                points[low, 0] == points[high - 1, 0] and points[low, 1] == points[high - 1, 1]
            ):
                length -= 1  # the next arc, or this one, begins there
            here = follow[here]
        least = 0
        for k in range(1, length):
            if raw[k, 0] < raw[least, 0] or (raw[k, 0] == raw[least, 0] and raw[k, 1] < raw[least, 1]):
                least = k
        for k in range(length):
            out[at + k] = raw[(least + k) % length]
        at += length
        members[rings] = start
        rings += 1
        out_offsets[rings] = at
    return out[:at], out_offsets[: rings + 1], members[:rings]
