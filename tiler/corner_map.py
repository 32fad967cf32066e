"""Where the outlines of a map have corners: a bit for each, on disk, for what simplifies one without its neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np


class CornerMap:
    """The corners of all outlines of a map; only what is looked at is in memory."""

    def __init__(self, path: Path, height: int, width: int) -> None:
        """Make an empty one for a map of so many pixels; `path` is a file of its own."""
        self._path, self._shape = path, (height + 1, width // 8 + 1)
        np.memmap(path, np.uint8, "w+", shape=self._shape)  # sparse: only what is written takes disk

    def _open(self) -> np.ndarray:
        """Open the file anew each time: what was looked at before is in memory no longer."""
        return np.asarray(np.memmap(self._path, np.uint8, "r+", shape=self._shape))

    def mark(self, y0: int, x0: int, corners: np.ndarray) -> None:
        """Note the corners of a cell: bool (y, x), from row `y0` and column `x0` on."""
        from tiler.simplify_kernels import mark

        mark(self._open(), corners, y0, x0)

    def simplified(
        self, points: np.ndarray, offsets: np.ndarray, rings: np.ndarray, tolerance_px: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Simplify arcs, as `tiler.simplify_kernels.simplify` says; return their points and offsets."""
        from tiler.simplify_kernels import simplify

        kept = simplify(points, offsets, rings, self._open(), tolerance_px)
        return points[kept], np.concatenate([[0], np.cumsum(kept)])[offsets]
