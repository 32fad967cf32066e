"""Loops over labelled pixels, compiled by numba as those of `tiler.kernels`, and as slow to import."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def label_patches(kinds: np.ndarray, labels: np.ndarray) -> int:
    """Label the patches of a raster: pixels of one kind that hang together by their sides.

    Args:
        kinds: uint8 (y, x); 0 is of no patch.
        labels: int32 (y, x), written: 0, or the patch from 1 on, named in the order of their first pixels.

    Returns:
        How many there are.
    """
    height, width = kinds.shape
    parent = np.empty(height * width + 1, np.int32)
    count = 0
    for y in range(height):
        for x in range(width):
            kind = kinds[y, x]
            if kind == 0:
                labels[y, x] = 0
                continue
            left = labels[y, x - 1] if x > 0 and kinds[y, x - 1] == kind else 0
            above = labels[y - 1, x] if y > 0 and kinds[y - 1, x] == kind else 0
            if left == 0 and above == 0:
                count += 1
                parent[count] = count
                labels[y, x] = count
            elif left == 0 or above == 0:
                labels[y, x] = left + above
            else:
                while parent[left] != left:
                    parent[left] = parent[parent[left]]
                    left = parent[left]
                while parent[above] != above:
                    parent[above] = parent[parent[above]]
                    above = parent[above]
                low = min(left, above)
                parent[max(left, above)] = low
                labels[y, x] = low
    found = 0
    for number in range(1, count + 1):  # whatever a number hangs below is smaller, so it has its name already
        if parent[number] == number:
            found += 1
            parent[number] = found
        else:
            parent[number] = parent[parent[number]]
    for y in range(height):
        for x in range(width):
            if labels[y, x]:
                labels[y, x] = parent[labels[y, x]]
    return found


@njit(cache=True, nogil=True)
def rename(labels: np.ndarray, names: np.ndarray) -> None:
    """Give labels (y, x) other names in place: `names[label]`."""
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            labels[y, x] = names[labels[y, x]]


@njit(cache=True, nogil=True)
def extents(labels: np.ndarray, first: np.ndarray, last_row: np.ndarray, pixels: np.ndarray) -> None:
    """Find where patches begin and end.

    Args:
        labels: int32 (y, x).
        first: int64 (label,), written: place `y * width + x` of the first pixel in reading order.
        last_row: int64 (label,), written.
        pixels: int64 (label,), written.
    """
    pixels[:] = 0
    width = labels.shape[1]
    for y in range(labels.shape[0]):
        for x in range(width):
            label = labels[y, x]
            if pixels[label] == 0:
                first[label] = y * width + x
            pixels[label] += 1
            last_row[label] = y


@njit(cache=True, nogil=True)
def add_up(labels: np.ndarray, layer: np.ndarray, sums: np.ndarray, counts: np.ndarray) -> None:
    """Add up the pixels of each label.

    Args:
        labels: int32 (y, x).
        layer: numbers (y, x); NaN is left out.
        sums: float64 (label,), changed.
        counts: int64 (label,), changed: how many numbers were added.
    """
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            label, value = labels[y, x], layer[y, x]
            if label and value == value:
                sums[label] += value
                counts[label] += 1


@njit(cache=True, nogil=True)
def bounds(labels: np.ndarray, layer: np.ndarray, missing: int, least: np.ndarray, most: np.ndarray) -> None:
    """Find the least and the most of the pixels of each label.

    Args:
        labels: int32 (y, x).
        layer: whole numbers (y, x).
        missing: the number that says that there is none.
        least: int64 (label,), changed.
        most: int64 (label,), changed.
    """
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            label, value = labels[y, x], np.int64(layer[y, x])
            if label and value != missing:
                least[label] = min(least[label], value)
                most[label] = max(most[label], value)


@njit(cache=True, nogil=True)
def beside(names: np.ndarray, found: np.ndarray) -> int:
    """List the pairs of patches that lie beside each other, at a side.

    Args:
        names: int64 (y, x); 0 is of no patch.
        found: int64 (n, 2), written as far as it reaches: pairs, the smaller one first, with repetitions.

    Returns:
        How many pairs there are; more than `found` holds where it was too short.
    """
    height, width = names.shape
    count = 0
    before_a, before_b = np.int64(0), np.int64(0)
    for y in range(height):
        for x in range(width):
            here = names[y, x]
            if here == 0:
                continue
            for step in range(2):
                if step == 0:
                    if x + 1 == width:
                        continue
                    there = names[y, x + 1]
                else:
                    if y + 1 == height:
                        continue
                    there = names[y + 1, x]
                if there == 0 or there == here:
                    continue
                a, b = min(here, there), max(here, there)
                if a == before_a and b == before_b:
                    continue
                before_a, before_b = a, b
                if count < len(found):
                    found[count, 0], found[count, 1] = a, b
                count += 1
    return count


@njit(cache=True, nogil=True)
def across_corners(names: np.ndarray, kinds: np.ndarray, found: np.ndarray) -> int:
    """List the pairs of patches of one kind that meet at a corner; arguments and result as `beside`."""
    height, width = names.shape
    count = 0
    for y in range(height - 1):
        for x in range(width - 1):
            for step in range(2):
                here, there = names[y, x + step], names[y + 1, x + 1 - step]
                if here == 0 or there == 0 or here == there:
                    continue
                if kinds[y, x + step] != kinds[y + 1, x + 1 - step]:
                    continue
                if count < len(found):
                    found[count, 0], found[count, 1] = min(here, there), max(here, there)
                count += 1
    return count


@njit(cache=True, nogil=True)
def fill_polygons(edges: np.ndarray, names: np.ndarray, filled: np.ndarray, pixels: np.ndarray) -> None:
    """Name the pixels whose centres lie in polygons that do not overlap.

    Where an edge crosses the line through the centres of a row, inside and outside change from there on: holes and
    parts need no special case. Polygons that share an edge share no pixel, and leave none out between them.

    Args:
        edges: float64 (n, 4): column and row of the begin, column and row of the end, of closed rings.
        names: int32 (n,): of the polygon of each edge, from 1 on.
        filled: int32 (y, x), all 0, changed: the name.
        pixels: int64 (name,), changed: how many pixels got it are added.
    """
    height, width = filled.shape
    for edge in range(len(edges)):
        ax, ay, bx, by = edges[edge, 0], edges[edge, 1], edges[edge, 2], edges[edge, 3]
        if ay > by:  # always downwards: an edge and its reverse must cross a row at the same place, to the last bit
            ax, ay, bx, by = bx, by, ax, ay
        for row in range(int(max(np.ceil(ay - 0.5), 0.0)), int(min(np.ceil(by - 0.5), float(height)))):
            crossing = ax + (row + 0.5 - ay) * ((bx - ax) / (by - ay))
            column = int(min(max(np.ceil(crossing - 0.5), 0.0), float(width)))
            if column < width:
                filled[row, column] ^= names[edge]
    for row in range(height):
        here = 0
        for column in range(width):
            here ^= filled[row, column]
            filled[row, column] = here
            if here and here < len(pixels):
                pixels[here] += 1
