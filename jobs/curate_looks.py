"""Looks: what curation reads of the pixels of every tile, once: a small picture, a digest, how much is near white.

Looks are a stage like others: a file for each unit of work, on any engine, and a repeated command reads what is left.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluster.storage import Storage
from cluster.units import Units, unfinished
from jobs.runner import markers_of
from jobs.stages import peak_memory_bytes
from models.duplicates import digest
from models.reducers import mean_pool
from tiler.tile_store import SHARD_TILES, TileShard, TileStore

STAGE = "curate"
FOLDER = "curation/looks"
SIDE = 32
"""Means along a side of a small picture; of smaller tiles their own pixels."""
WHITE = 0.96
"""Near white is a pixel of which every band reaches this share of the sensor's largest value (245 of 255)."""


@dataclass(frozen=True, eq=False)
class Looks:
    """What was read of each tile; row i is tile i."""

    pictures: np.ndarray
    """float32 (n, band, y, x): area means, missing pixels as the mean of the others, 0 where nothing is valid."""
    white: np.ndarray
    """float32 (n,): share of the valid pixels that are near white; NaN where nothing is valid."""
    digests: np.ndarray
    """str (n,): of the exact pixels; "" where nothing is valid."""

    @property
    def seen(self) -> np.ndarray:
        """bool (n,): which tiles have a valid pixel."""
        return np.asarray(self.digests != "")


def look(
    image: np.ndarray, valid: np.ndarray, white_from: float | np.ndarray, most_side: int = SIDE
) -> tuple[np.ndarray, float, str]:
    """Look at one tile.

    Args:
        image: (band, y, x) of any type.
        valid: bool (y, x).
        white_from: digital number from which a band is near white; or of each band its own, (band, 1).
        most_side: means along a side of its small picture.

    Returns:
        A row of `Looks`.
    """
    side = min(most_side, *valid.shape)
    if not valid.any():
        return np.zeros((len(image), side, side), np.float32), float("nan"), ""
    pixels = image[:, valid]
    filled = np.where(valid, image, pixels.mean(axis=1, dtype=np.float64)[:, None, None])
    picture = mean_pool(filled[None], side).reshape(len(image), side, side)
    white = float((pixels >= white_from).all(axis=0).mean())
    return picture.astype(np.float32), white, digest(np.where(valid, image, 0))


def looks_bytes(seen: Sequence[tuple[np.ndarray, float, str]], facts: Mapping[str, np.ndarray] | None = None) -> bytes:
    """Return what was seen of some tiles as a file, with other columns that are known of them."""
    pictures, white, digests = zip(*seen, strict=True)
    columns: dict[str, Any] = {"pictures": np.stack(pictures), "white": np.array(white, np.float32)}
    columns |= {"digests": np.array(digests, "U64"), **(facts or {})}
    with io.BytesIO() as file:
        np.savez(file, **columns)
        return file.getvalue()


def looks_left(storage: Storage, groups: Sequence[Units[Any]]) -> tuple[int, int]:
    """Return how many units of a run were not looked at yet, and how many there are."""
    return sum(map(sum, unfinished(markers_of(storage, STAGE), groups))), sum(map(len, groups))


def mapped(shape: tuple[int, ...]) -> np.ndarray:
    """Return float32 zeros that lie in a file until they are asked for."""
    with tempfile.TemporaryFile() as file:  # lives as long as it is mapped
        return np.memmap(file, np.float32, "w+", shape=shape)


def read_columns(data: bytes) -> dict[str, np.ndarray]:
    """Return the columns of such a file."""
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@dataclass(frozen=True)
class LookAt:
    """Look at a shard of tiles and keep what was seen."""

    url: str
    """Of the tile store."""
    out: str
    """Folder of the files."""

    def __call__(self) -> Callable[[TileShard], dict]:
        """Prepare a worker."""
        store, storage = TileStore(self.url), Storage(self.out)

        def work(shard: TileShard) -> dict:
            rows = range(shard.index * SHARD_TILES, min((shard.index + 1) * SHARD_TILES, len(store.tiles)))
            white_from = WHITE * store.sensor.valid_max
            seen = [look(store.read("image", row), store.read("valid", row), white_from) for row in rows]
            storage.put(f"{shard.unit}.npz", looks_bytes(seen))
            return {"tiles": len(rows), "peak_memory_bytes": peak_memory_bytes()}

        return work
