"""Is a probability of 0.8 right in 8 cases of 10? Reliability, its error, and the temperature that mends it.

What is collected is histograms of integers, which add up exactly and in any order: a country is the sum of
its cells, whoever counted them.

    ECE = sum over bins of n_b / n * |accuracy_b - confidence_b|      (Guo et al. 2017, equation 3)
    T   = argmin of the mean negative log-likelihood of softmax(logits / T)                     (section 4.2)

In a binary map the confidence is p and "correct" is the label: the curve then says how often a pixel with p = 0.8 is
industrial. For several classes it is the largest probability, and whether that class is right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from models.metrics import IGNORE

FINE_BINS = 4096
"""Bins of [0, 1] that are counted; coarser ones are made of them."""
UNITS = 2**24
"""Confidences are summed as whole numbers of 1 / UNITS, because floating sums depend on their order."""
LOGIT_RANGE, LOGIT_BINS = 64.0, 8192
"""Logits are counted in bins of 1/64; beyond +-64 in the outermost ones."""


@dataclass(frozen=True)
class Reliability:
    """How many predictions of each confidence there were, and how many were right; adds up with +."""

    counts: np.ndarray
    """int64 (FINE_BINS,)."""
    correct: np.ndarray
    """int64 (FINE_BINS,)."""
    confidence: np.ndarray
    """int64 (FINE_BINS,): sum of confidences in units of 1 / UNITS."""

    @staticmethod
    def of(confidence: np.ndarray, correct: np.ndarray, seen: np.ndarray | None = None) -> Reliability:
        """Count predictions: confidence float in [0, 1] and correct bool, same shape; seen: where to count at all.

        Raises:
            ValueError: unlike shapes, or a confidence outside [0, 1].
        """
        if confidence.shape != correct.shape:
            raise ValueError(f"Confidences {confidence.shape} and outcomes {correct.shape} differ. Give one for each.")
        chosen = np.ones(confidence.shape, bool) if seen is None else seen
        values, right = confidence[chosen].astype(np.float64), correct[chosen].astype(bool)
        if values.size and not (values.min() >= 0 and values.max() <= 1):
            raise ValueError(f"Confidences lie in [0, 1], found {values.min()} to {values.max()}. Apply the sigmoid.")
        bins = np.minimum((values * FINE_BINS).astype(np.int64), FINE_BINS - 1)
        # exact: whole numbers whose sum stays below 2^53, for up to 5e8 pixels in one call
        sums = np.bincount(bins, np.rint(values * UNITS), minlength=FINE_BINS).astype(np.int64)
        return Reliability(np.bincount(bins, minlength=FINE_BINS), np.bincount(bins[right], minlength=FINE_BINS), sums)

    def __add__(self, other: Reliability) -> Reliability:
        return Reliability(self.counts + other.counts, self.correct + other.correct, self.confidence + other.confidence)

    def curve(self, bins: int = 15, kind: Literal["width", "mass"] = "width") -> Curve:
        """Return the reliability curve in `bins` bins of equal width, or of equal mass as far as fine bins allow.

        Equal width: bin b holds [b / bins, (b + 1) / bins), to within 1 / FINE_BINS where bins is no power of two.
        Equal mass: bin b ends with the fine bin in which the share (b + 1) / bins of all predictions is reached.
        """
        if kind == "width":
            owner = np.arange(FINE_BINS) * bins // FINE_BINS
        else:
            total = max(int(self.counts.sum()), 1)
            before = np.cumsum(self.counts) - self.counts
            owner = np.minimum(before * bins // total, bins - 1)
        summed = [np.bincount(owner, values, minlength=bins) for values in (self.counts, self.correct)]
        confidence = np.zeros(bins, np.int64)
        np.add.at(confidence, owner, self.confidence)
        count = summed[0].astype(np.int64)
        with np.errstate(invalid="ignore"):
            return Curve(count, confidence / UNITS / count, summed[1] / count)


@dataclass(frozen=True)
class Curve:
    """A reliability curve; NaN in bins without a prediction."""

    counts: np.ndarray
    """int64 (bins,)."""
    confidence: np.ndarray
    """float64 (bins,): mean confidence of the bin."""
    accuracy: np.ndarray
    """float64 (bins,): share of the bin that was right."""

    @property
    def error(self) -> float:
        """The expected calibration error; NaN of nothing."""
        total = int(self.counts.sum())
        gaps = np.abs(self.accuracy - self.confidence)
        return float(np.nansum(self.counts * gaps) / total) if total else float("nan")


def logit_histogram(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Count binary logits by label: int64 (2, LOGIT_BINS); histograms of parts add up to that of the whole.

    logits: float, any shape; labels: same shape, 0, 1 or 255 (left out).
    """
    if logits.shape != labels.shape:
        raise ValueError(f"Logits {logits.shape} and labels {labels.shape} differ in shape. Give one for each.")
    place = np.floor((logits.astype(np.float64) + LOGIT_RANGE) * (LOGIT_BINS / (2 * LOGIT_RANGE)))
    bins = np.clip(place, 0, LOGIT_BINS - 1).astype(np.int64)
    return np.stack([np.bincount(bins[labels == label], minlength=LOGIT_BINS) for label in (0, 1)])


