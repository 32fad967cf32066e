"""Learning the rule of adaptive inference: evidence from windows, and the threshold that keeps a bound.

The threshold is the largest for which the map may differ from the full map by no more than the bound. The difference is
the Jaccard distance d = 1 - |A and F| / |A or F| of a class in the adaptive map A and the full map F. It is a metric
(Kosub 2019, "A note on the triangle inequality for the Jaccard distance"), hence, whatever the truth T is,

    |IoU(A, T) - IoU(F, T)| <= d(A, F),

so that the bound holds for the change of the score as well, and needs no labels. It holds on the windows it was learnt
from with the given confidence (one-sided, by bootstrap over windows), and on others as far as these stand for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.adaptive_rule import BINS, bins_of, classes_in

RESAMPLES = 400
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Evidence:
    """What windows say about one first pass: counts of valid pixels; the first axis of all is the window."""

    pixels: np.ndarray
    """(w, BINS) by bin of the first pass's margins."""
    changed: np.ndarray
    """(w, BINS): of these, how many the full ensemble calls otherwise."""
    spread: np.ndarray
    """(w, BINS): sum of the full ensemble's spreads (mean over classes)."""
    both: np.ndarray
    """(w, C): pixels of a class (background left out) in both maps."""
    either: np.ndarray
    """(w, C): in any of the two."""
    full: np.ndarray
    """(w, C): in the map of the full ensemble."""

    @classmethod
    def of(
        cls, first: np.ndarray, mean: np.ndarray, spread: np.ndarray, valid: np.ndarray, threshold: float
    ) -> Evidence:
        """Compare one window: logits and spread (K, y, x) of first pass and full ensemble, valid bool (y, x)."""
        bins = bins_of(first, threshold)[valid]
        a, f = classes_in(first, threshold)[:, valid], classes_in(mean, threshold)[:, valid]

        def by_bin(weights: np.ndarray | None = None) -> np.ndarray:
            return np.bincount(bins, weights, BINS)[None].astype(np.float64)

        counts = [np.count_nonzero(found, axis=1)[None] for found in (a & f, a | f, f)]
        return cls(by_bin(), by_bin((a != f).any(axis=0)), by_bin(spread.mean(axis=0)[valid]), *counts)

    @classmethod
    def together(cls, parts: Sequence[Evidence]) -> Evidence:
        """Return the evidence of all windows."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))

    def to_json(self) -> dict[str, list]:
        """Return plain lists."""
        return {name: np.round(getattr(self, name), 4).tolist() for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, values: Mapping[str, list]) -> Evidence:
        """Read what `to_json` returned."""
        return cls(*(np.array(values[name], np.float64) for name in cls.__dataclass_fields__))


@dataclass(frozen=True)
class Choice:
    """The threshold that keeps the bound, and how it does on the windows it was learnt from."""

    change: np.ndarray
    spread: np.ndarray
    refine_above: float
    windows: int
    refined: float
    """Share of windows."""
    forwards: float
    """Share of the forward passes that the full ensemble needs."""
    distance: float
    """Largest Jaccard distance of a class to the full map."""
    upper: float
    """Its one-sided upper confidence limit."""
    curve: list[dict[str, float]]
    """`refined`, `forwards`, `distance` and `upper` from no window refined to all."""

    @property
    def found(self) -> dict[str, Any]:
        """Everything but the tables."""
        names = ("windows", "refined", "forwards", "distance", "upper", "curve")
        return {name: getattr(self, name) for name in names}


def choose(evidence: Evidence, passes: int, bound: float, seed: int = 0) -> Choice:
    """Find the largest threshold of expected changes that keeps the bound.

    evidence: of validation windows. passes: forward passes of the full ensemble (networks x views). bound: largest
    Jaccard distance to the full map. seed: of the bootstrap.
    Raises ValueError: no windows.
    """
    if not len(evidence.pixels):
        raise ValueError("no window has a valid pixel: there is nothing to learn from; choose other scenes")
    change, spread = _by_margin(evidence.changed, evidence.pixels), _by_margin(evidence.spread, evidence.pixels)
    # The more certain, the fewer changes: bins of few pixels must not say otherwise, so that each is at least the next.
    change = np.maximum.accumulate(change[::-1])[::-1]
    expected = evidence.pixels @ change
    order = np.argsort(-expected, kind="stable")
    count = len(order)
    sums = [np.asarray(values, np.float64)[order] for values in (evidence.both, evidence.either, evidence.full)]
    distance = _distances(np.ones((1, count)), *sums)[0]
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    upper = np.quantile(_distances(drawn.astype(np.float64), *sums), CONFIDENCE, axis=0)
    # Windows of equal expectation cannot be told apart later: all of them are refined, or none.
    apart = np.concatenate([[True], np.diff(expected[order]) < 0, [True]])
    keeps = (upper <= bound) & apart
    refine = int(np.argmax(keeps))  # all refined differs by nothing, so some threshold keeps any bound
    limit = -1.0 if refine == count else float(expected[order[refine]])
    steps = sorted({*np.linspace(0, count, min(count, 40) + 1).round().astype(int).tolist(), refine})
    curve = [
        {"refined": m / count, "forwards": 1 / passes + m / count, "distance": distance[m], "upper": upper[m]}
        for m in steps
    ]
    curve = [{name: round(float(value), 6) for name, value in point.items()} for point in curve]
    share = refine / count
    return Choice(
        change,
        spread,
        limit,
        count,
        share,
        1 / passes + share,
        float(distance[refine]),
        float(upper[refine]),
        curve,
    )


def _by_margin(sums: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return sums over windows per pixel; a bin without pixels is what the next less certain one is."""
    total, count = sums.sum(axis=0), pixels.sum(axis=0)
    out = np.zeros(BINS)
    for place in range(BINS):
        out[place] = total[place] / count[place] if count[place] else (out[place - 1] if place else 0.0)
    return out


def _distances(weights: np.ndarray, both: np.ndarray, either: np.ndarray, full: np.ndarray) -> np.ndarray:
    """Return the Jaccard distance (r, w + 1) if the first 0, 1 ... w windows are refined, the largest over classes.

    weights: (r, w), how often each window counts; both, either, full: (w, C), windows in the order of refinement.
    """
    worst = np.zeros((len(weights), weights.shape[1] + 1))
    for c in range(both.shape[1]):
        refined, alike, union = (_cumulated(weights * values[:, c]) for values in (full, both, either))
        alike = refined + alike[:, -1:] - alike
        union = refined + union[:, -1:] - union
        distance = 1 - np.divide(alike, union, out=np.ones_like(union), where=union > 0)
        worst = np.maximum(worst, distance)
    return worst


def _cumulated(values: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
