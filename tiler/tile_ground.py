"""A data set as ground: its own tiles, or parts of them, with the split as it was delivered."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence

import numpy as np

from tiler.grids import Box
from tiler.ground import Cache, Pair, Place, Sampling, Statistics
from tiler.labels import IGNORE
from tiler.tile_store import RawTile, TileStore


class TileGround:
    """The kept tiles of a tile store; missing pixels are not labelled."""

    def __init__(
        self,
        store: TileStore,
        tile_px: int,
        channels: Sequence[str],
        missing_limit: float,
        sampling: Sampling | None = None,
        cache_bytes: int = 512 * 2**20,
        left_out: Collection[str] = (),
    ) -> None:
        """Take a store.

        Args:
            store: the tiles.
            tile_px: side of what is cut from a tile at random to train; validation takes whole tiles.
            channels: of `store.offered`.
            missing_limit: largest missing ratio of a tile that is used, equal included.
            sampling: which tiles are drawn, and how often.
            cache_bytes: memory for tiles that were read.
            left_out: ids of tiles that curation removed, of both parts.

        Raises:
            ValueError: tiles are smaller than `tile_px`, or none is left to train.
        """
        if tile_px > store.tile_px:
            raise ValueError(f"data.tile_px: {tile_px} px cannot be cut from tiles of {store.tile_px} px; set it lower")
        self.store, self.tile_px, self._channels = store, tile_px, tuple(channels)
        self.sampling = sampling or Sampling()
        rows = _subset(store, store.kept(missing_limit, "train", left_out), self.sampling.label_fraction)
        weights = np.array([self.sampling.weights.get(store.tiles[row]["id"], 1.0) for row in rows])
        self.rows, self._weights = rows[weights > 0], weights[weights > 0]
        if not self.rows.size:
            raise ValueError(
                f"no tile of {store.url} is left to train (missing limit {missing_limit:g}, {len(left_out)} tiles "
                "removed by curation); raise it, or apply fewer versions"
            )
        self.validation_rows = store.kept(missing_limit, "validation", left_out)
        counts = store.facts("class_counts")[self.rows] * self._weights[:, None]
        self._class_chances = {i: _chances(counts[:, i]) for i in self.sampling.classes if i < counts.shape[1]}
        self._cache: Cache[RawTile] = Cache(cache_bytes)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels of a tile."""
        return self._channels

    @property
    def tiles(self) -> int:
        """Number of training tiles."""
        return len(self.rows)

    def draw(self, random: np.random.Generator, index: int) -> Place:
        """Draw a part of a tile: of tile `index` where neither classes nor weights say otherwise."""
        wanted = self.sampling.class_wanted(random) if self.sampling.classes else None
        chances = self._class_chances.get(wanted) if wanted is not None else None
        if chances is not None:
            place = int(random.choice(len(self.rows), p=chances))
        elif self.sampling.weights:
            place = int(random.choice(len(self.rows), p=_chances(self._weights)))
        else:
            place = index % len(self.rows)
        row = int(self.rows[place])
        most = self.store.tile_px - self.tile_px
        y0, x0 = (int(random.integers(most + 1)) for _ in range(2))
        if chances is not None:
            back = random.integers(self.tile_px, size=2).tolist()
            y0, x0 = (
                min(max(0, at - b), most) for at, b in zip(self._pixel_of(row, wanted, random), back, strict=True)
            )
        return row, Box(y0, x0, y0 + self.tile_px, x0 + self.tile_px)

    def read(self, place: Place) -> Pair:
        """Read a part of a tile."""
        row, box = place
        raw = self._raw(row)
        label = np.where(raw.valid[box.slices], raw.label[box.slices], np.uint8(IGNORE))
        return self.store.assembled(raw, self._channels, box), label

    def held_back(self) -> list[Place]:
        """Return the kept tiles of the validation part, whole."""
        whole = Box(0, 0, self.store.tile_px, self.store.tile_px)
        return [(int(row), whole) for row in self.validation_rows]

    def read_held_back(self, place: Place) -> Pair:
        """Read a tile of the validation part."""
        return self.read(place)

    def statistics(self) -> Statistics:
        """Return the numbers of each channel over the training tiles that were kept."""
        medians = self.store.facts("median")[self.rows].astype(float)
        known = medians[~np.isnan(medians).any(axis=1)]
        middle = np.median(known, axis=0) if len(known) else np.zeros(medians.shape[1])
        named = dict(zip(self.store.sensor.bands, middle.tolist(), strict=True))
        return Statistics.of(self._channels, self.store.moments(self.rows), named)

    def _raw(self, row: int) -> RawTile:
        return self._cache.get(row, lambda: self.store.raw(row, self._channels), lambda raw: raw.size_bytes)

    def _pixel_of(self, row: int, wanted: int | None, random: np.random.Generator) -> tuple[int, int]:
        raw = self._raw(row)
        found = np.flatnonzero((raw.label == wanted) & raw.valid)
        y, x = divmod(int(found[random.integers(found.size)]), self.store.tile_px)
        return y, x


def _chances(weights: np.ndarray) -> np.ndarray | None:
    total = weights.sum()
    return weights / total if total > 0 else None


def _subset(store: TileStore, rows: np.ndarray, fraction: float) -> np.ndarray:
    """Return a share of the rows, at least one: those whose ids have the lowest hashes, so that shares are nested."""
    if fraction == 1 or not rows.size:
        return rows
    count = max(1, round(fraction * rows.size))
    order = sorted(rows.tolist(), key=lambda row: (zlib.crc32(store.tiles[row]["id"].encode()), row))
    return np.array(sorted(order[:count]), rows.dtype)
