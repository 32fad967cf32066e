"""Loops over pixels, compiled by numba: what Ingest and Mosaic do to every pixel, in one pass without temporaries.

Compiled once for a machine and kept on its disk. No fast mathematics: sums keep their order, so a pixel has the same
bits in whatever rectangle it is computed. All functions release the lock of the interpreter.

Importing this module takes half a second, so it is imported where it is used.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def settle(
    image: np.ndarray, least: np.ndarray, most: np.ndarray, missing: np.ndarray, declared: np.ndarray, fill: float
) -> np.ndarray:
    """Find the pixels that are measurements in all bands, and fill the others in place.

    Args:
        image: (band, y, x), changed.
        least: (band,) of its dtype: the smallest measurement of each band.
        most: (band,) of its dtype: the largest.
        missing: (band,) of its dtype: a value that is no measurement.
        declared: bool (band,): whether there is such a value.
        fill: what is put where any band is missing.

    Returns:
        bool (y, x): where all bands are measurements.
    """
    bands, height, width = image.shape
    valid = np.empty((height, width), np.bool_)
    for y in range(height):
        row = valid[y]
        row[:] = True
        for band in range(bands):
            low, high, none, free, values = least[band], most[band], missing[band], not declared[band], image[band, y]
            for x in range(width):
                row[x] &= (values[x] >= low) & (values[x] <= high) & ((values[x] != none) | free)
        if not row.all():
            for band in range(bands):
                values = image[band, y]
                for x in range(width):
                    if not row[x]:
                        values[x] = fill
    return valid


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
def divide(sums: np.ndarray, weights: np.ndarray, least: float, fill: float) -> np.ndarray:
    """Divide sums by their weights in place.

    Args:
        sums: float32 (layer, y, x), changed.
        weights: (y, x).
        least: smallest weight that counts; nought never does.
        fill: what is put where the weight does not count.

    Returns:
        bool (y, x): where the weight counts.
    """
    layers, height, width = sums.shape
    seen = np.empty((height, width), np.bool_)
    for y in range(height):
        for x in range(width):
            seen[y, x] = weights[y, x] >= least and weights[y, x] > 0
        for layer in range(layers):
            for x in range(width):
                if seen[y, x]:
                    sums[layer, y, x] /= np.float32(weights[y, x])
                else:
                    sums[layer, y, x] = np.float32(fill)
    return seen


@njit(cache=True, nogil=True)
def add_bilinear(
    sums: np.ndarray, values: np.ndarray, valid: np.ndarray, corner: tuple[int, int], rows: np.ndarray, cols: np.ndarray
) -> None:
    """Add bilinear samples of the valid pixels of an image, and of their share as the last layer.

    Args:
        sums: float32 (layer + 1, y, x), changed.
        values: float32 (layer, v, u): finite also where not valid.
        valid: bool (v, u).
        corner: row and column of `values[:, 0, 0]`.
        rows: float64 (y, x), where to sample: 0.5 is the middle of the first pixel. Outside the image, and where they
            are not finite, there is nothing.
        cols: float64 (y, x).
    """
    layers, high, wide = values.shape
    for y in range(rows.shape[0]):
        for x in range(rows.shape[1]):
            r = rows[y, x] - 0.5 - corner[0]
            c = cols[y, x] - 0.5 - corner[1]
            if not (-1.0 < r < high and -1.0 < c < wide):  # NaN is not
                continue
            above, left = np.int64(np.floor(r)), np.int64(np.floor(c))
            lower, right = np.float32(r - above), np.float32(c - left)
            one = np.float32(1)
            w0, w1 = (one - lower) * (one - right), (one - lower) * right
            w2, w3 = lower * (one - right), lower * right
            inside = above >= 0 and left >= 0 and above + 1 < high and left + 1 < wide
            if inside:
                inside = valid[above, left] and valid[above, left + 1]
                inside = inside and valid[above + 1, left] and valid[above + 1, left + 1]
            if inside:  # nearly always: one sum without a branch
                for layer in range(layers):
                    sums[layer, y, x] = (
                        sums[layer, y, x]
                        + values[layer, above, left] * w0
                        + values[layer, above, left + 1] * w1
                        + values[layer, above + 1, left] * w2
                        + values[layer, above + 1, left + 1] * w3
                    )
                sums[layers, y, x] = sums[layers, y, x] + w0 + w1 + w2 + w3
                continue
            for step in range(4):
                v, u = above + step // 2, left + step % 2
                if 0 <= v < high and 0 <= u < wide and valid[v, u]:
                    weight = (w0, w1, w2, w3)[step]
                    for layer in range(layers):
                        sums[layer, y, x] += values[layer, v, u] * weight
                    sums[layers, y, x] += weight


@njit(cache=True, nogil=True)
def add_scene(
    sums: np.ndarray, count: np.ndarray, latest: np.ndarray, layers: np.ndarray, seen: np.ndarray, day: int
) -> None:
    """Add a scene to the sums of a map cell, where it saw anything.

    Args:
        sums: float32 (layer, y, x), changed.
        count: uint16 (y, x), changed: scenes that saw the pixel.
        latest: int32 (y, x), changed: the largest day.
        layers: float32 (layer, y, x).
        seen: bool (y, x).
        day: of the scene; the smallest int32 where it has none.
    """
    for y in range(seen.shape[0]):
        for x in range(seen.shape[1]):
            if seen[y, x]:
                count[y, x] += 1
                latest[y, x] = max(latest[y, x], day)
        for layer in range(len(layers)):
            for x in range(seen.shape[1]):
                if seen[y, x]:
                    sums[layer, y, x] += layers[layer, y, x]
