"""Change screening: where does a place look unlike itself, by more than its seasons explain?

The distance of a new embedding from the nearest earlier one of its place is compared with how far each of these
lies from the nearest of the others. Distances are compared by their logarithms, in which a place
that changes with every season (paddy, bare soil) and one that never does (roofs) differ by a shift, not in shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAD_TO_DEVIATION = 1.4826
"""Median absolute deviation to standard deviation, of a normal distribution."""
LEAST_DISTANCE = 1e-6
"""Cosine distances below this are rounding."""
LEAST_VARIANCE = 1e-4
"""Of logarithms of distances: a hundredth of a distance is no difference."""


@dataclass(frozen=True)
class Screened:
    """What is said of each new item."""

    distance: np.ndarray
    """float64 (n,): cosine distance from the nearest earlier item of the place; NaN where there is none."""
    usual: np.ndarray
    """float64 (n,): what that distance usually is there."""
    score: np.ndarray
    """float64 (n,): how many deviations beyond the usual; NaN where the place was not seen before."""
    dates: np.ndarray
    """int64 (n,): earlier items of the place."""
    order: np.ndarray
    """int64: items with a score, the most changed first; ties by number."""


def screen(
    places: np.ndarray,
    embeddings: np.ndarray,
    new_places: np.ndarray,
    new_embeddings: np.ndarray,
    acquisition: np.ndarray | None = None,
    prior_dates: float = 4.0,
) -> Screened:
    """Rank new items by how unusual they are for their places.

    Args:
        places: int (m,) of earlier items, several dates of each place.
        embeddings: float (m, dimension).
        new_places: int (n,).
        new_embeddings: float (n, dimension).
        acquisition: int (n,): new items that were taken together. What a whole acquisition has in common (haze, an
            early spring) is season, not change: the middle of its scores is taken off, and where they spread by more
            than earlier dates explain they are divided by that. None: all are one.
        prior_dates: the variance of a place of d dates is a mean of its own, weight d - 2, and of that of all places,
            weight `prior_dates`: two or three dates alone say little. Its middle leans on the middle of all places as
            far as places are alike (empirical Bayes), which needs no number.

    Raises:
        ValueError: no place was seen at two earlier dates, so nothing says what is usual.
    """
    old, new = _unit(embeddings), _unit(new_embeddings)
    order = np.argsort(places, kind="stable")
    known, start, count = np.unique(places[order], return_index=True, return_counts=True)
    rows = {int(p): order[s : s + c] for p, s, c in zip(known, start, count, strict=True)}
    own = {p: _log_nearest(old[r], old[r], itself=True) for p, r in rows.items() if len(r) > 1}
    if not own:
        raise ValueError(
            "no place was seen at two earlier dates, so nothing says how much places change with the seasons; give an "
            "earlier run with more dates"
        )
    all_places = _Usual.of(own, prior_dates)
    distance, usual, score = (np.full(len(new_places), np.nan) for _ in range(3))
    dates = np.zeros(len(new_places), np.int64)
    for item, place in enumerate(new_places.tolist()):
        earlier = rows.get(place)
        if earlier is None:
            continue
        dates[item] = len(earlier)
        found = float(_log_nearest(new[item : item + 1], old[earlier], itself=False)[0])
        middle, spread = all_places.of_place(own.get(place))
        distance[item], usual[item] = np.exp(found), np.exp(middle)
        score[item] = (found - middle) / spread
    together = np.zeros(len(new_places), np.int64) if acquisition is None else acquisition
    for one in np.unique(together):
        mine = (together == one) & np.isfinite(score)
        if mine.any():  # no less than one: where nothing is unusual, scores keep their meaning
            score[mine] = (score[mine] - np.median(score[mine])) / max(1.0, _deviation(score[mine]))
    ranked = np.argsort(-np.nan_to_num(score, nan=-np.inf), kind="stable")
    return Screened(distance, usual, score, dates, ranked[np.isfinite(score[ranked])])


def _unit(rows: np.ndarray) -> np.ndarray:
    values = np.asarray(rows, np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0)


def _log_nearest(rows: np.ndarray, others: np.ndarray, itself: bool) -> np.ndarray:
    """Return the logarithm of each row's cosine distance from the nearest other, float64 (n,)."""
    apart = 1 - rows @ others.T
    if itself:
        np.fill_diagonal(apart, np.inf)
    return np.asarray(np.log(np.maximum(apart.min(1), LEAST_DISTANCE)))


@dataclass(frozen=True)
class _Usual:
    """How logarithms of distances spread: within places, and from place to place."""

    middle: float
    within: float
    """Variance over the dates of a place."""
    between: float
    """Variance over places of their middles."""
    prior_dates: float

    @classmethod
    def of(cls, own: dict[int, np.ndarray], prior_dates: float) -> _Usual:
        middles = np.array([np.median(values) for values in own.values()])
        # Two dates have one distance between them, so only three say how it spreads; the median, as some
        # places did change.
        variances = [values.var(ddof=1) for values in own.values() if len(values) > 2]
        total = max(_deviation(middles) ** 2, LEAST_VARIANCE)
        within = max(float(np.median(variances)), LEAST_VARIANCE) if variances else total / 2
        dates = float(np.mean([len(values) for values in own.values()]))
        between = max(total - within / dates, LEAST_VARIANCE) if variances else total / 2
        return cls(float(np.median(middles)), within, between, prior_dates)

    def of_place(self, values: np.ndarray | None) -> tuple[float, float]:
        """Return the usual logarithm of a place, and the deviation of a new one from it (empirical Bayes)."""
        n = 0 if values is None else len(values)
        if values is None or n == 0:
            return self.middle, float(np.sqrt(self.within + self.between))
        weight = self.between / (self.between + self.within / n)
        middle = weight * float(np.median(values)) + (1 - weight) * self.middle
        trust = (n - 2) / (n - 2 + self.prior_dates) if n > 2 else 0.0
        spread = trust * float(values.var(ddof=1)) + (1 - trust) * self.within if n > 2 else self.within
        return middle, float(np.sqrt(spread + weight * self.within / n))


def _deviation(values: np.ndarray) -> float:
    """Return a standard deviation that outliers do not move."""
    return float(MAD_TO_DEVIATION * np.median(np.abs(values - np.median(values))))
