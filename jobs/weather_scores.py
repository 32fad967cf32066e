"""How well embeddings retrieve weather: every score of every query, then means, intervals, differences of methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from models.bootstrap import Interval, block_means
from models.retrieval import (
    Similarity,
    cosine,
    hits,
    ndcg,
    neighbours,
    ranks_of,
    recall,
    season_error_days,
    state_gain,
    successors,
)

HOURS = (0.0, 24.0, 72.0)
"""Which frames about the query are no answers: itself alone, as the document has it, and what is near it in time."""
STRICT = 72.0
"""Of the scores by known state: what is so near in time is like the query by itself."""
TOP = 3
BLOCK_DAYS = 10
STEP_HOURS = 3.0
LOWER_IS_BETTER = ("season_error_days", "next_rank")
IMAGE_METRICS = ("lpips", "psnr", "ssim")


@dataclass(frozen=True)
class States:
    """What is known of the weather of each frame."""

    vectors: np.ndarray
    """(n, m): the similarity of two states is exp(-|a - b|^2)."""
    quadrant: np.ndarray
    """int (n,): in which quarter of the image the strongest typhoon lies, -1 where there is none."""


@dataclass(frozen=True)
class Question:
    """What is asked of every embedding: frames, queries, and what is known to be right."""

    times: np.ndarray
    """datetime64[s] (n,), of the gallery."""
    series: np.ndarray
    """int (n,)."""
    queries: np.ndarray
    """int (q,), places in the gallery."""
    k: int
    images: Mapping[str, np.ndarray] = field(default_factory=dict)
    """`observed_psnr` and so on: places of the nearest frames by an image metric, int32 (len(HOURS), q, k); -1 where a
    query was not asked."""
    states: States | None = None

    @cached_property
    def blocks(self) -> np.ndarray:
        """Which stretch of days each query lies in, int64 (q,): queries of one are drawn together."""
        return self.times[self.queries].astype("datetime64[D]").astype(np.int64) // BLOCK_DAYS

    @cached_property
    def gain(self) -> Similarity | None:
        """The similarity of the known states."""
        return None if self.states is None else state_gain(self.states.vectors)

    @cached_property
    def later(self) -> np.ndarray:
        """Place of the next frame of each query, -1 where there is none."""
        return successors(self.times, self.series, STEP_HOURS)[self.queries]

    @cached_property
    def crossing(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """For queries of the first sensor: which (rows of `queries`), the frames of the second, the truth among them.

        None where states are unknown, there is one sensor, or a sensor has too few frames.
        """
        first, second = np.flatnonzero(self.series[self.queries] == 0), np.flatnonzero(self.series == 1)
        if self.gain is None or not len(first) or len(second) < 2 * self.k:
            return None
        truth = across(self.gain, self.queries[first], second, self.times, self.k)
        return first, second, truth


def across(alike: Similarity, queries: np.ndarray, among: np.ndarray, times: np.ndarray, k: int) -> np.ndarray:
    """Return the k nearest of some frames of the gallery (q, k), places in it; none within `STRICT` hours."""

    def similarity(places: np.ndarray) -> np.ndarray:
        out = np.full((len(places), len(times)), -np.inf, np.float32)
        out[:, among] = alike(places)[:, among]
        return out

    return neighbours(similarity, queries, times, STRICT, k)


def values_of(embeddings: np.ndarray, question: Question) -> dict[str, np.ndarray]:
    """Return every score of every query (q,) by name; NaN where a query has none.

    embeddings: (n, d) of the gallery.
    """
    alike, q, times = cosine(embeddings), question.queries, question.times
    out: dict[str, np.ndarray] = {}
    for place, hours in enumerate(HOURS):
        found = neighbours(alike, q, times, hours, question.k)
        end = f"_{hours:g}h"
        for name, truth in question.images.items():
            known = truth[place][:, 0] >= 0
            out[f"recall_{name}{end}"] = np.full(len(q), np.nan)
            out[f"recall_{name}{end}"][known] = recall(truth[place][known], found[known])
        out[f"season_error_days{end}"] = season_error_days(times, times[q], found)
        if question.states is not None and question.gain is not None:
            quadrant = question.states.quadrant
            out[f"state_ndcg{end}"] = ndcg(question.gain, found, q, times, hours)
            storm, top = quadrant[q] >= 0, found[:, :TOP]
            out[f"typhoon_hit{end}"] = np.where(storm, hits(np.ones(len(q)), quadrant >= 0, top), np.nan)
            out[f"same_quadrant{end}"] = np.where(storm, hits(quadrant[q], quadrant, top), np.nan)
    out["next_rank"] = ranks_of(alike, q, question.later)
    if question.crossing is not None:
        rows, second, truth = question.crossing
        out["cross_sensor"] = np.full(len(q), np.nan)
        out["cross_sensor"][rows] = recall(truth, across(alike, q[rows], second, times, question.k))
    return out


@dataclass(frozen=True)
class Score:
    """One score of one method."""

    mean: float
    """Over queries, then over seeds; of `next_rank` the median."""
    sd: float
    """Over queries (population), mean over seeds."""
    low: float
    high: float
    """95 % interval of the mean over stretches of ten days, seeds averaged first."""
    seeds: tuple[float, ...]
    """The mean of each seed."""


def score_of(by_seed: Sequence[np.ndarray], blocks: np.ndarray, name: str) -> Score:
    """Return a score from its values by seed, (q,) each."""
    values = np.stack(by_seed)
    if not np.isfinite(values).any():
        return Score(*(float("nan"),) * 4, tuple(float("nan") for _ in by_seed))
    if name == "next_rank":
        medians = [float(np.nanmedian(v)) for v in values]
        return Score(float(np.mean(medians)), float("nan"), float("nan"), float("nan"), tuple(medians))
    interval = block_means(values.mean(0), blocks)[0]
    means = tuple(float(np.nanmean(v)) for v in values)
    spread = float(np.mean([np.nanstd(v) for v in values]))
    return Score(float(np.mean(means)), spread, interval.low, interval.high, means)


@dataclass(frozen=True)
class Difference:
    """A method beside another one, on the same queries: positive where the first is better."""

    better: str
    than: str
    score: str
    interval: Interval
    seeds: tuple[float, ...]

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes zero, on the side of the first."""
        return self.interval.low > 0

    @property
    def keeps_order(self) -> bool:
        """Whether the first is better with every seed."""
        return all(value > 0 for value in self.seeds)


def difference(
    name: str, first: str, second: str, values: Mapping[str, Sequence[Mapping[str, np.ndarray]]], blocks: np.ndarray
) -> Difference | None:
    """Compare two methods by one score, query by query and seed by seed; None where either has none.

    values: method to the values of each seed. A method of one seed is compared with every seed of the other.
    """
    pairs = [[one[name] for one in values[method] if name in one] for method in (first, second)]
    if not all(pairs):
        return None
    sign = -1 if name.startswith(LOWER_IS_BETTER) else 1
    count = max(map(len, pairs))
    apart = np.stack([sign * (pairs[0][i % len(pairs[0])] - pairs[1][i % len(pairs[1])]) for i in range(count)])
    if not np.isfinite(apart).any():
        return None
    return Difference(
        first, second, name, block_means(apart.mean(0), blocks)[0], tuple(float(np.nanmean(a)) for a in apart)
    )
