"""Confidence intervals from counts per block of ground: how much would a score move, had other blocks been labelled?

Neighbouring pixels are alike, so a million of them are not a million observations. Blocks larger than the reach of
that likeness are drawn with replacement, whole (the block bootstrap; Efron and Tibshirani 1993, chapter 13: percentile
intervals). A score is a function of summed counts, so a resample is a weighted sum of the blocks' counts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

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
    scores by name. For the difference of two maps on the same blocks stack their counts to (blocks, 2, K, K) and let
    the statistic subtract: both maps are then drawn on the same ground.
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
