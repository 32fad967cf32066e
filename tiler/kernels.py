"""Loops over pixels, compiled by numba: what Ingest and Mosaic do to every pixel, in one pass without temporaries.

Compiled once for a machine and kept on its disk. No fast mathematics: sums keep their order, so a pixel has the same
bits in whatever rectangle it is computed. All functions release the lock of the interpreter.

Importing this module takes half a second, so it is imported where it is used.
"""

from __future__ import annotations

import numpy as np
from numba import njit

FLOAT32_OF_FLOAT16 = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
"""The value of every float16 by its bits: numba has no such numbers, and numpy converts them one by one in software."""


@njit(cache=True, nogil=True)
def add_window(
    sums: np.ndarray, weights: np.ndarray, bits: np.ndarray, down: np.ndarray, across: np.ndarray, table: np.ndarray
) -> bool:
    """Add a window of float16 values times its weights, and the weights.

    Args:
        sums: float32 (layer, y, x), changed.
        weights: float32 (y, x), changed.
        bits: uint16 (layer, y, x): the bits of the values.
        down: float32 (y,): the weight of a pixel is `down[y] * across[x]`.
        across: float32 (x,).
        table: `FLOAT32_OF_FLOAT16`.

    Returns:
        Whether all values are finite.
    """
    finite = True
    for y in range(len(down)):
        for x in range(len(across)):
            weights[y, x] += down[y] * across[x]
        for layer in range(len(bits)):
            for x in range(len(across)):
                value = bits[layer, y, x]
                finite &= (value & 0x7C00) != 0x7C00  # the exponent of NaN and infinity
                sums[layer, y, x] += table[value] * (down[y] * across[x])
    return finite


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
def divide(sums: np.ndarray, weights: np.ndarray, least: float, fill: float) -> np.ndarray:
    """Divide sums by their weights in place; rows whose weights are all 1 are not touched.

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
        ones = True
        for x in range(width):
            seen[y, x] = weights[y, x] >= least and weights[y, x] > 0
            ones &= weights[y, x] == 1
        if ones and least <= 1:
            continue
        for layer in range(layers):
            for x in range(width):
                if seen[y, x]:
                    sums[layer, y, x] /= np.float32(weights[y, x])
                else:
                    sums[layer, y, x] = np.float32(fill)
    return seen


@njit(cache=True, nogil=True)
def _add_taps(sums: np.ndarray, values: np.ndarray, valid: np.ndarray, y: int, x: int, r: float, c: float) -> None:
    """Add one bilinear sample at row and column (r, c), where 0 is the middle of the first pixel, to sums[:, y, x]."""
    layers, high, wide = values.shape
    if not (-1.0 < r < high and -1.0 < c < wide):  # NaN is not
        return
    above, left = np.int64(np.floor(r)), np.int64(np.floor(c))
    lower, right = np.float32(r - above), np.float32(c - left)
    one = np.float32(1)
    weights = (one - lower) * (one - right), (one - lower) * right, lower * (one - right), lower * right
    for tap in range(4):
        v, u = above + tap // 2, left + tap % 2
        if 0 <= v < high and 0 <= u < wide and valid[v, u]:
            for layer in range(layers):
                sums[layer, y, x] += values[layer, v, u] * weights[tap]
            sums[layers, y, x] += weights[tap]


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
    for y in range(rows.shape[0]):
        for x in range(rows.shape[1]):
            _add_taps(sums, values, valid, y, x, rows[y, x] - 0.5 - corner[0], cols[y, x] - 0.5 - corner[1])


@njit(cache=True, nogil=True)
def add_between_nodes(
    sums: np.ndarray,
    values: np.ndarray,
    valid: np.ndarray,
    corner: tuple[int, int],
    nodes: np.ndarray,
    blocks: tuple[np.ndarray, np.ndarray],
    shares: tuple[np.ndarray, np.ndarray],
) -> None:
    """Add what `add_bilinear` adds, where coordinates are interpolated between nodes: none is ever written down.

    Args:
        sums: float32 (layer + 1, y, x), changed.
        values: float32 (layer, v, u).
        valid: bool (v, u).
        corner: row and column of `values[:, 0, 0]`.
        nodes: float64 (2, n, m): rows and columns at the nodes.
        blocks: int (y,) and (x,): the node above and the node to the left of each pixel.
        shares: float64 (y,) and (x,): how far each pixel is from there to the next node, 0 to 1.
    """
    layers, high, wide = values.shape
    one = np.float32(1)
    for y in range(len(blocks[0])):
        block, down = blocks[0][y], shares[0][y]
        at, row0, row1, col0, col1 = -1, 0.0, 0.0, 0.0, 0.0
        for x in range(len(blocks[1])):
            if blocks[1][x] != at:
                at = blocks[1][x]
                row0 = nodes[0, block, at] * (1 - down) + nodes[0, block + 1, at] * down
                row1 = nodes[0, block, at + 1] * (1 - down) + nodes[0, block + 1, at + 1] * down
                col0 = nodes[1, block, at] * (1 - down) + nodes[1, block + 1, at] * down
                col1 = nodes[1, block, at + 1] * (1 - down) + nodes[1, block + 1, at + 1] * down
            across = shares[1][x]
            r = row0 * (1 - across) + row1 * across - 0.5 - corner[0]
            c = col0 * (1 - across) + col1 * across - 0.5 - corner[1]
            above, left = np.floor(r), np.floor(c)
            if 0 <= above < high - 1 and 0 <= left < wide - 1:
                # Unsigned: of a signed index numba asks whether it counts from the end, which costs more than the sums.
                v0, u0 = np.uint64(above), np.uint64(left)
                v1, u1 = v0 + np.uint64(1), u0 + np.uint64(1)
                if valid[v0, u0] and valid[v0, u1] and valid[v1, u0] and valid[v1, u1]:  # nearly always
                    lower, right = np.float32(r - above), np.float32(c - left)
                    w0, w1 = (one - lower) * (one - right), (one - lower) * right
                    w2, w3 = lower * (one - right), lower * right
                    for layer in range(layers):
                        sums[layer, y, x] = (
                            sums[layer, y, x]
                            + values[layer, v0, u0] * w0
                            + values[layer, v0, u1] * w1
                            + values[layer, v1, u0] * w2
                            + values[layer, v1, u1] * w3
                        )
                    sums[layers, y, x] = sums[layers, y, x] + w0 + w1 + w2 + w3
                    continue
            _add_taps(sums, values, valid, y, x, r, c)


@njit(cache=True, nogil=True)
def add_scene(
    sums: np.ndarray, count: np.ndarray, latest: np.ndarray, layers: np.ndarray, seen: np.ndarray, day: int
) -> None:
    """Add a scene to the sums of a map cell, where it saw anything.

    Args:
        sums: float32 (layer, y, x), changed; what it holds where no scene was seen is not read.
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
                    before = sums[layer, y, x] if count[y, x] > 1 else np.float32(0)
                    sums[layer, y, x] = before + layers[layer, y, x]


@njit(cache=True, nogil=True)
def add_squares(squares: np.ndarray, sums: np.ndarray, count: np.ndarray, layers: np.ndarray, seen: np.ndarray) -> None:
    """Add a scene to the sums of squared distances from the mean; before `add_scene` adds it to mean and count.

    squares += (value - mean of n before)^2 * n / (n + 1)      (Welford 1962: nothing cancels)

    Args:
        squares: float32 (layer, y, x), changed; what it holds where no scene was seen is not read.
        sums: float32 (layer or more, y, x), of the scenes before.
        count: uint16 (y, x), of the scenes before.
        layers: float32 (layer or more, y, x).
        seen: bool (y, x).
    """
    for layer in range(len(squares)):
        for y in range(seen.shape[0]):
            for x in range(seen.shape[1]):
                if seen[y, x]:
                    n = np.float32(count[y, x])
                    if n == 0:
                        squares[layer, y, x] = 0
                    else:
                        away = layers[layer, y, x] - sums[layer, y, x] / n
                        squares[layer, y, x] += away * away * (n / (n + np.float32(1)))