def binary_temperature(histogram: np.ndarray) -> float:
    """Return the temperature of a `logit_histogram`, by Newton's method on s = 1 / T, in which the loss is convex.

    Bins count as their centres: an error of 1/128 per logit, far below what T is known to.
    Raises ValueError: no finite temperature fits (one label only, or every logit on its right side).
    """
    width = 2 * LOGIT_RANGE / LOGIT_BINS
    centres = (np.arange(LOGIT_BINS) + 0.5) * width - LOGIT_RANGE
    margins = np.concatenate([-centres, centres])  # of the right side
    counts = histogram.reshape(-1).astype(np.float64)

    def slopes(s: float) -> tuple[float, float]:
        wrong = 1 / (1 + np.exp(np.clip(s * margins, -700, 700)))
        return -float(counts @ (margins * wrong)), float(counts @ (margins**2 * wrong * (1 - wrong)))

    return 1 / _root(slopes)


@dataclass(frozen=True)
class SlopeGrid:
    """Slopes of the loss of several classes on a grid of s = 1 / T; adds up with +.

    Softmax has no histogram in one dimension. But the loss is convex in s, so its minimum is where the slope, a sum
    over pixels, changes sign: slope and curvature on a fixed grid say where, to within 1e-3 of T. (These are the only
    sums here that are not whole numbers; float64 keeps the order of addition out of all but the last digits.)
    """

    slopes: np.ndarray
    """float64 (GRID,): d/ds of the summed negative log-likelihood."""
    curvatures: np.ndarray
    """float64 (GRID,): d2/ds2 of the same."""
    count: int

    @staticmethod
    def of(logits: np.ndarray, labels: np.ndarray) -> SlopeGrid:
        """Sum over pixels; logits float (n, K, ...), labels (n, ...) class index or 255 (left out)."""
        seen = labels != IGNORE
        rows = np.moveaxis(logits, 1, -1)[seen].astype(np.float64)
        own = np.take_along_axis(rows, labels[seen].astype(np.int64)[:, None], 1)[:, 0]
        slopes, curvatures = np.zeros(len(GRID)), np.zeros(len(GRID))
        for i, s in enumerate(GRID):
            weights = np.exp(s * (rows - rows.max(1, keepdims=True)))
            weights /= weights.sum(1, keepdims=True)
            mean = (weights * rows).sum(1)
            slopes[i] = (mean - own).sum()
            curvatures[i] = (weights * (rows - mean[:, None]) ** 2).sum()
        return SlopeGrid(slopes, curvatures, int(seen.sum()))

    def __add__(self, other: SlopeGrid) -> SlopeGrid:
        return SlopeGrid(self.slopes + other.slopes, self.curvatures + other.curvatures, self.count + other.count)

    def temperature(self) -> float:
        """Return the temperature. Raises ValueError: it lies outside the grid (1/32 to 32)."""
        above = int(np.searchsorted(self.slopes > 0, True))
        if self.count == 0 or above in (0, len(GRID)):
            raise ValueError(_NO_TEMPERATURE)
        low, high = above - 1, above
        step = GRID[high] - GRID[low]

        def cubic(s: float) -> tuple[float, float]:  # Hermite's, through both slopes with both curvatures
            t = (s - GRID[low]) / step
            values, tangents = self.slopes[[low, high]], self.curvatures[[low, high]] * step
            value = (
                (1 + 2 * t) * (1 - t) ** 2 * values[0] + t * (1 - t) ** 2 * tangents[0]
                + t**2 * (3 - 2 * t) * values[1] + t**2 * (t - 1) * tangents[1]
            )  # fmt: skip
            slope = (
                6 * t * (t - 1) * (values[0] - values[1]) + (1 - t) * (1 - 3 * t) * tangents[0]
                + t * (3 * t - 2) * tangents[1]
            ) / step  # fmt: skip
            return float(value), float(slope)

        return 1 / _root(cubic, float(GRID[low]), float(GRID[high]))


GRID = np.exp(np.linspace(np.log(1 / 32), np.log(32), 41))
_NO_TEMPERATURE = (
    "No finite temperature fits these logits: they hold one label only, or every pixel is on its right side. "
    "Fit it on more validation pixels, or leave it at 1."
)


def _root(
    slopes: Callable[[float], tuple[float, float]], low: float = 1 / 64, high: float = 64.0, tolerance: float = 1e-10
) -> float:
    """Return the s at which a rising function is 0: Newton's steps, bisection where one would leave the bracket.

    slopes: from s to value and derivative.
    """
    if not slopes(low)[0] < 0 < slopes(high)[0]:
        raise ValueError(_NO_TEMPERATURE)
    s = float(np.sqrt(low * high))
    for _ in range(200):
        value, slope = slopes(s)
        low, high = (s, high) if value < 0 else (low, s)
        step = s - value / slope if slope > 0 else low
        following = step if low < step < high else (low + high) / 2
        if abs(following - s) <= tolerance * s:
            return following
        s = following
    return s
