"""How bright a colour looks."""

from __future__ import annotations

import numpy as np

RGB = ("red", "green", "blue")
BT601 = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in the luma of ITU-R BT.601."""


def luminance(image: np.ndarray) -> np.ndarray:
    """Return float32 (y, x): the luma of red, green, blue, the first three bands, or of the one band there is."""
    if len(image) == 1:
        return image[0].astype(np.float32, copy=False)
    return np.tensordot(BT601, image[:3].astype(np.float32, copy=False), axes=1)
