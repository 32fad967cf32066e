"""The quick-look of a scene store: every n-th pixel of image and validity, written with the shards."""

from __future__ import annotations

import numpy as np
import zarr

from tiler.grids import Box, PixelGrid
from tiler.stores import add_array, array_of, write_shard

QUICKLOOK_PX = 2048
"""A scene's quick-look is at most this wide and high."""


def quicklook_step(grid: PixelGrid) -> int:
    """Return every how many pixels the quick-look keeps one: a power of two, so that it divides a shard."""
    step = 1
    while max(grid.height, grid.width) > QUICKLOOK_PX * step:
        step *= 2
    return step


def add_quicklook(
    quality: zarr.Group, grid: PixelGrid, bands: int, shard: tuple[int, int], dtype: str, fill: float
) -> None:
    """Create its arrays; a chunk is what one shard of the scene leaves of itself."""
    step = quicklook_step(grid)
    small, part = [-(-n // step) for n in (grid.height, grid.width)], [n // step for n in shard]
    shape, chunk, dims = (bands, *small), (bands, *part), ("band", "y", "x")
    add_array(quality, "quicklook", dims, shape, chunk, None, dtype, fill)
    add_array(quality, "quicklook_valid", ("y", "x"), small, part, None, "bool", False)


def fill_quicklook(group: zarr.Group, grid: PixelGrid, box: Box, image: np.ndarray, valid: np.ndarray) -> None:
    """Write the part of one shard: scene pixels `box`, image (band, y, x), valid (y, x)."""
    step = quicklook_step(grid)
    rows, cols = Box(box.y0 // step, box.x0 // step, -(-box.y1 // step), -(-box.x1 // step)).slices
    write_shard(array_of(group, "quality/quicklook"), (slice(None), rows, cols), image[:, ::step, ::step])
    write_shard(array_of(group, "quality/quicklook_valid"), (rows, cols), valid[::step, ::step])


def read_quicklook(group: zarr.Group, scene: PixelGrid) -> tuple[np.ndarray, np.ndarray, PixelGrid]:
    """Return every n-th pixel of a scene: image (band, y, x), valid (y, x) and their grid."""
    step = quicklook_step(scene)
    image = np.asarray(array_of(group, "quality/quicklook")[...])
    valid = np.asarray(array_of(group, "quality/quicklook_valid")[...])
    a, b, c, d, e, f = scene.transform
    shift = 0.5 - step / 2  # a kept pixel is the upper left of its step x step block, not the block's centre
    c, f = c + (a + b) * shift, f + (d + e) * shift
    return image, valid, PixelGrid(scene.crs, (a * step, b * step, c, d * step, e * step, f), *valid.shape)
