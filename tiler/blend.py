"""Blending: many overlapping windows of logits to one value per scene pixel, with weights that never reach zero."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import groupby
from operator import itemgetter

import numpy as np

from tiler.grids import Box
from tiler.lattice import Lattice

STRIP_PX = 64
"""Rows that are blended at a time: their sums stay in the core's cache until they are divided."""


@lru_cache(maxsize=16)
def taper(tile_px: int, overlap_px: int, first: bool, last: bool) -> np.ndarray:
    """Return the weight along one axis of a window: a ramp over the overlap towards each neighbour, 1 elsewhere.

    The ramps of two regular neighbours add up to 1. There is no ramp at the scene's own border (`first`, `last`): a
    last window that was shifted back almost onto its neighbour would otherwise outweigh it within a pixel or two, which
    is a seam. So weights add up to at least 1 everywhere, and a pixel that one window alone covers keeps its value
    exactly.

    Args:
        tile_px: side of a window.
        overlap_px: length of a ramp.
        first: whether the window is the lattice's first along this axis.
        last: whether it is the last one.

    Returns:
        float32 (tile_px,), read-only, above zero everywhere.
    """
    place = np.arange(tile_px) + 0.5
    weights = np.ones(tile_px)
    if overlap_px and not first:
        weights = np.minimum(weights, place / overlap_px)
    if overlap_px and not last:
        weights = np.minimum(weights, (tile_px - place) / overlap_px)
    weights = weights.astype(np.float32)
    weights.setflags(write=False)
    return weights


def blend(
    read: Callable[[int, int, int], tuple[np.ndarray, np.ndarray]], lattice: Lattice, box: Box, layers: int
) -> tuple[np.ndarray, np.ndarray]:
    """Blend the windows that touch a rectangle of a scene: `sum_w t_w * l_w / sum_w t_w`.

    Windows are added row by row of the lattice, whatever the rectangle: a pixel's sum does not depend on the cut.

    Args:
        read: takes a row of windows and the first and last column but one; returns them as float16 (window, layers,
            tile_px, tile_px), and bool (window,): which were wanted. Called once for each row.
        lattice: the windows of the scene.
        box: scene pixels.
        layers: number of layers in each window.

    Returns:
        float32 (layers, box.height, box.width), zero where no window was, and bool (box.height, box.width): seen.

    Raises:
        ArithmeticError: a window holds NaN or infinity (logits are finite everywhere, so that is a fault, not a hole).
    """
    from tiler.kernels import FLOAT32_OF_FLOAT16, add_window, divide

    sums, seen = np.empty((layers, box.height, box.width), np.float32), np.empty((box.height, box.width), bool)
    weights = np.empty((STRIP_PX, box.width), np.float32)
    tile, overlap = lattice.tile_px, lattice.overlap_px
    held: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for start in range(box.y0, box.y1, STRIP_PX):
        strip = Box(start, box.x0, min(start + STRIP_PX, box.y1), box.x1)
        rows = slice(strip.y0 - box.y0, strip.y1 - box.y0)
        part_sums, part_weights = sums[:, rows], weights[: strip.height]
        part_sums.fill(0)
        part_weights.fill(0)
        touching = {row: [col for _, col in places] for row, places in groupby(lattice.touching(strip), itemgetter(0))}
        held = {row: held[row] if row in held else read(row, cols[0], cols[-1] + 1) for row, cols in touching.items()}
        for row, cols in touching.items():
            for col, logits, wanted in zip(cols, *held[row], strict=True):
                if not wanted:
                    continue
                window = lattice.window(row, col)
                part = window.clip(strip)
                inside, here = part.shift(-window.y0, -window.x0).slices, part.shift(-strip.y0, -strip.x0).slices
                finite = add_window(
                    part_sums[(slice(None), *here)],
                    part_weights[here],
                    logits[(slice(None), *inside)].view(np.uint16),
                    taper(tile, overlap, row == 0, row == lattice.rows - 1)[inside[0]],
                    taper(tile, overlap, col == 0, col == lattice.cols - 1)[inside[1]],
                    FLOAT32_OF_FLOAT16,
                )
                if not finite:
                    raise ArithmeticError(
                        f"window ({row}, {col}) holds NaN or infinite logits; its network or its store is faulty"
                    )
        seen[rows] = divide(part_sums, part_weights, 0.0, 0.0)
    return sums, seen
