"""Outlines of patches that lie in many cells, row by row: arcs between nodes, joined, simplified, closed to rings.

    Outlines.add (one cell, in reading order)  ->  arcs that wait  ->  Outlines.finish (patches that are complete)

An outline is an arc from node to node, or a ring; a node is a corner where more than two cracks between pixels meet.
What two patches share is one arc, so they fit whatever becomes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from tiler.grids import Box
from tiler.patches import PolygonRules


@dataclass
class Arcs:
    """Arcs of one or more cells; see `tiler.outline_kernels.trace`."""

    points: np.ndarray
    offsets: np.ndarray
    sides: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        """Number of arcs."""
        return len(self.sides)

    def take(self, chosen: np.ndarray) -> Arcs:
        """Return some of them; `chosen` is bool (arc,)."""
        lengths = np.diff(self.offsets)
        return Arcs(
            self.points[np.repeat(chosen, lengths)],
            np.concatenate([[0], np.cumsum(lengths[chosen])]),
            self.sides[chosen],
            self.ends[chosen],
        )

    @staticmethod
    def together(parts: list[Arcs]) -> Arcs:
        """Return those of all parts."""
        lengths = np.concatenate([np.diff(part.offsets) for part in parts])
        points, sides, ends = (np.concatenate([getattr(p, n) for p in parts]) for n in ("points", "sides", "ends"))
        return Arcs(points, np.concatenate([[0], np.cumsum(lengths)]), sides, ends)


NO_ARCS = Arcs(
    np.empty((0, 2), np.int32), np.zeros(1, np.int64), np.empty((0, 2), np.int32), np.empty((0, 2), np.uint8)
)


class Outlines:
    """Draws the patches of a map whose cells come row by row, from left to right."""

    def __init__(self, extent: Box, rules: PolygonRules, corners: Any) -> None:
        """Begin.

        Args:
            extent: the map, absolute pixels.
            rules: how to draw.
            corners: `tiler.corner_map.CornerMap` where outlines are simplified, else None.
        """
        self._extent, self._rules, self._corners = extent, rules, corners
        self._above, self._below = (np.zeros(extent.width + 1, np.int32) for _ in range(2))
        self._left = np.zeros(0, np.int32)
        self._waiting = [NO_ARCS]
        self._nodes: list[np.ndarray] = []
        self._done: np.ndarray | None = None

    def add(self, box: Box, names: np.ndarray) -> None:
        """Add a cell.

        Args:
            box: its absolute map pixels.
            names: int32 (y, x): the patch of each pixel, 0 for none.
        """
        from tiler.outline_kernels import count_cracks, trace

        y0, x0 = box.y0 - self._extent.y0, box.x0 - self._extent.x0
        x1, (height, width) = x0 + box.width, names.shape
        if x0 == 0:
            self._above, self._below = self._below, np.zeros_like(self._below)
            self._left = np.zeros(height, np.int32)
        # beyond the last row and column of the map lies nothing, and what separates it from the map is drawn here
        around = np.zeros((height + 1 + (box.y1 == self._extent.y1), width + 1 + (box.x1 == self._extent.x1)), np.int32)
        around[0, : width + 1], around[1 : height + 1, 0] = self._above[x0 : x1 + 1], self._left
        around[1 : height + 1, 1 : width + 1] = names
        self._below[x0 + 1 : x1 + 1], self._left = names[-1], names[:, -1].copy()
        corners = np.empty((around.shape[0] - 1, around.shape[1] - 1), bool)
        total = count_cracks(around, corners)
        if self._corners is not None:
            self._corners.mark(y0, x0, corners)
        if total:
            points, offsets, sides, ends, nodes = trace(around, total)
            origin = np.array([y0, x0], np.int32)
            self._waiting.append(Arcs(points + origin, offsets.copy(), sides.copy(), ends.copy()))
            self._nodes.append(_keys(nodes + origin))

    def finish(self, fresh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Draw the patches that are complete now, and forget what no other patch needs.

        Args:
            fresh: bool (patch + 1,): which patches have no outline in cells that are still to come, and were not drawn
                before. Nothing is drawn of 0.

        Returns:
            The patches, int64, and their shapely polygons in pixels of the map, x the column and y the row.
        """
        from tiler.ring_kernels import join_arcs

        waiting = Arcs.together(self._waiting)
        self._done = fresh if self._done is None else self._done | fresh
        found = waiting.take(fresh[waiting.sides].any(axis=1))
        over = self._done.copy()
        over[0] = True
        self._waiting = [waiting.take(~over[waiting.sides].all(axis=1))]
        if not len(found):
            return np.zeros(0, np.int64), np.zeros(0, object)
        points, offsets, firsts, rings = join_arcs(found.points, found.offsets, self._mates(found))
        sides = found.sides[firsts // 2]
        sides[firsts % 2 == 1] = sides[firsts % 2 == 1][:, ::-1]
        ways = _ways(points, offsets)
        if self._corners is not None:
            points, offsets = self._corners.simplified(points, offsets, rings, self._rules.simplify_px)
        return _polygons(points, offsets, sides, ways, rings, fresh)

    def _mates(self, arcs: Arcs) -> np.ndarray:
        """Return the end where each end goes on: int64 (2 * arc,); -1 at a node, -2 for a ring."""
        from tiler.outline_kernels import CLOSED, CUT

        ends = arcs.ends.ravel()
        mates = np.where(arcs.ends[:, 1:] == CLOSED, -2, -1).repeat(2, axis=1).ravel().astype(np.int64)
        last = np.stack([arcs.offsets[:-1], arcs.offsets[1:] - 1], axis=1).ravel()
        cut = np.flatnonzero(ends == CUT)
        keys = _keys(arcs.points[last[cut]])
        nodes = np.unique(np.concatenate(self._nodes))
        self._nodes = [nodes]
        within = ~np.isin(keys, nodes)
        cut, keys = cut[within], keys[within]
        pairs = cut[np.argsort(keys, kind="stable")].reshape(-1, 2)
        mates[pairs[:, 0]], mates[pairs[:, 1]] = pairs[:, 1], pairs[:, 0]
        return mates


def _keys(points: np.ndarray) -> np.ndarray:
    """Return a number for each corner, int64, that rises in reading order."""
    return points[:, 0].astype(np.int64) << 32 | points[:, 1].astype(np.int64)


def _ways(points: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the directions in which arcs begin and end, int64 (arc, 2): 0 east, 1 south, 2 west, 3 north."""
    low, high = offsets[:-1], offsets[1:]
    steps = np.stack([points[low + 1] - points[low], points[high - 1] - points[high - 2]], axis=1)
    rows, cols = steps[..., 0], steps[..., 1]
    return np.where(rows == 0, np.where(cols > 0, 0, 2), np.where(rows > 0, 1, 3))


def _polygons(
    points: np.ndarray, offsets: np.ndarray, sides: np.ndarray, ways: np.ndarray, rings: np.ndarray, fresh: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Close arcs to the rings of patches, which have them on their left, and make polygons."""
    from tiler.ring_kernels import link_rings

    arcs = np.arange(len(sides))
    wanted = fresh[sides]
    halves = np.concatenate([2 * arcs[wanted[:, 0]], 2 * arcs[wanted[:, 1]] + 1])
    patch = np.concatenate([sides[wanted[:, 0], 0], sides[wanted[:, 1], 1]]).astype(np.int64)
    follow = _follow(points, offsets, halves, patch, ways, rings)
    ring_points, ring_offsets, members = link_rings(points, offsets, halves, follow)
    owner = patch[members]
    least = _keys(ring_points[ring_offsets[:-1]])
    # twice the area in pixels: a ring that runs round its patch goes left, up on the map, and counts as positive
    after = np.arange(1, len(ring_points) + 1)
    after[ring_offsets[1:] - 1] = ring_offsets[:-1]
    rows, cols = ring_points[:, 0].astype(float), ring_points[:, 1].astype(float)
    doubled = np.add.reduceat(rows * cols[after] - cols * rows[after], ring_offsets[:-1])
    order = np.lexsort((least, doubled < 0, owner))
    lengths = np.diff(ring_offsets)[order]
    # each ring is closed: its first point comes again at its end
    starts = ring_offsets[:-1][order]
    closed = np.concatenate([[0], np.cumsum(lengths + 1)])
    place = np.arange(closed[-1]) - np.repeat(closed[:-1], lengths + 1)
    index = np.repeat(starts, lengths + 1) + np.where(place == np.repeat(lengths, lengths + 1), 0, place)
    patches, first_ring = np.unique(owner[order], return_index=True)
    assert (doubled[order][first_ring] > 0).all(), "every patch has one outline and it is the first ring"
    polygons = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON,
        ring_points[index][:, ::-1].astype(float),
        (closed, np.append(first_ring, len(order))),
    )
    return patches, polygons


def _follow(
    points: np.ndarray, offsets: np.ndarray, halves: np.ndarray, patch: np.ndarray, ways: np.ndarray, rings: np.ndarray
) -> np.ndarray:
    """Return which half of an arc comes after each in the ring of its patch: int64 (half,).

    Where a patch meets itself at a corner the ring turns right: outlines of a patch that hangs together by sides then
    touch there, but none visits a corner twice, which polygons may not.
    """
    arcs, back = halves // 2, halves % 2
    begins, ends = points[offsets[:-1]], points[offsets[1:] - 1]
    first, last = (
        np.where(back[:, None] == 1, ends[arcs], begins[arcs]),
        np.where(back[:, None] == 1, begins[arcs], ends[arcs]),
    )
    opposite = (ways + 2) % 4
    out = np.where(back == 1, opposite[arcs, 1], ways[arcs, 0])
    into = np.where(back == 1, opposite[arcs, 0], ways[arcs, 1])
    _, corner = np.unique(_keys(np.concatenate([first, last])), return_inverse=True)
    _, dense = np.unique(patch, return_inverse=True)
    leaving, arriving = corner[: len(halves)], corner[len(halves) :]
    step = int(corner.max()) + 1
    keys = (dense * step + leaving) * 4 + out
    order = np.argsort(keys)
    follow = np.where(rings[arcs], np.arange(len(halves)), -1)
    for turn in (1, 0, 3):  # right, straight on, left
        wanted = (dense * step + arriving) * 4 + (into + turn) % 4
        place = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
        there = (follow < 0) & (keys[order][place] == wanted)
        follow[there] = order[place[there]]
    assert (follow >= 0).all(), "every outline goes on"
    return follow
