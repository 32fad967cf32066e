"""Shards of a scene store: which there are, and which pixels each owns; a shard is the unit of work of Ingest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tiler.grids import Box, PixelGrid
from tiler.stores import shard_px


@dataclass(frozen=True, order=True)
class Shard:
    """One shard of a scene store: the unit of work of Ingest."""

    scene: str
    row: int
    col: int

    @property
    def unit(self) -> str:
        """The name of the shard as a unit of work."""
        return f"{self.scene}/r{self.row}_c{self.col}"


def shard_shape(grid: PixelGrid) -> tuple[int, int]:
    """Return the size `(y, x)` of a scene's shards in pixels."""
    return shard_px(grid.height), shard_px(grid.width)


def shards_of(scene: str, grid: PixelGrid) -> Iterator[Shard]:
    """Yield the shards of a scene, row by row."""
    height, width = shard_shape(grid)
    for row in range(-(-grid.height // height)):
        for col in range(-(-grid.width // width)):
            yield Shard(scene, row, col)


def shard_count(grid: PixelGrid) -> int:
    """Return how many shards a scene has."""
    height, width = shard_shape(grid)
    return -(-grid.height // height) * -(-grid.width // width)


def shard_box(shard: Shard, grid: PixelGrid) -> Box:
    """Return the scene pixels of a shard (the last ones of a row or column may be smaller)."""
    height, width = shard_shape(grid)
    box = Box(shard.row * height, shard.col * width, (shard.row + 1) * height, (shard.col + 1) * width)
    return box.clip(grid.box)
