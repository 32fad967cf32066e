"""Exact similarity search: the best k of any number of vectors, block by block; numpy and torch only.

Stored vectors and queries are float16 of length 1. A float16 of at most 1 is a multiple of 2^-24, a product of two is
one of 2^-48, and no partial sum of a scalar product exceeds the product of the lengths (Cauchy and Schwarz): all of
them are whole multiples of 2^-48 below 2, which float64 holds without rounding. So a score in float64 is *exact*: it
does not depend on the order of the sum, on how the rows were cut into blocks, on threads, libraries or machines, and
neither does the result, where ties go by id.

Float64 is slow for what is mostly thrown away. A float32 product is off by at most `n u / (1 - n u)` times the lengths,
u = 2^-24, in any order of summation (Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, section 3.1):
only rows that come within twice that of the k-th best are scored again, exactly. That is no approximation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

BLOCK_ROWS = 65_536
"""Rows that are read, scored and dropped at once: 100 MB of 768 numbers."""
STRIP_ROWS = 256
"""Rows that are float32 at once, for each thread: under 1 MB, which is still in its core's cache when it is multiplied.
Three times as fast as 4,096 rows."""
LONGEST = 1.001
"""Length of a vector of length 1 that was rounded to float16, at most: each number is off by up to 2^-11 of it."""
MOST_FRAMES = 16
"""In a sequence: the sum of so many exact scores is still exact."""
UNLIKE_WEIGHT = 0.5


@dataclass(frozen=True)
class Best:
    """The best of some rows, in order: falling score, rising id where scores are equal."""

    scores: np.ndarray
    """float64 (n,)."""
    ids: np.ndarray
    """int64 (n,)."""

    def __len__(self) -> int:
        return len(self.ids)


NONE = Best(np.empty(0), np.empty(0, np.int64))


def float32_error(dimension: int) -> float:
    """Return how far a float32 scalar product of two stored vectors may be from the true one."""
    share = dimension * 2.0**-24
    return share / (1 - share) * LONGEST**2


def unit_float16(vector: np.ndarray) -> np.ndarray:
    """Return a vector as it is searched with: length 1, then float16.

    Args:
        vector: float (dimension,).

    Raises:
        ValueError: it has no direction.
    """
    values = np.asarray(vector, np.float64)
    length = float(np.linalg.norm(values))
    if not np.isfinite(length) or length == 0:
        raise ValueError("a query has no direction: its examples cancel out, or saw nothing; choose others")
    return np.asarray((values / length).astype(np.float16))


def rocchio(positives: np.ndarray, negatives: np.ndarray | None = None, unlike: float = UNLIKE_WEIGHT) -> np.ndarray:
    """Return the query for several examples: `mean(positives) - unlike * mean(negatives)`, of length 1.

    Rocchio (1971), Relevance Feedback in Information Retrieval, with alpha = 0, beta = 1 and gamma = `unlike`: there is
    no query beside the examples. Manning, Raghavan and Schuetze (Introduction to Information Retrieval, 2008, section
    9.1.1) advise a gamma clearly below beta, because positives are worth more.

    Args:
        positives: float16 (n, dimension), at least one.
        negatives: float16 (m, dimension), or None.
        unlike: how much negatives count.

    Returns:
        float16 (dimension,).

    Raises:
        ValueError: no positive, or nothing is left of them.
    """
    if not len(positives):
        raise ValueError("a search needs an example of what is wanted, not only of what is not; add one with --like")
    mean = np.asarray(positives, np.float64).mean(axis=0)
    if negatives is not None and len(negatives):
        mean = mean - unlike * np.asarray(negatives, np.float64).mean(axis=0)
    return unit_float16(mean)


def exact_scores(rows: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Return the exact cosines of rows with a query: float64 (n,).

    Args:
        rows: float16 (n, dimension), of length 1.
        query: float16 (dimension,), of length 1.
    """
    return np.asarray(rows.astype(np.float64) @ query.astype(np.float64))


