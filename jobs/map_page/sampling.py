"""Averages of a raster on the pixels of a web tile, quick enough for whoever waits for a picture.

`tiler.warp` averages by many samples, each as exact as a map wants. Here blocks of pixels are averaged first, where
they lie, and one sample of them is taken.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tiler.grids import Box, PixelGrid
from tiler.warp import Mapping, warp

Read = Callable[[Box], tuple[np.ndarray, np.ndarray]]
"""Takes pixels of a raster to their values, float32 (layer, y, x), finite everywhere, and which are known, (y, x)."""


def coarser(grid: PixelGrid, factor: int) -> PixelGrid:
    """Return a grid whose pixels are blocks of another's; the last ones may hang over."""
    a, b, c, d, e, f = grid.transform
    transform = (a * factor, b * factor, c, d * factor, e * factor, f)
    return PixelGrid(grid.crs, transform, -(-grid.height // factor), -(-grid.width // factor))


def block_means(values: np.ndarray, known: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of the known pixels of each block, and which blocks have any; the last blocks may be partial.

    Args:
        values: float32 (layer, y, x).
        known: bool (y, x).
        factor: side of a block in pixels.
    """
    height, width = (-(-n // factor) for n in known.shape)
    padding = [(0, height * factor - known.shape[0]), (0, width * factor - known.shape[1])]
    weights = np.pad(known, padding).reshape(height, factor, width, factor).sum(axis=(1, 3), dtype=np.float32)
    sums = np.pad(np.where(known, values, 0), [(0, 0), *padding])
    sums = sums.reshape(len(values), height, factor, width, factor).sum(axis=(2, 4), dtype=np.float32)
    return sums / np.maximum(weights, 1), weights > 0


def averaged(target: PixelGrid, box: Box, grid: PixelGrid, read: Read) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the average of a raster on some pixels of another grid.

    Args:
        target: the other grid.
        box: pixels of it.
        grid: of the raster.
        read: what reads it.

    Returns:
        float32 (layer, box.height, box.width) and bool (box.height, box.width); None where nothing is known.
    """
    factor = Mapping(target, grid).shrink
    mapping = Mapping(target, coarser(grid, factor))
    at = mapping.source_box(box)
    if at.empty:
        return None
    fine = Box(at.y0 * factor, at.x0 * factor, at.y1 * factor, at.x1 * factor).clip(grid.box)
    values, known = read(fine)
    if not known.any():
        return None
    if factor > 1:
        values, known = block_means(values, known, factor)
    return warp(mapping, box, values, known, at)
