"""Mean and deviation of the bands of some frames: over their valid pixels, a few frames in memory at a time.

Sums of integers of 8 and 16 bits are exact, so that parts that were counted anywhere, in any order, give the same as
the whole; others are sums of float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from tiler.frame_store import FrameStore

FRAMES_AT_ONCE = 64


@dataclass(frozen=True)
class FrameMoments:
    """Counts and sums of each band: `a + b` is that of both sets of frames together."""

    count: tuple[int, ...]
    """Valid pixels."""
    total: tuple[Fraction, ...]
    """Sum of their numbers."""
    squares: tuple[Fraction, ...]
    """Sum of the squares of their numbers."""

    @staticmethod
    def none(bands: int) -> FrameMoments:
        """Return the moments of no frame at all."""
        return FrameMoments((0,) * bands, (Fraction(0),) * bands, (Fraction(0),) * bands)

    @staticmethod
    def of(images: np.ndarray, valid: np.ndarray) -> FrameMoments:
        """Return the moments of images (n, band, y, x) with bool (n, band, y, x), what is valid."""
        count, total, squares = [], [], []
        for band in range(images.shape[1]):
            numbers = images[:, band][valid[:, band]]
            count.append(numbers.size)
            exact = numbers.dtype.kind in "iu" and numbers.dtype.itemsize <= 2  # 2^32 a square: 2^31 of them fit
            wide = numbers.astype(np.int64 if exact else np.float64)
            total.append(Fraction(wide.sum().item()))
            squares.append(Fraction((wide * wide).sum().item()))
        return FrameMoments(tuple(count), tuple(total), tuple(squares))

    def __add__(self, other: FrameMoments) -> FrameMoments:
        pairs = ((self.count, other.count), (self.total, other.total), (self.squares, other.squares))
        count, total, squares = (tuple(a + b for a, b in zip(*pair, strict=True)) for pair in pairs)
        return FrameMoments(count, total, squares)

    def scaling(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation (of the population) of each band, float64 (band,).

        Raises:
            ValueError: a band without any valid pixel, or with one number everywhere: it cannot be scaled.
        """
        if not all(self.count):
            raise ValueError(
                f"bands {[i for i, n in enumerate(self.count) if not n]} have no valid pixel in the frames"
            )
        means = [total / n for total, n in zip(self.total, self.count, strict=True)]
        spread = [s / n - m * m for s, n, m in zip(self.squares, self.count, means, strict=True)]
        if min(spread) <= 0:
            flat = [i for i, v in enumerate(spread) if v <= 0]
            raise ValueError(f"bands {flat} have one number in all of the frames; they tell nothing, leave them out")
        return np.array([float(m) for m in means]), np.sqrt([float(v) for v in spread])


def frame_moments(store: FrameStore, indices: Sequence[int] | np.ndarray) -> FrameMoments:
    """Return the moments of some frames: for scaling, those of the training part, and of nothing else.

    Args:
        store: the frames.
        indices: places in `store.times`, in any order.
    """
    places = np.unique(np.asarray(indices, np.int64))
    found = FrameMoments.none(len(store.bands))
    for start in range(0, len(places), FRAMES_AT_ONCE):
        found = found + FrameMoments.of(*store.take(places[start : start + FRAMES_AT_ONCE]))
    return found
