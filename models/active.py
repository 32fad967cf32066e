"""Active learning: which unlabelled items to label next, so that the errors at hand go away.

Those that look like the errors are worth a label, but not forty copies of one of them: the nearest to each error make
a pool, and k-means++ seeding (Arthur and Vassilvitskii 2007) draws from it items that lie far apart, as core-set
methods do (Sener and Savarese 2018). Items weigh as much as they look like an error: seeding alone would choose what
lies at the edge of the pool, and looks like the errors least.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

POOL_FACTOR = 3
"""Candidates for each label that is asked for."""
BLOCK_ROWS = 4_096


@dataclass(frozen=True)
class Queue:
    """What to label, in order: any beginning of it is spread out as well."""

    items: np.ndarray
    """int64 (k,): rows of the unlabelled embeddings, each once."""
    error: np.ndarray
    """int64 (k,): the row of the error that each looks most like."""
    cosine: np.ndarray
    """float64 (k,): how much."""


def label_queue(
    errors: np.ndarray, unlabelled: np.ndarray, count: int, pool_factor: int = POOL_FACTOR, seed: int = 0
) -> Queue:
    """Choose unlabelled items to label.

    Args:
        errors: float (e, dimension): embeddings of items on which the networks err.
        unlabelled: float (n, dimension); rows of length zero saw nothing and are never chosen.
        count: how many to choose; fewer come where there are fewer.
        pool_factor: the pool holds `count` times this, each error's nearest items in turn.
        seed: of the draws.

    Raises:
        ValueError: no error, or nothing to label.
    """
    wrong, free = _unit(errors), _unit(unlabelled)
    usable = np.flatnonzero(free.any(axis=1))
    if not len(wrong) or not len(usable) or count < 1:
        raise ValueError(
            f"a queue of {count} needs errors and unlabelled items that saw something, got {len(wrong)} errors and "
            f"{len(usable)} items"
        )
    pool = usable[_nearest_in_turn(wrong, free[usable], min(count * pool_factor, len(usable)))]
    closeness = (free[pool] @ wrong.T).max(1)
    chosen = pool[_spread_out(free[pool], closeness - closeness.min(), min(count, len(pool)), seed)]
    alike = free[chosen] @ wrong.T
    return Queue(chosen, alike.argmax(1), alike.max(1).astype(np.float64))


def _nearest_in_turn(wrong: np.ndarray, free: np.ndarray, count: int) -> np.ndarray:
    """Return `count` rows: the nearest of every error, then the second nearest..., as many errors as there are."""
    best: np.ndarray = np.full(len(free), np.iinfo(np.int64).max)
    closeness = np.full(len(free), -np.inf, np.float32)
    for start in range(0, len(wrong), BLOCK_ROWS):
        alike = wrong[start : start + BLOCK_ROWS] @ free.T
        ranks = np.empty(alike.shape, np.int64)
        order = np.argsort(-alike, axis=1, kind="stable")
        np.put_along_axis(ranks, order, np.arange(len(free))[None], axis=1)
        best = np.minimum(best, ranks.min(0))
        closeness = np.maximum(closeness, alike.max(0))
    return np.lexsort((np.arange(len(free)), -closeness, best))[:count]


def _spread_out(rows: np.ndarray, weight: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return `count` distinct rows by weighted k-means++ seeding; where fewer differ, the first of the rest."""
    from sklearn.cluster import kmeans_plusplus

    distinct = min(count, len(np.unique(rows, axis=0)))
    weighed = weight / weight.max() if weight.max() > 0 else np.ones_like(weight)
    _, drawn = kmeans_plusplus(rows, distinct, sample_weight=np.maximum(weighed, 1e-3), random_state=seed)
    chosen = drawn[np.sort(np.unique(drawn, return_index=True)[1])]
    rest = np.setdiff1d(np.arange(len(rows)), chosen)
    return np.concatenate([chosen, rest[: count - len(chosen)]]).astype(np.int64)


def _unit(rows: np.ndarray) -> np.ndarray:
    values = np.asarray(rows, np.float32)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0)
