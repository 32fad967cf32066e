"""What single pixels say: rules without context, which every network has to beat.

Two rules, both fitted on training pixels for the best mIoU: an interval of NDVI, and a logistic regression of bands
and NDVI. Fitting takes counts and a bounded sample, so that a country's training pixels need not be in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

NDVI_BINS = 80
STRIP_PX = 2**18
"""Pixels that are looked at at a time, which bounds memory."""
RIDGE = 1e-6
"""Share of a unit prior in the curvature: keeps separable samples from running away."""


def ndvi(red: np.ndarray, near_infrared: np.ndarray) -> np.ndarray:
    """Return (nir - red) / |nir + red| in float32; 0 where both are 0."""
    red, near_infrared = red.astype(np.float32), near_infrared.astype(np.float32)
    return (near_infrared - red) / np.maximum(np.abs(near_infrared + red), np.float32(1e-6))


def ndvi_bins(red: np.ndarray, near_infrared: np.ndarray) -> np.ndarray:
    """Return which of `NDVI_BINS` equal bins of [-1, 1] each pixel falls into, int64 of the same shape."""
    place = (ndvi(red, near_infrared) + 1) / 2 * NDVI_BINS
    return np.clip(place, 0, NDVI_BINS - 1).astype(np.int64)


def best_interval(counts: np.ndarray) -> tuple[int, int]:
    """Return the bins `[low, high)` that, taken as the class, give the best mIoU.

    counts: int (2, bins): pixels of background and of the class in each bin.
    """
    total = counts.sum(1)
    running = np.concatenate([np.zeros((2, 1), np.int64), np.cumsum(counts, axis=1)], axis=1)
    inside = running[:, None, :] - running[:, :, None]  # [label, low, high]
    score = _miou(inside[1], inside[0], total[1], total[0])
    score[np.tril_indices(score.shape[0])] = -1.0
    low, high = np.unravel_index(int(score.argmax()), score.shape)
    return int(low), int(high)


def _miou(true_positive: np.ndarray, false_positive: np.ndarray, positive: float, negative: float) -> np.ndarray:
    """Return twice the mIoU; a class that is nowhere has no IoU (0/0) and adds nothing."""
    true_negative = negative - false_positive
    with np.errstate(divide="ignore", invalid="ignore"):
        foreground = true_positive / (positive + false_positive)
        background = true_negative / (negative + positive - true_positive)
    return np.nan_to_num(foreground) + np.nan_to_num(background)


@dataclass(frozen=True)
class NdviRule:
    """The class is where `low <= NDVI bin < high`."""

    low: int
    high: int

    @staticmethod
    def fit(counts: np.ndarray) -> NdviRule:
        """Fit to training pixels: int (2, NDVI_BINS) of background and class."""
        return NdviRule(*best_interval(counts))

    def predict(self, red: np.ndarray, near_infrared: np.ndarray) -> np.ndarray:
        """Return bool, the shape of the bands."""
        found = ndvi_bins(red, near_infrared)
        return (found >= self.low) & (found < self.high)

    @property
    def limits(self) -> str:
        """The rule in words."""
        return f"{self.low / NDVI_BINS * 2 - 1:.2f} <= NDVI < {self.high / NDVI_BINS * 2 - 1:.2f}"


def pixel_features(bands: np.ndarray, red: int, near_infrared: int, squares: bool = False) -> np.ndarray:
    """Return float64 (pixel, feature): every band and NDVI, with all squares and products on request.

    bands: (band, ...) of any unit; red, near_infrared: which band is which.
    """
    rows = np.moveaxis(bands, 0, -1).reshape(-1, len(bands)).astype(np.float64)
    plain = np.concatenate([rows, ndvi(rows[:, red], rows[:, near_infrared])[:, None]], axis=1)
    if not squares:
        return plain
    size = plain.shape[1]
    products = [plain[:, i] * plain[:, j] for i in range(size) for j in range(i, size)]
    return np.concatenate([plain, np.stack(products, axis=1)], axis=1)


def fit_logistic(
    features: np.ndarray, labels: np.ndarray, counts: np.ndarray | None = None, rounds: int = 50
) -> np.ndarray:
    """Return the weights of a logistic regression by Newton's method with a little ridge, float64 (feature,).

    features: (n, feature), of about unit size, with a column of ones for the intercept; labels: (n,), 0 or 1; counts:
    (n,), how many pixels each row stands for (default: 1 each).
    """
    x, y = features.astype(np.float64), labels.astype(np.float64)
    times = np.ones(len(x)) if counts is None else counts.astype(np.float64)
    weights, ridge = np.zeros(x.shape[1]), RIDGE * times.sum() * np.eye(x.shape[1])
    for _ in range(rounds):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        step = np.linalg.solve(
            (x * (times * p * (1 - p))[:, None]).T @ x + ridge, x.T @ (times * (y - p)) - ridge @ weights
        )
        weights = weights + step
        if np.abs(step).max() < 1e-8:
            break
    return weights


def best_cut(scores: np.ndarray, labels: np.ndarray, counts: np.ndarray | None = None) -> float:
    """Return the threshold above which pixels are called the class, with the best mIoU of all thresholds.

    scores: (n,); labels: (n,), 0 or 1; counts: how many pixels each stands for.
    """
    times = np.ones(len(scores)) if counts is None else counts.astype(np.float64)
    order = np.argsort(-scores, kind="stable")
    ranked, truth, times = scores[order], labels[order].astype(bool), times[order]
    hits, misses = (np.concatenate([[0.0], np.cumsum(times * which)]) for which in (truth, ~truth))
    found = _miou(hits, misses, float(hits[-1]), float(misses[-1]))  # [k]: the k largest scores are called the class
    found[1:-1][ranked[:-1] == ranked[1:]] = -1.0  # equal scores cannot be told apart
    ends = np.concatenate([[ranked[0] + 1], ranked, [ranked[-1] - 1]])
    best = int(found.argmax())
    return float(ends[best] + ends[best + 1]) / 2


@dataclass(frozen=True)
class LogisticRule:
    """The class is where a weighted sum of scaled features is above a cut."""

    red: int
    near_infrared: int
    squares: bool
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    """Of the scaled features, then of 1."""
    cut: float

    @staticmethod
    def fit(
        bands: np.ndarray, labels: np.ndarray, counts: np.ndarray, red: int, near_infrared: int, squares: bool = False
    ) -> LogisticRule:
        """Fit to training pixels: bands (band, n), labels (n,) 0 or 1, counts (n,) as in `fit_logistic`."""
        features = pixel_features(bands, red, near_infrared, squares)
        mean, scale = features.mean(0), features.std(0)
        scale[scale == 0] = 1.0
        x = np.concatenate([(features - mean) / scale, np.ones((len(features), 1))], axis=1)
        weights = fit_logistic(x, labels, counts)
        cut = best_cut(x @ weights, labels, counts)
        return LogisticRule(
            red, near_infrared, squares, tuple(mean.tolist()), tuple(scale.tolist()), tuple(weights.tolist()), cut
        )

    def predict(self, bands: np.ndarray) -> np.ndarray:
        """Return bool (...) for bands (band, ...)."""
        pixels, weights = bands.reshape(len(bands), -1), np.array(self.weights)
        found = np.empty(pixels.shape[1], bool)
        for start in range(0, pixels.shape[1], STRIP_PX):
            strip = slice(start, start + STRIP_PX)
            features = pixel_features(pixels[:, strip], self.red, self.near_infrared, self.squares)
            scaled = (features - np.array(self.mean)) / np.array(self.scale)
            found[strip] = scaled @ weights[:-1] + weights[-1] > self.cut
        return found.reshape(bands.shape[1:])


@dataclass(frozen=True)
class PixelSample:
    """Training pixels of one unit of work: every pixel's NDVI is counted, some pixels travel."""

    ndvi: np.ndarray
    """int64 (2, NDVI_BINS) of background and class."""
    bands: np.ndarray
    """float64 (band, n)."""
    labels: np.ndarray
    """(n,), 0 or 1."""
    stands_for: float
    """Pixels of the unit for each one in the sample."""

    @staticmethod
    def of(bands: np.ndarray, labels: np.ndarray, red: int, near_infrared: int, most: int, seed: int) -> PixelSample:
        """Draw at most `most` of the pixels: bands (band, n), labels (n,) 0 or 1; the same for the same seed."""
        bins = ndvi_bins(bands[red], bands[near_infrared])
        counts = np.stack([np.bincount(bins[labels == value], minlength=NDVI_BINS) for value in (0, 1)])
        total = labels.size
        chosen = np.sort(np.random.default_rng(seed).choice(total, min(most, total), replace=False))
        each = total / chosen.size if total else 0.0
        return PixelSample(counts, bands[:, chosen].astype(np.float64), labels[chosen].astype(np.int64), each)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        numbers = {"bands": self.bands.tolist(), "labels": self.labels.tolist(), "ndvi": self.ndvi.tolist()}
        return {**numbers, "stands_for": self.stands_for}

    @staticmethod
    def from_json(values: dict[str, Any]) -> PixelSample:
        """Undo `to_json`."""
        ndvi_counts, bands, labels = (np.array(values[name]) for name in ("ndvi", "bands", "labels"))
        return PixelSample(ndvi_counts, bands, labels, float(values["stands_for"]))


