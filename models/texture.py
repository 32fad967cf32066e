"""Texture of an image as a few numbers: how steep it is from pixel to pixel, whatever its brightness.

Drawings are flat between their strokes, photographs are never flat: the histogram of gradients tells them apart where
the mean pixel does not.
"""

from __future__ import annotations

import numpy as np

STEPS = (1 / 512, 1 / 256, 1 / 128, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4)
"""Edges between the bins, as shares of the full scale of a pixel: of 8 bits about a half level, then 1, 2, 4 ... 64."""


def gradient_histogram(image: np.ndarray, valid: np.ndarray, full_scale: float) -> np.ndarray:
    """Return the share of pixels in each bin of steepness, float64 (len(STEPS) + 1,), which add up to 1.

    The steepness of a pixel is |step down| + |step right|, mean over bands. Pixels of which a neighbour is missing do
    not count; where none does, all are flat.

    Args:
        image: (band, y, x) of any type.
        valid: bool (y, x).
        full_scale: what a pixel reaches at most, such as 255.
    """
    shares = np.zeros(len(STEPS) + 1)
    counted = valid[:-1, :-1] & valid[1:, :-1] & valid[:-1, 1:]
    if not counted.any():
        shares[0] = 1.0
        return shares
    pixels = np.asarray(image, np.float64)
    down, right = np.abs(np.diff(pixels, axis=1))[:, :, :-1], np.abs(np.diff(pixels, axis=2))[:, :-1]
    steepness = (down + right).mean(axis=0)[counted] / full_scale
    places = np.searchsorted(STEPS, steepness, side="right")
    return np.asarray(np.bincount(places, minlength=len(shares)) / counted.sum())
