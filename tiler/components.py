"""Connected components of a raster that is only ever read in parts: the objects of a whole country, counted exactly.

    label (one part)  ->  what the part tells: pieces, strips along its border, overlaps  ->  stitch (all parts)

Pixels that touch at a side or a corner belong together. A row of a mask is a list of runs; runs of consecutive rows
that touch are joined. What happens between two rows of a part happens again between the last row of one part and the
first row of the next, with the same arithmetic: so the table of the whole does not depend on how it was cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tiler.grids import Box

Lists = list[list[int]]


def runs_of(mask: np.ndarray) -> np.ndarray:
    """Return the runs of a mask (y, x), row by row: int64 (run, 3) of row, first column, column after the last."""
    height, width = mask.shape
    padded = np.zeros((height, width + 2), np.int8)
    padded[:, 1:-1] = mask
    steps = np.diff(padded, axis=1)
    rows, starts = np.nonzero(steps == 1)
    _, stops = np.nonzero(steps == -1)
    return np.stack([rows, starts, stops], axis=1).astype(np.int64)


def touching(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return which runs of neighbouring rows touch, at a side or a corner: int64 (pair, 2) of indices.

    Args:
        before: (run, 3) of the line between the two rows, start, stop; sorted.
        after: the same for runs on the other side of the line; sorted, runs of one line apart from each other.
    """
    if not len(before) or not len(after):
        return np.zeros((0, 2), np.int64)
    low = min(before[:, 1].min(), after[:, 1].min())
    step = max(before[:, 2].max(), after[:, 2].max()) - low + 2  # no run reaches into the next line's numbers
    starts, stops = (after[:, 0] * step + after[:, k] - low for k in (1, 2))
    first = np.searchsorted(stops, before[:, 0] * step + before[:, 1] - low, side="left")
    last = np.searchsorted(starts, before[:, 0] * step + before[:, 2] - low, side="right")
    counts = np.maximum(last - first, 0)
    left = np.repeat(np.arange(len(before)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.stack([left, first[left] + within], axis=1)


def joined(count: int, pairs: np.ndarray) -> np.ndarray:
    """Return the component of each of `count` things of which some pairs belong together: int64 (count,), from 0 on.

    Every component is named after its first thing, so the numbers rise in the order in which components begin.
    """
    parent = np.arange(count)
    while True:
        a, b = parent[pairs[:, 0]], parent[pairs[:, 1]]
        apart = a != b
        if not apart.any():
            return np.unique(parent, return_inverse=True)[1].astype(np.int64)
        # Roots hang themselves below smaller roots, never the other way round: there is no circle.
        np.minimum.at(parent, np.maximum(a, b)[apart], np.minimum(a, b)[apart])
        while not np.array_equal(parent, above := parent[parent]):
            parent = above


def label(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Label the components of a mask (y, x), eight neighbours: int32 (y, x), 0 outside, and how many there are."""
    runs = runs_of(mask)
    above = runs + np.array([1, 0, 0])  # named after the line below them, as the others after the line above
    owner = joined(len(runs), touching(above, runs))
    out = np.zeros(mask.shape, np.int32)
    out[mask] = np.repeat(owner + 1, runs[:, 2] - runs[:, 1])
    return out, int(owner.max() + 1) if len(owner) else 0


@dataclass(frozen=True)
class Pieces:
    """What one part of a raster tells of the objects of one layer; all plain integers."""

    pieces: Lists
    """label, region, pixels, sum of absolute rows, sum of absolute columns."""
    strips: Lists
    """axis (0: the line lies between rows), line, side (0: before it), start, stop, label; all absolute."""

    @staticmethod
    def of(labels: np.ndarray, box: Box, regions: np.ndarray | None = None, alone: bool = False) -> Pieces:
        """Describe the labels (y, x) of the pixels `box`.

        Args:
            labels: as `label` returns them.
            box: where they lie, absolute.
            regions: int (y, x), a region of every pixel (-1: none); None is one region, 0.
            alone: whether the part has no neighbours, so that nothing goes on beyond its border.
        """
        rows, cols = np.nonzero(labels)
        if not rows.size:
            return Pieces([], [])
        region = np.zeros(rows.size, np.int64) if regions is None else regions[rows, cols].astype(np.int64)
        names = labels[rows, cols].astype(np.int64) << 24  # regions take the lower 24 bits
        keys, place = np.unique(names | (region + 1), return_inverse=True)
        sums = [np.bincount(place)]
        for values, origin in ((rows, box.y0), (cols, box.x0)):
            whole = np.bincount(place, values).astype(np.int64)  # exact below 2^53
            sums.append(whole + origin * sums[0])
        table = np.stack([keys >> 24, (keys & ((1 << 24) - 1)) - 1, *sums], axis=1)
        return Pieces(table.tolist(), [] if alone else _strips(labels, box))


def _strips(labels: np.ndarray, box: Box) -> Lists:
    """Return the runs along the four borders of a part."""
    found: Lists = []
    for axis, edge, line, side, origin in (
        (0, labels[0], box.y0, 1, box.x0),
        (0, labels[-1], box.y1, 0, box.x0),
        (1, labels[:, 0], box.x0, 1, box.y0),
        (1, labels[:, -1], box.x1, 0, box.y0),
    ):
        for _, start, stop in runs_of(edge[None] > 0).tolist():
            found.append([axis, line, side, start + origin, stop + origin, int(edge[start])])
    return found


def overlaps_of(truth: np.ndarray, found: np.ndarray) -> Lists:
    """Return how many pixels two label arrays (y, x) share: rows of label, label, pixels."""
    both = (truth > 0) & (found > 0)
    keys, counts = np.unique(truth[both].astype(np.int64) << 32 | found[both].astype(np.int64), return_counts=True)
    return np.stack([keys >> 32, keys & 0xFFFFFFFF, counts], axis=1).tolist()


@dataclass(frozen=True)
class Stitched:
    """The objects of one layer over all parts."""

    owner: dict[tuple[int, int], int]
    """Part and label to object."""
    regions: dict[tuple[int, int], np.ndarray]
    """Object and region to int64 pixels, sum of rows, sum of columns."""
    part: list[int]
    """The part in which each object begins."""

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.part)


def stitch(parts: Sequence[Pieces]) -> Stitched:
    """Join the pieces of all parts into objects. Parts must not overlap; their order names the objects."""
    places = [(part, name) for part, told in enumerate(parts) for name in sorted({p[0] for p in told.pieces})]
    index = {place: number for number, place in enumerate(places)}
    strips = [(*s[:5], index[part, s[5]]) for part, told in enumerate(parts) for s in told.strips]
    pairs = [np.zeros((0, 2), np.int64)]
    table = np.array(strips, np.int64).reshape(-1, 6)
    for axis in (0, 1):
        before, after = (_sorted(table[(table[:, 0] == axis) & (table[:, 2] == side)]) for side in (0, 1))
        met = touching(before[:, [1, 3, 4]], after[:, [1, 3, 4]])
        pairs.append(np.stack([before[met[:, 0], 5], after[met[:, 1], 5]], axis=1))
    numbers = joined(len(places), np.concatenate(pairs))
    owner = dict(zip(places, numbers.tolist(), strict=True))
    regions: dict[tuple[int, int], np.ndarray] = {}
    begins: dict[int, int] = {}
    for part, told in enumerate(parts):
        for name, region, *sums in told.pieces:
            key = owner[part, name], region
            begins.setdefault(key[0], part)
            regions[key] = regions.get(key, np.zeros(3, np.int64)) + np.array(sums, np.int64)
    return Stitched(owner, regions, [begins[number] for number in range(len(begins))])


def _sorted(strips: np.ndarray) -> np.ndarray:
    return strips[np.lexsort((strips[:, 3], strips[:, 1]))]
