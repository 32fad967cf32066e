"""Which items the embeddings of a scene have: every window of a lattice, whole and by quadrant; integers and places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiler.grids import Box, PixelGrid, transformer
from tiler.lattice import Lattice

WHOLE = 1
WITH_QUADRANTS = 5
"""Items of a window: itself, then its quadrants: upper left, upper right, lower left, lower right."""
WGS84 = "EPSG:4326"


@dataclass(frozen=True)
class SceneItems:
    """The items of a scene by number: `((row * cols) + col) * parts + part`."""

    lattice: Lattice
    parts: int
    """`WHOLE` or `WITH_QUADRANTS`."""
    grid: PixelGrid
    """Of the scene."""

    def __post_init__(self) -> None:
        if self.parts not in (WHOLE, WITH_QUADRANTS):
            raise ValueError(f"a window has {WHOLE} item or {WITH_QUADRANTS}, got parts={self.parts}")

    def __len__(self) -> int:
        return self.lattice.rows * self.lattice.cols * self.parts

    def item(self, row: int, col: int, part: int = 0) -> int:
        """Return the number of a window's item.

        Raises:
            IndexError: there is no such window, or no such part.
        """
        if not (0 <= row < self.lattice.rows and 0 <= col < self.lattice.cols and 0 <= part < self.parts):
            raise IndexError(
                f"window ({row}, {col}) part {part} of {self.lattice.rows} x {self.lattice.cols} windows with "
                f"{self.parts} parts each"
            )
        return (row * self.lattice.cols + col) * self.parts + part

    def place(self, item: int) -> tuple[int, int, int]:
        """Return row, column and part of an item: undoes `item`."""
        window, part = divmod(int(item), self.parts)
        return (*divmod(window, self.lattice.cols), part)

    def box(self, item: int) -> Box:
        """Return the scene pixels of an item; they may hang over the border of a scene smaller than a window."""
        row, col, part = self.place(item)
        box = self.lattice.window(row, col)
        if part == 0:
            return box
        half = self.lattice.tile_px // 2
        down, right = divmod(part - 1, 2)
        y0, x0 = box.y0 + down * half, box.x0 + right * half
        return Box(y0, x0, y0 + half, x0 + half)

    def centres(self, items: np.ndarray) -> np.ndarray:
        """Return longitude and latitude of the middles of items.

        Args:
            items: int (n,).

        Returns:
            float64 (n, 2), degrees; the middle of what lies inside the scene.
        """
        boxes = [self.box(item).clip(self.grid.box) for item in items.tolist()]
        rows = np.array([(b.y0 + b.y1) / 2 for b in boxes], float)
        cols = np.array([(b.x0 + b.x1) / 2 for b in boxes], float)
        return self._lonlat(rows, cols)

    def outline(self, item: int) -> np.ndarray:
        """Return the corners of an item, float64 (4, 2): longitude, latitude; counter-clockwise if north is up."""
        box = self.box(item).clip(self.grid.box)
        rows = np.array([box.y1, box.y1, box.y0, box.y0], float)
        cols = np.array([box.x0, box.x1, box.x1, box.x0], float)
        return self._lonlat(rows, cols)

    def at(self, lon: float, lat: float) -> int | None:
        """Return the smallest item that holds a place, the first of several; None where the scene does not reach it."""
        change = transformer(WGS84, self.grid.crs)
        x, y = (lon, lat) if change is None else change.transform(lon, lat)
        row, col = (float(v) for v in self.grid.rowcol(np.array(x), np.array(y)))
        if not (0 <= row < self.grid.height and 0 <= col < self.grid.width):
            return None
        at = Box(int(row), int(col), int(row) + 1, int(col) + 1)
        window = next(iter(self.lattice.touching(at)))
        inside = self.lattice.window(*window)
        if self.parts == WHOLE:
            return self.item(*window)
        half = self.lattice.tile_px // 2
        down, right = (at.y0 - inside.y0) // half, (at.x0 - inside.x0) // half
        return self.item(*window, 1 + 2 * down + right)

    def _lonlat(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        x, y = self.grid.xy(rows, cols)
        change = transformer(self.grid.crs, WGS84)
        return np.stack((x, y) if change is None else change.transform(x, y), axis=-1)
