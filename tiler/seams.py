"""Seams: whether neighbouring pixels of a map differ more where windows or cells meet than elsewhere.

A map without seams has steps of one size everywhere: the seam index, mean step at borders over mean step elsewhere, is
1 then. Steps are of logits, in which differences show long before they do in classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tiler.grids import CELL_PX, Box, PixelGrid
from tiler.lattice import Lattice
from tiler.warp import Mapping

BLOCK_PX = 512
"""Side of the pieces of a map that are measured. They lie across the borders of cells, not along them."""
KINDS = ("window", "cell", "elsewhere")


@dataclass(frozen=True)
class SeamScene:
    """A scene that a map was made of."""

    grid: PixelGrid
    lattice: Lattice


def seam_blocks(extent: Box, most: int) -> list[Box]:
    """Return pieces of a map to measure: at most `most` across the borders of cells, and as many others, spread evenly.

    Args:
        extent: absolute map pixels.
        most: of each kind.
    """
    half = BLOCK_PX // 2
    rows = range((extent.y0 - half) // BLOCK_PX, -(-(extent.y1 - half) // BLOCK_PX))
    cols = range((extent.x0 - half) // BLOCK_PX, -(-(extent.x1 - half) // BLOCK_PX))
    found: tuple[list[Box], list[Box]] = ([], [])
    for row in rows:
        for col in cols:
            y0, x0 = row * BLOCK_PX + half, col * BLOCK_PX + half
            block = Box(y0, x0, y0 + BLOCK_PX, x0 + BLOCK_PX).clip(extent)
            if not block.empty:
                across = any(-(-(low + 1) // CELL_PX) * CELL_PX < high for low, high in _sides(block))
                found[across].append(block)
    chosen = []
    for blocks in found:
        places = np.unique(np.linspace(0, len(blocks) - 1, min(most, len(blocks))).round().astype(int))
        chosen += [blocks[place] for place in places.tolist()]
    return chosen


def steps(logits: np.ndarray, box: Box, scenes: Sequence[SeamScene], grid: PixelGrid) -> np.ndarray:
    """Return how large the steps between neighbouring pixels of a part of a map are, by kind.

    A step to the right or down is of kind `window` where a window of any scene begins or ends between both pixels, else
    of kind `cell` where two cells meet there, else of `elsewhere`. Steps from or to missing pixels do not count.

    Args:
        logits: float (class, y, x), NaN where missing.
        box: the absolute map pixels that they are of.
        scenes: all that may touch it.
        grid: of the map, in absolute pixels.

    Returns:
        float64 (3, 2), rows as `KINDS`: sum of absolute differences (mean over classes), and how many.
    """
    here = [number for scene in scenes for number in _window_numbers(scene, box, grid)]
    y, x = np.arange(box.y0, box.y1), np.arange(box.x0, box.x1)
    out = np.zeros((len(KINDS), 2))
    for axis, places in ((0, y), (1, x)):
        sizes = np.abs(np.diff(logits, axis=axis + 1)).mean(axis=0)
        window = np.zeros(sizes.shape, bool)
        for number in here:
            window |= np.diff(number, axis=axis) != 0
        meets = np.diff(places // CELL_PX) != 0
        cell = np.broadcast_to(meets[:, None] if axis == 0 else meets, sizes.shape) & ~window
        known = np.isfinite(sizes)
        for row, kind in enumerate((window, cell, ~window & ~cell)):
            chosen = sizes[kind & known]
            out[row] += chosen.sum(dtype=np.float64), chosen.size
    return out


def seam_ratios(sums: np.ndarray) -> dict[str, float]:
    """Return the seam index of windows and of cells, of sums (3, 2) as `steps` gives them; NaN: nothing is known."""
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums[:, 0] / sums[:, 1]
        return {kind: float(means[row] / means[-1]) for row, kind in enumerate(KINDS[:-1])}


def _window_numbers(scene: SeamScene, box: Box, grid: PixelGrid) -> list[np.ndarray]:
    """Return for each axis how many windows' edges lie before each pixel, int (y, x); nothing if the scene is away."""
    mapping = Mapping(grid, scene.grid)
    if mapping.source_box(box).empty:
        return []
    lattice = scene.lattice
    starts_y = [lattice.window(row, 0).y0 for row in range(lattice.rows)]
    starts_x = [lattice.window(0, col).x0 for col in range(lattice.cols)]
    found = []
    for coordinates, starts in zip(mapping.coordinates(box), (starts_y, starts_x), strict=True):
        edges = np.unique([*starts, *(start + lattice.tile_px for start in starts)])
        found.append(np.searchsorted(edges, coordinates, side="right"))  # NaN, beyond a projection, counts as last
    return found


def _sides(box: Box) -> tuple[tuple[int, int], tuple[int, int]]:
    return (box.y0, box.y1), (box.x0, box.x1)