@dataclass(frozen=True)
class PixelRules:
    """The rules that could be fitted."""

    ndvi: NdviRule | None = None
    logistic: LogisticRule | None = None

    @staticmethod
    def fit(samples: Sequence[PixelSample], red: int, near_infrared: int) -> PixelRules:
        """Fit to the samples of all units; without pixels of both labels there is nothing to fit."""
        counts = sum((s.ndvi for s in samples), np.zeros((2, NDVI_BINS), np.int64))
        if not counts.sum(1).all():
            return PixelRules()
        told = [s for s in samples if s.labels.size]
        labels = np.concatenate([s.labels for s in told])
        if len(np.unique(labels)) < 2:
            return PixelRules(NdviRule.fit(counts))
        times = np.concatenate([np.full(s.labels.size, s.stands_for) for s in told])
        bands = np.concatenate([s.bands for s in told], axis=1)
        return PixelRules(NdviRule.fit(counts), LogisticRule.fit(bands, labels, times, red, near_infrared))

    def predict(self, bands: np.ndarray, red: int, near_infrared: int) -> dict[str, np.ndarray]:
        """Return bool (...) of every rule by name, for bands (band, ...)."""
        found = {}
        if self.ndvi is not None:
            found["NDVI rule"] = self.ndvi.predict(bands[red], bands[near_infrared])
        if self.logistic is not None:
            found["logistic regression"] = self.logistic.predict(bands)
        return found

    @property
    def titles(self) -> dict[str, str]:
        """Rule to what it is called in a table."""
        found = {} if self.ndvi is None else {"NDVI rule": f"NDVI rule ({self.ndvi.limits})"}
        return found if self.logistic is None else {**found, "logistic regression": "logistic regression of pixels"}
