"""Label audit: whose label is unlike the labels of what looks the same?

The coverage of an item (the share of it that is labelled as the class) is compared with the mean of its nearest
neighbours, in units of how far those differ among themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST_SPREAD = 0.05
"""Neighbours that agree better than this still differ by how exactly labels are drawn."""


@dataclass(frozen=True)
class Audit:
    """What is said of each item."""

    expected: np.ndarray
    """float64 (n,): mean coverage of its neighbours; NaN where it has none."""
    score: np.ndarray
    """float64 (n,): difference from it, in deviations of the neighbours; NaN likewise."""
    order: np.ndarray
    """int64: items with a score, the most suspicious first; ties by number."""


def audit(
    embeddings: np.ndarray, coverage: np.ndarray, neighbours: int = 10, blocks: np.ndarray | None = None
) -> Audit:
    """Rank items by how unlike their neighbours' labels theirs is.

    Args:
        embeddings: float (n, dimension); rows of length zero saw nothing, and neither are judged nor judge.
        coverage: float (n,) in [0, 1]; NaN where an item is not labelled, likewise.
        neighbours: how many judge each.
        blocks: int (n,): items of the own block do not judge, as the hand that erred there erred next door too.

    Raises:
        ValueError: fewer items than neighbours.
    """
    rows = np.asarray(embeddings, np.float32)
    lengths = np.linalg.norm(rows, axis=1)
    usable = np.flatnonzero((lengths > 0) & np.isfinite(coverage))
    if len(usable) <= neighbours:
        raise ValueError(
            f"{len(usable)} labelled items saw something, and {neighbours} neighbours are to judge each; label "
            "more, or ask fewer"
        )
    unit = rows[usable] / lengths[usable, None]
    own = np.arange(len(usable)) if blocks is None else np.asarray(blocks)[usable]
    expected, score = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    labels = np.asarray(coverage, np.float64)[usable]
    for start in range(0, len(usable), 1_024):
        stop = min(start + 1_024, len(usable))
        alike = unit[start:stop] @ unit.T
        alike[own[start:stop, None] == own[None]] = -np.inf
        near = np.argsort(-alike, axis=1, kind="stable")[:, :neighbours]
        judges = np.isfinite(np.take_along_axis(alike, near, axis=1)).all(1)  # a block may hold nearly all items
        theirs = labels[near]
        mean, spread = theirs.mean(1), np.maximum(theirs.std(1), LEAST_SPREAD)
        place = usable[start:stop]
        expected[place] = np.where(judges, mean, np.nan)
        score[place] = np.where(judges, np.abs(labels[start:stop] - mean) / spread, np.nan)
    ranked = np.argsort(-np.nan_to_num(score, nan=-np.inf), kind="stable")
    return Audit(expected, score, ranked[np.isfinite(score[ranked])])
