"""Loops that count and describe pixels, compiled by numba as those of `tiler.kernels`, and as slow to import."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def count_integers(image: np.ndarray, valid: np.ndarray, low: int, counts: np.ndarray) -> None:
    """Count how often each integer occurs where an image is valid.

    Args:
        image: integers (band, y, x).
        valid: bool (y, x).
        low: integer of bin 0.
        counts: uint32 (band, bin), changed.
    """
    last = counts.shape[1] - 1
    for y in range(image.shape[1]):
        row = valid[y]
        for band in range(len(image)):
            values, found = image[band, y], counts[band]
            for x in range(len(row)):  # adding nought is faster than a branch
                found[min(max(np.int64(values[x]) - low, 0), last)] += np.uint32(row[x])


@njit(cache=True, nogil=True)
def count_floats(image: np.ndarray, valid: np.ndarray, low: float, width: float, counts: np.ndarray) -> None:
    """Count how many values of an image fall in each bin where it is valid.

    Args:
        image: floats (band, y, x), finite where valid.
        valid: bool (y, x).
        low: value at the centre of bin 0.
        width: of a bin.
        counts: uint32 (band, bin), changed.
    """
    last = counts.shape[1] - 1
    for y in range(image.shape[1]):
        row = valid[y]
        for band in range(len(image)):
            values, found = image[band, y], counts[band]
            for x in range(len(row)):
                if row[x]:
                    place = np.int64(np.rint((np.float64(values[x]) - low) / width))
                    found[min(max(place, 0), last)] += np.uint32(1)


@njit(cache=True, nogil=True)
def count_shares(shares: np.ndarray, counts: np.ndarray) -> None:
    """Count how many shares lie in each of equal bins from 0 to 1; NaN in none.

    Args:
        shares: floats (n,), 0 to 1.
        counts: int64 (bin,), changed.
    """
    bins = len(counts)
    for i in range(len(shares)):
        if shares[i] == shares[i]:
            counts[min(int(np.float64(shares[i]) * bins), bins - 1)] += 1


@njit(cache=True, nogil=True)
def moments(values: np.ndarray, missing: float) -> tuple[int, float, float, float, float]:
    """Describe the numbers that are there.

    Args:
        values: (n,), any type of number.
        missing: the number that says that there is none; NaN always does.

    Returns:
        How many there are; of those, in float64: mean, sum of squared distances from it, smallest, largest.
    """
    count, total, low, high = 0, 0.0, math.inf, -math.inf
    for i in range(len(values)):
        value = np.float64(values[i])
        if value == value and value != missing:
            count += 1
            total += value
            low, high = min(low, value), max(high, value)
    mean, squares = total / max(count, 1), 0.0
    for i in range(len(values)):
        value = np.float64(values[i])
        if value == value and value != missing:
            squares += (value - mean) ** 2
    return count, mean, squares, low, high
