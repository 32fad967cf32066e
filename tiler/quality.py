"""Quality of a scene in numbers that merge: exact histograms, medians, missing ratios, coverage.

A histogram is the one statistic here: counts add up whatever the order of the units that made them, and medians, means
and standard deviations follow from it (exactly for integer imagery, to 1/65,536 of the valid range for float imagery).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tiler.grids import Box

MAX_BINS = 65_536


@dataclass(frozen=True)
class Bins:
    """Equal bins over a sensor's valid range."""

    low: float
    """Value at the centre of bin 0."""
    width: float
    count: int

    @staticmethod
    def for_range(low: float, high: float, dtype: np.dtype) -> Bins:
        """Return bins over `[low, high]`: one per integer for integer types of a small enough range."""
        if np.issubdtype(dtype, np.integer):
            info = np.iinfo(dtype)
            low, high = max(float(np.ceil(low)), info.min), min(float(np.floor(high)), info.max)
            if high - low < MAX_BINS:
                return Bins(low, 1.0, int(high - low) + 1)
        return Bins(low, (high - low) / (MAX_BINS - 1), MAX_BINS)

    def counts(self, image: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Return how many valid values of each band fall in each bin.

        Args:
            image: (band, y, x); where valid, in the valid range.
            valid: bool (y, x).

        Returns:
            uint32 (band, bin).
        """
        from tiler.counts import count_floats, count_integers

        counts = np.zeros((len(image), self.count), np.uint32)
        if np.issubdtype(image.dtype, np.integer) and self.width == 1:
            count_integers(image, valid, int(self.low), counts)
        else:
            count_floats(image, valid, self.low, self.width, counts)
        return counts

    @property
    def centres(self) -> np.ndarray:
        """The value of each bin, float64 (count,)."""
        return self.low + self.width * np.arange(self.count)


@dataclass(frozen=True)
class BandStatistics:
    """What a histogram says of one band's valid pixels; NaN where there is none."""

    count: int
    minimum: float
    maximum: float
    mean: float
    standard_deviation: float
    median: float

    @staticmethod
    def of(counts: np.ndarray, bins: Bins) -> BandStatistics:
        """Summarise a histogram; the median of an even count is the mean of the two middle values, as in numpy."""
        total = int(counts.sum())
        if total == 0:
            nan = float("nan")
            return BandStatistics(0, nan, nan, nan, nan, nan)
        centres, used = bins.centres, np.flatnonzero(counts)
        mean = float((counts * centres).sum() / total)
        variance = float((counts * (centres - mean) ** 2).sum() / total)
        running = np.cumsum(counts)
        middle = np.searchsorted(running, [(total - 1) // 2 + 1, total // 2 + 1])
        return BandStatistics(
            total,
            float(centres[used[0]]),
            float(centres[used[-1]]),
            mean,
            float(np.sqrt(variance)),
            float(centres[middle].mean()),
        )


def patches(height: int, width: int, patch_px: int = 512) -> tuple[Box, Box, Box]:
    """Return the three places of the quick missing-ratio estimate: upper left corner, centre, lower right corner."""
    h, w = min(patch_px, height), min(patch_px, width)
    y, x = (height - h) // 2, (width - w) // 2
    return Box(0, 0, h, w), Box(y, x, y + h, x + w), Box(height - h, width - w, height, width)


def estimate_missing_ratio(
    read_valid: Callable[[Box], np.ndarray], height: int, width: int, patch_px: int = 512
) -> float:
    """Estimate the missing ratio from three patches only (centre and two opposite corners).

    Args:
        read_valid: returns the bool (y, x) validity of a rectangle; it is called exactly three times.
        height: rows of the scene.
        width: columns of the scene.
        patch_px: side of a patch.

    Returns:
        Missing pixels over pixels of the three patches, 0 to 1. Biased where holes gather at places that no patch sees;
        the exact ratio is kept beside it.
    """
    masks = [read_valid(box) for box in patches(height, width, patch_px)]
    return 1.0 - sum(int(m.sum()) for m in masks) / sum(m.size for m in masks)
