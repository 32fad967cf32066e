"""Loops that count and describe pixels, compiled by numba as those of `tiler.kernels`, and as slow to import."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def count_integers(image: np.ndarray, valid: np.ndarray, low: int, counts: np.ndarray) -> None:
    """Count how often each integer occurs where an image is valid.

    Args:
        image: integers (band, y, x), which have a bin where valid.
        valid: bool (y, x).
        low: integer of bin 0.
        counts: uint32 (band, bin), changed.
    """
    last = np.uint64(counts.shape[1] - 1)
    for y in range(image.shape[1]):
        row = valid[y]
        for band in range(len(image)):
            values, found = image[band, y], counts[band]
            for x in range(len(row)):  # adding nought is faster than a branch, and one limit than two
                found[min(np.uint64(np.int64(values[x]) - low), last)] += np.uint32(row[x])


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


@njit(cache=True, nogil=True, fastmath={"reassoc"})  # sums in any order: sixteen times as fast
def moments(values: np.ndarray, missing: float) -> tuple[int, float, float]:
    """Describe the numbers that are there.

    Args:
        values: (n,), any type of number.
        missing: the number that says that there is none; NaN always does.

    Returns:
        How many there are; of those, in float64: mean, and sum of squared distances from it.
    """
    count, total = 0, 0.0
    for i in range(len(values)):
        value = np.float64(values[i])
        there = (value == value) & (value != missing)
        count += there
        total += value if there else 0.0
    mean, squares = total / max(count, 1), 0.0
    for i in range(len(values)):
        value = np.float64(values[i])
        away = value - mean if (value == value) & (value != missing) else 0.0
        squares += away * away
    return count, mean, squares
