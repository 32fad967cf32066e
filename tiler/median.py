"""The median of the pixels around each pixel of an 8-bit image.

A histogram slides along each row (Huang, Yang & Tang, IEEE Transactions on Acoustics, Speech and Signal Processing 27,
1979): 20 times as fast as a sort for each pixel.

Importing this module takes half a second (numba), so it is imported where it is used.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def median_around(levels: np.ndarray, reach: int) -> np.ndarray:
    """Return the median of the square of `2 * reach + 1` pixels around each; the border is repeated outwards.

    Args:
        levels: uint8 (y, x).
        reach: pixels to each side.
    """
    height, width = levels.shape
    side = 2 * reach + 1
    half = side * side // 2
    out = np.empty_like(levels)
    for y in range(height):
        counts = np.zeros(256, np.int64)
        for dy in range(-reach, reach + 1):
            row = min(max(y + dy, 0), height - 1)
            for dx in range(-reach, reach + 1):
                counts[levels[row, min(max(dx, 0), width - 1)]] += 1
        middle, below = 0, 0  # pixels darker than `middle`
        for x in range(width):
            if x:
                gone, come = max(x - 1 - reach, 0), min(x + reach, width - 1)
                for dy in range(-reach, reach + 1):
                    row = min(max(y + dy, 0), height - 1)
                    old, new = levels[row, gone], levels[row, come]
                    counts[old] -= 1
                    counts[new] += 1
                    below += (1 if new < middle else 0) - (1 if old < middle else 0)
            while below > half:
                middle -= 1
                below -= counts[middle]
            while below + counts[middle] <= half:
                below += counts[middle]
                middle += 1
            out[y, x] = middle
    return out
