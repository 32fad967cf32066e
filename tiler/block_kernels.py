"""Compiled loop over the numbers of a block of a raster file. Importing this takes half a second: where it is used."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def place(block: np.ndarray, y0: int, x0: int, samples: np.ndarray, differences: bool, out: np.ndarray) -> None:
    """Copy a rectangle of a block, and sum its numbers along rows where they are differences (modulo their size).

    Args:
        block: (y, x, sample), unsigned.
        y0: first row of the rectangle.
        x0: its first column.
        samples: int (band,): which sample each band is.
        differences: whether a number is that to the same sample of the pixel before it; of a row's first, to nought.
        out: (band, y, x) of its dtype: filled.
    """
    bands, height, width = out.shape
    for y in range(height):
        for band in range(bands):
            numbers, values = block[y0 + y, :, samples[band]], out[band, y]
            if not differences:
                values[:] = numbers[x0 : x0 + width]
                continue
            total = numbers[0] - numbers[0]
            for x in range(x0):
                total += numbers[x]
            for x in range(width):
                total += numbers[x0 + x]
                values[x] = total
