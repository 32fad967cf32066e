"""Some tiles of one shard of a tile store, as a unit of work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tiler.tile_store import SHARD_TILES


@dataclass(frozen=True)
class TileTask:
    """Tiles of one shard: the unit of work."""

    key: str
    """Of the settings with which they are worked on."""
    index: int
    """Of the shard."""
    rows: tuple[int, ...]

    @property
    def unit(self) -> str:
        """The name of the unit of work."""
        return f"{self.key}_s{self.index}"


def tile_tasks(key: str, rows: Sequence[int]) -> list[TileTask]:
    """Return the units of work of some rows of a tile store."""
    chosen = np.asarray(rows, int)
    shards = chosen // SHARD_TILES
    return [TileTask(key, index, tuple(chosen[shards == index].tolist())) for index in np.unique(shards).tolist()]
