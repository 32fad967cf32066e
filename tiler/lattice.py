"""The lattice: which windows of a scene the networks see, and how windows group into units of work. Integers only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tiler.grids import Box

WINDOWS_OF_A_SMALL_SCENE = 64
"""Up to this many windows each window is a shard of its own, so that a small scene still feeds several workers."""
SHARD_WINDOWS = 4
"""Windows along each side of a shard in a larger scene."""


@dataclass(frozen=True)
class Lattice:
    """Windows of `tile_px` every `tile_px - overlap_px` pixels; the last one of a row or column is shifted back inside.

    A scene smaller than a window has one window that hangs over its lower and right border; what hangs over is missing.
    """

    height: int
    width: int
    tile_px: int = 512
    overlap_px: int = 64

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"a lattice needs a scene of at least 1 x 1 px, got {self.height} x {self.width}")
        if self.tile_px < 32 or self.tile_px % 32:
            raise ValueError(f"tile_px must be a positive multiple of 32, got {self.tile_px}; 512 is usual")
        if self.overlap_px % 32 or not 0 <= self.overlap_px <= self.tile_px // 2:
            raise ValueError(
                f"overlap_px must be a multiple of 32 from 0 to {self.tile_px // 2}, got {self.overlap_px}"
            )

    @property
    def stride_px(self) -> int:
        """Distance between neighbouring windows."""
        return self.tile_px - self.overlap_px

    @property
    def rows(self) -> int:
        """Windows down the scene."""
        return _count(self.height, self.tile_px, self.stride_px)

    @property
    def cols(self) -> int:
        """Windows across the scene."""
        return _count(self.width, self.tile_px, self.stride_px)

    def window(self, row: int, col: int) -> Box:
        """Return window `(row, col)` in scene pixels; it is always `tile_px` square.

        Raises:
            IndexError: the lattice has no such window.
        """
        if not (0 <= row < self.rows and 0 <= col < self.cols):
            raise IndexError(f"window ({row}, {col}) of a lattice of {self.rows} x {self.cols}")
        y0 = max(0, min(row * self.stride_px, self.height - self.tile_px))
        x0 = max(0, min(col * self.stride_px, self.width - self.tile_px))
        return Box(y0, x0, y0 + self.tile_px, x0 + self.tile_px)

    def own(self, row: int, col: int) -> Box:
        """Return the pixels of the scene that no later window holds: the own parts of all windows cover it once."""
        box = self.window(row, col)
        y1 = self.height if row == self.rows - 1 else self.window(row + 1, col).y0
        x1 = self.width if col == self.cols - 1 else self.window(row, col + 1).x0
        return Box(box.y0, box.x0, y1, x1)

    def touching(self, box: Box) -> Iterator[tuple[int, int]]:
        """Yield the windows `(row, col)` that share a pixel with `box`, row by row."""
        cols = list(_touching(box.x0, box.x1, self.width, self.tile_px, self.stride_px, self.cols))
        for row in _touching(box.y0, box.y1, self.height, self.tile_px, self.stride_px, self.rows):
            for col in cols:
                yield row, col

    @property
    def shard_windows(self) -> int:
        """Windows along each side of a shard: by the scene's size only, never by the number of workers."""
        return 1 if self.rows * self.cols <= WINDOWS_OF_A_SMALL_SCENE else SHARD_WINDOWS

    @property
    def shard_rows(self) -> int:
        """Shards down the lattice (the last one may be partly empty: the array is padded)."""
        return -(-self.rows // self.shard_windows)

    @property
    def shard_cols(self) -> int:
        """Shards across the lattice."""
        return -(-self.cols // self.shard_windows)

    def windows_in(self, shard_row: int, shard_col: int) -> int:
        """Return how many windows a shard holds."""
        n = self.shard_windows
        return min(n, self.rows - shard_row * n) * min(n, self.cols - shard_col * n)

    def shard(self, shard_row: int, shard_col: int) -> Iterator[tuple[int, int]]:
        """Yield the windows of one shard, row by row."""
        n = self.shard_windows
        for row in range(shard_row * n, min((shard_row + 1) * n, self.rows)):
            for col in range(shard_col * n, min((shard_col + 1) * n, self.cols)):
                yield row, col


def _count(length: int, tile: int, stride: int) -> int:
    return 1 if length <= tile else -(-(length - tile) // stride) + 1


def _touching(start: int, stop: int, length: int, tile: int, stride: int, count: int) -> Iterator[int]:
    """Yield the indices along one axis whose window `[at, at + tile)` meets `[start, stop)`.

    All but the last window lie at multiples of the stride, so the candidates are found by division.
    """
    if stop <= start:
        return
    first = max(0, (start - tile) // stride)
    for index in range(first, count):
        at = max(0, min(index * stride, length - tile))
        if at >= stop and index < count - 1:
            break
        if at < stop and at + tile > start:
            yield index
    if first >= count:  # `start` lies in what only the shifted last window covers
        at = max(0, length - tile)
        if at < stop and at + tile > start:
            yield count - 1
