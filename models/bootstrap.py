"""Confidence intervals from sums per block: how much would a score move, had other blocks been labelled or asked for?

Neighbouring pixels are alike, so a million of them are not a million observations; nor are frames three hours apart.
Blocks larger than the reach of that likeness are drawn with replacement, whole (the block bootstrap; Efron and
Tibshirani 1993, chapter 13: percentile intervals). A score is a function of sums, so a resample is a weighted sum of
the blocks' sums.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A score and the interval in which the given share of the resamples lies."""

    value: float
    """Of all blocks as they are."""
    low: float
    high: float


def block_bootstrap(
    counts: np.ndarray,
    statistic: Callable[[np.ndarray], Mapping[str, float]],
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return an interval for every score of `statistic`.

    counts: integers (blocks, ...), for example confusion matrices (blocks, K, K); statistic: from their sum (...) to
    scores by name. For the difference of two maps on the same blocks stack their counts to (blocks, 2, K, K)
    and let the statistic subtract: both maps are then drawn on the same ground.
    Resamples in which a score is undefined (NaN) are left out of its interval.
    Raises ValueError: fewer than two blocks, or a level outside (0, 1).
    """
    if len(counts) < 2 or not 0 < level < 1 or resamples < 1:
        raise ValueError(
            f"A bootstrap needs two blocks or more, a level in (0, 1) and a resample, got {len(counts)} blocks, level "
            f"{level}, {resamples} resamples. Cut the labelled ground into more blocks."
        )
    value = dict(statistic(counts.sum(0)))
    random = np.random.default_rng(seed)
    blocks = len(counts)
    flat = counts.reshape(blocks, -1).astype(np.int64)
    found: dict[str, list[float]] = {name: [] for name in value}
    for _ in range(resamples):
        times = np.bincount(random.integers(blocks, size=blocks), minlength=blocks)
        drawn = statistic((times @ flat).reshape(counts.shape[1:]))
        for name in value:
            found[name].append(drawn[name])
    tails = 100 * (1 - level) / 2
    out = {}
    for name, drawn_values in found.items():
        defined = np.array([v for v in drawn_values if v == v])
        low, high = np.percentile(defined, [tails, 100 - tails]) if defined.size else (float("nan"),) * 2
        out[name] = Interval(float(value[name]), float(low), float(high))
    return out


def block_means(
    values: np.ndarray, block_ids: np.ndarray, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> list[Interval]:
    """Return the mean of every column of numbers, with its interval by resampling whole blocks.

    values: (n, m) or (n,), one row an observation; a NaN is left out of its column. block_ids: (n,), observations of
    equal ids are drawn together. For the difference of two scores on the same observations pass their differences.
    With fewer than two blocks nothing is known of other blocks, and intervals are NaN.
    Raises ValueError: no observation, or not one id for each.
    """
    columns = values.reshape(len(values), -1).astype(np.float64)
    if not len(values) or block_ids.shape != (len(values),):
        raise ValueError(
            f"Means of {values.shape} want one block id a row, got {block_ids.shape}. Pass both of the same rows."
        )
    names, place = np.unique(block_ids, return_inverse=True)
    known = np.isfinite(columns)
    sums, counts = np.zeros((2, len(names), columns.shape[1]))
    np.add.at(sums, place, np.where(known, columns, 0))
    np.add.at(counts, place, known)
    with np.errstate(invalid="ignore"):
        means = sums.sum(0) / counts.sum(0)
        if len(names) < 2:
            return [Interval(mean, float("nan"), float("nan")) for mean in means.tolist()]
        times = _drawn(len(names), resamples, seed)
        resampled = (times @ sums) / (times @ counts)
    tails = 100 * (1 - level) / 2
    out = []
    for mean, column in zip(means.tolist(), resampled.T, strict=True):
        defined = column[np.isfinite(column)]
        low, high = np.percentile(defined, [tails, 100 - tails]) if defined.size else (float("nan"),) * 2
        out.append(Interval(mean, float(low), float(high)))
    return out


@lru_cache(maxsize=4)
def _drawn(blocks: int, resamples: int, seed: int) -> np.ndarray:
    """Return how often each block is in each resample, float64 (resamples, blocks); many scores ask for the same."""
    random = np.random.default_rng(seed)
    drawn = [np.bincount(random.integers(blocks, size=blocks), minlength=blocks) for _ in range(resamples)]
    return np.array(drawn, np.float64)
