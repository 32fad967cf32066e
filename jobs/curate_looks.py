"""Looks: what curation reads of the pixels of every tile, once: a small picture, hashes, and how much is near white.

All else that curation tells of a tile is in the tile store already. Looks are a stage like others: a file for each
shard of tiles, on any engine, and a repeated command reads what is left.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cluster.engine import Engine
from cluster.storage import Storage
from cluster.units import grouped, unfinished
from jobs.datasets import PlannedDataset
from jobs.runner import markers_of, report_failures, run_stage
from jobs.stages import peak_memory_bytes
from models.duplicates import THUMBNAIL_PX, difference_hash, digest, frequency_hash, thumbnail
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
    """What was read of each tile; row i is tile i of the store."""

    pictures: np.ndarray
    """float32 (n, band, y, x): area means, missing pixels as the mean of the others, 0 where nothing is valid."""
    white: np.ndarray
    """float32 (n,): share of the valid pixels that are near white; NaN where nothing is valid."""
    digests: np.ndarray
    """str (n,): of the exact pixels; "" where nothing is valid."""
    hashes: np.ndarray
    """uint64 (n, 2): perceptual."""

    @property
    def seen(self) -> np.ndarray:
        """bool (n,): which tiles have a valid pixel."""
        return np.asarray(self.digests != "")


def look(image: np.ndarray, valid: np.ndarray, white_from: float) -> tuple[np.ndarray, float, str, tuple[int, int]]:
    """Look at one tile.

    Args:
        image: (band, y, x) of any type.
        valid: bool (y, x).
        white_from: digital number from which a band is near white.

    Returns:
        A row of `Looks`.
    """
    side = min(SIDE, *valid.shape)
    if not valid.any():
        return np.zeros((len(image), side, side), np.float32), float("nan"), "", (0, 0)
    pixels = image[:, valid]
    filled = np.where(valid, image, pixels.mean(axis=1, dtype=np.float64)[:, None, None])
    picture = mean_pool(filled[None], side).reshape(len(image), side, side)
    times = -(-THUMBNAIL_PX // min(valid.shape))  # a tile smaller than a thumbnail is enlarged
    enlarged = filled.repeat(times, 1).repeat(times, 2)
    small = thumbnail(enlarged, np.ones(enlarged.shape[1:], bool))
    white = float((pixels >= white_from).all(axis=0).mean())
    name = digest(np.where(valid, image, 0))
    return picture.astype(np.float32), white, name, (frequency_hash(small), difference_hash(small))


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
            pictures, white, digests, hashes = zip(*seen, strict=True)
            with io.BytesIO() as file:
                np.savez(
                    file,
                    pictures=np.stack(pictures),
                    white=np.array(white, np.float32),
                    digests=np.array(digests, "U64"),
                    hashes=np.array(hashes, np.uint64),
                )
                storage.put(f"{shard.unit}.npz", file.getvalue())
            return {"tiles": len(rows), "peak_memory_bytes": peak_memory_bytes()}

        return work


def looks_left(planned: PlannedDataset) -> int:
    """Return how many shards were not looked at yet."""
    return sum(map(sum, unfinished(markers_of(planned.storage, STAGE), grouped(planned.shards()))))


def take_looks(planned: PlannedDataset, engine: Engine) -> Looks | None:
    """Look at what was not looked at yet, and return all; None where shards could not be read (they are named)."""
    out = planned.storage.child(FOLDER)
    stage = LookAt(planned.url, out.url)
    outcome = run_stage(engine, planned.storage, STAGE, stage, grouped(planned.shards()), "shards")
    report_failures([outcome])
    return None if outcome.failed else read_looks(planned)


def read_looks(planned: PlannedDataset) -> Looks:
    """Read the looks of all tiles of a data set."""
    out, parts = planned.storage.child(FOLDER), []
    for shard in planned.shards():
        with np.load(io.BytesIO(out.get(f"{shard.unit}.npz")), allow_pickle=False) as file:
            parts.append({name: file[name] for name in ("pictures", "white", "digests", "hashes")})
    return Looks(*(np.concatenate([part[name] for part in parts]) for name in parts[0]))