def rough_scores(rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Return cosines within `float32_error`: float32 (n, q).

    Args:
        rows: float16 (n, dimension).
        queries: float16 (q, dimension).
    """
    stored, wanted = _tensor(rows), _tensor(queries).float().T.contiguous()
    out = torch.empty((len(rows), len(queries)))
    step = STRIP_ROWS * torch.get_num_threads()
    strip = torch.empty((min(step, max(1, len(rows))), rows.shape[1]))
    for first in range(0, len(rows), step):
        part = stored[first : first + step]
        held = strip[: len(part)]
        held.copy_(part)
        torch.mm(held, wanted, out=out[first : first + step])
    return out.numpy()


def best_of_block(rows: np.ndarray, queries: np.ndarray, allowed: np.ndarray, k: int, first_id: int = 0) -> list[Best]:
    """Return the best k rows for each query.

    Args:
        rows: float16 (n, dimension), of length 1.
        queries: float16 (q, dimension), of length 1.
        allowed: bool (n,): rows that may be found; all others might as well not be there.
        k: how many at most.
        first_id: id of the first row; the others follow.
    """
    places = np.flatnonzero(allowed)
    if not len(places) or k < 1:
        return [NONE] * len(queries)
    rough = rough_scores(rows, queries)
    error = float32_error(rows.shape[1])
    found = []
    for query, about in zip(queries, np.ascontiguousarray(rough.T), strict=True):
        some = places[_may_be_best(about[places], k, error)]
        found.append(_ordered(exact_scores(rows[some], query), some + first_id, k))
    return found


def best_sequences(rows: np.ndarray, queries: np.ndarray, members: np.ndarray, ids: np.ndarray, k: int) -> Best:
    """Return the best k sequences: the score of one is the mean of the cosines of its rows with those of the query.

    Args:
        rows: float16 (n, dimension), of length 1.
        queries: float16 (j, dimension): the rows of the query's own sequence, in order.
        members: int (m, j): the rows of each sequence, in the same order.
        ids: int (m,): what a sequence is called: rising.
        k: how many at most.

    Raises:
        ValueError: more than `MOST_FRAMES` rows in a sequence.
    """
    length = len(queries)
    if length > MOST_FRAMES:
        raise ValueError(f"a sequence of {length} frames was asked for, at most {MOST_FRAMES} are compared; give fewer")
    if not len(members) or k < 1:
        return NONE
    rough = rough_scores(rows, queries)
    about = rough[members, np.arange(length)].astype(np.float64).mean(axis=1)
    some = np.flatnonzero(_may_be_best(about, k, float32_error(rows.shape[1])))
    exact = np.zeros(len(some))
    for place, query in enumerate(queries):
        exact += exact_scores(rows[members[some, place]], query)
    return _ordered(exact / length, ids[some], k)


def merged(parts: Iterable[Best], k: int) -> Best:
    """Return the best k of what was found in several blocks, in whatever order they come."""
    there = list(parts)
    if not there:
        return NONE
    return _ordered(np.concatenate([p.scores for p in there]), np.concatenate([p.ids for p in there]), k)


def best_of(blocks: Iterable[tuple[np.ndarray, np.ndarray, int]], queries: np.ndarray, k: int) -> list[Best]:
    """Return the best k rows of all blocks for each query: blocks are taken one at a time and dropped.

    Args:
        blocks: rows float16 (n, dimension), allowed bool (n,), id of the first row.
        queries: float16 (q, dimension).
        k: how many at most.
    """
    best: Sequence[Best] = [NONE] * len(queries)
    for rows, allowed, first_id in blocks:
        found = best_of_block(rows, queries, allowed, k, first_id)
        best = [merged(pair, k) for pair in zip(best, found, strict=True)]
    return list(best)


def _may_be_best(about: np.ndarray, k: int, error: float) -> np.ndarray:
    """Return which scores, each known within `error`, may be among the best k: bool (n,)."""
    if len(about) <= k:
        return np.ones(len(about), bool)
    kth = np.partition(about, len(about) - k)[len(about) - k]
    return np.asarray(about.astype(np.float64) >= float(kth) - 2 * error)


def _ordered(scores: np.ndarray, ids: np.ndarray, k: int) -> Best:
    order = np.lexsort((ids, -scores))[:k]
    return Best(scores[order], ids[order].astype(np.int64))


def _tensor(array: np.ndarray) -> torch.Tensor:
    # Stores may hand out read-only arrays, which torch warns about although nobody writes here
    array = np.ascontiguousarray(array)
    return torch.from_numpy(array if array.flags.writeable else array.copy())
