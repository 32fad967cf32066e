"""Frames to the size of a network: area means of the middle square, with missing pixels carried as weights.

The shorter side becomes `side_px`, the longer one keeps the aspect, and the middle is cut out; both at once, so that no
longer side is rounded. An output pixel is the mean over the ground it covers of what is valid there.

Importing this module takes half a second (numba), so it is imported where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

LEAST_SHARE = 0.25
"""An output pixel is valid from this share of valid ground: where a coast line of one pixel is taken out and two pixels
become one, what is left on both sides of it must do."""


@dataclass(frozen=True)
class Crop:
    """The middle square of an image, in pixels of it."""

    y0_px: float
    x0_px: float
    scale: float
    """Source pixels along the side of one output pixel."""
    side_px: int

    @staticmethod
    def of(height_px: int, width_px: int, side_px: int) -> Crop:
        """Return the middle of an image whose shorter side becomes `side_px`."""
        shorter = min(height_px, width_px)
        return Crop((height_px - shorter) / 2, (width_px - shorter) / 2, shorter / side_px, side_px)


def resized(values: np.ndarray, valid: np.ndarray, crop: Crop) -> tuple[np.ndarray, np.ndarray]:
    """Return the area means of a crop.

    Args:
        values: (y, x) of any integer type or float32.
        valid: bool (y, x).
        crop: which part, and how large it becomes.

    Returns:
        The means in the type of `values` (integers are rounded), 0 where missing; and bool (side_px, side_px).
    """
    means, share = area_means(values, valid, crop.y0_px, crop.x0_px, crop.scale, crop.side_px)
    good = share >= LEAST_SHARE
    means[~good] = 0
    return (np.rint(means) if values.dtype.kind in "iu" else means).astype(values.dtype), good


@njit(cache=True, nogil=True)
def area_means(
    values: np.ndarray, valid: np.ndarray, y0: float, x0: float, scale: float, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return float64 (side, side) means over valid ground, and the share of ground that is valid."""
    height, width = values.shape
    means, share = np.zeros((side, side)), np.zeros((side, side))
    sums, weights = np.empty(width), np.empty(width)  # of the columns under one row of output
    for row in range(side):
        top, bottom = max(0.0, y0 + row * scale), min(float(height), y0 + (row + 1) * scale)
        sums[:] = 0.0
        weights[:] = 0.0
        for y in range(int(top), min(height, int(np.ceil(bottom)))):
            down = min(bottom, y + 1.0) - max(top, float(y))
            for x in range(width):
                weight = down * valid[y, x]
                weights[x] += weight
                sums[x] += weight * values[y, x] if valid[y, x] else 0.0
        for col in range(side):
            left, right = max(0.0, x0 + col * scale), min(float(width), x0 + (col + 1) * scale)
            total, known = 0.0, 0.0
            for x in range(int(left), min(width, int(np.ceil(right)))):
                across = min(right, x + 1.0) - max(left, float(x))
                total += across * sums[x]
                known += across * weights[x]
            if known > 0:
                means[row, col] = total / known
                share[row, col] = known / ((bottom - top) * (right - left))
    return means, share
