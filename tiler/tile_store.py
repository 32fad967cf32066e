"""The tile store: a data set of equal tiles (image, label, coarse modalities) as zarr, one row of each array a tile.

Tiles of a data set have no neighbours, so a scene store each would be thousands of groups; here 64 tiles share a shard,
which is also the unit of work. Facts that only the files tell (place, size, missing ratio, medians, sums) are arrays
too, written by whoever wrote the pixels (tiler/tile_source.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tiler.coarse import mask_name, modality_name, offered_channels
from tiler.fusion import coarse_channels
from tiler.grids import Box, PixelGrid
from tiler.labels import IGNORE
from tiler.sensors import Sensor
from tiler.stores import add_array, array_of, attributes_of, finish_group, new_group, open_group

SHARD_TILES = 64
"""Tiles in one zarr shard, and in one unit of work."""
SPLITS = ("train", "validation", "test")
"""What a tile may be for; "" where nobody said."""


@dataclass(frozen=True)
class TileEntry:
    """What is known of a tile before its pixels are read: a line of the store's list."""

    id: str
    """The data set's own name of a tile, or the path of an image below its folder, with /."""
    split: str = ""
    """One of `SPLITS`, or ""."""
    date: str = ""
    """As the data set writes it; "" unknown."""
    source: str = ""
    """Where it comes from: a country, a supplier; "" unknown."""
    label: str = ""
    """Name of the class of the image as a whole; "" where there is none."""


@dataclass(frozen=True)
class Modality:
    """A coarse raster that comes with every tile, on its own grid over the same ground."""

    sensor: Sensor
    side_px: int = 64

    @property
    def name(self) -> str:
        """What the store and the channels call it."""
        return modality_name(self.sensor)

    @property
    def mask(self) -> str:
        """Name of the channel that is 1 where it is missing."""
        return mask_name(self.sensor)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"sensor": self.sensor.model_dump(mode="json"), "side_px": self.side_px}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Modality:
        """Return what `to_json` told."""
        return Modality(Sensor.model_validate(values["sensor"]), int(values["side_px"]))


@dataclass(frozen=True, order=True)
class TileShard:
    """Some tiles of a tile store: the unit of work of its ingest."""

    store: str
    index: int

    @property
    def unit(self) -> str:
        """The name of the shard as a unit of work."""
        return f"{self.store}_s{self.index}"


def tile_shards(store: str, tiles: int) -> Iterator[TileShard]:
    """Yield the shards of a store of so many tiles."""
    for index in range(-(-tiles // SHARD_TILES)):
        yield TileShard(store, index)


def create_tile_store(
    url: str,
    tiles: Sequence[TileEntry],
    sensor: Sensor,
    tile_px: int,
    dtype: str,
    classes: int = 2,
    modalities: Sequence[Modality] = (),
    class_names: Sequence[str] = (),
) -> None:
    """Make the empty store of a data set: every pixel missing, every label ignored, no modality present.

    Args:
        url: of the store.
        tiles: what is known of each; row i of every array is tile i.
        sensor: its bands.
        tile_px: side of every tile.
        dtype: of the pixels.
        classes: label values, background among them.
        modalities: coarse rasters that come with every tile.
        class_names: of whole images, in order; empty where there are none.
    """
    group = new_group(url)
    n, bands, side = len(tiles), len(sensor.bands), (tile_px, tile_px)

    def add(name: str, dims: tuple[str, ...], shape: tuple[int, ...], kind: str, fill: float | int | bool) -> None:
        chunk = (1, *shape) if len(shape) > 1 else (SHARD_TILES, *shape)  # pixels a tile at a time, facts together
        add_array(group, name, ("tile", *dims), (n, *shape), chunk, (SHARD_TILES, *shape), kind, fill)

    add("image", ("band", "y", "x"), (bands, *side), dtype, 0)
    add("valid", ("y", "x"), side, "bool", False)
    add("label", ("y", "x"), side, "uint8", IGNORE)
    for m in modalities:
        dims = (f"{m.name}_band", f"{m.name}_y", f"{m.name}_x")
        add(m.name, dims, (len(m.sensor.bands), m.side_px, m.side_px), "float32", np.nan)
        add(f"{m.name}_sums", (dims[0], "moment"), (len(m.sensor.bands), 3), "float64", 0.0)
    add("class_counts", ("class",), (classes,), "int64", 0)
    add("sums", ("band", "moment"), (bands, 3), "float64", 0.0)
    add("median", ("band",), (bands,), "float32", np.nan)
    add("missing_ratio", (), (), "float32", np.nan)
    add("missing_ratio_3_patches", (), (), "float32", np.nan)
    add("coverage", (), (), "float32", np.nan)
    add("epsg", (), (), "int32", 0)
    add("transform", ("coefficient",), (6,), "float64", np.nan)
    add("height", (), (), "int32", 0)
    add("width", (), (), "int32", 0)
    add("pixel", (), (), "float64", np.nan)
    for name in ("mean", "standard_deviation", "minimum", "maximum"):
        add(name, ("band",), (bands,), "float64", np.nan)
    add("damaged", (), (), "bool", False)
    finish_group(
        group,
        {
            "sensor": sensor.model_dump(mode="json"),
            "tile_px": tile_px,
            "modalities": [m.to_json() for m in modalities],
            "class_names": list(class_names),
            "tiles": [asdict(tile) for tile in tiles],
        },
    )


@dataclass(frozen=True)
class RawTile:
    """One tile as the store holds it."""

    image: np.ndarray
    """(band, y, x) in the store's type, 0 where missing."""
    valid: np.ndarray
    """bool (y, x)."""
    label: np.ndarray
    """uint8 (y, x)."""
    median: np.ndarray
    """float32 (band,): what fills missing pixels."""
    coarse: dict[str, np.ndarray]
    """Modality name to float32 (band, y, x) on its own grid, NaN where missing."""

    @property
    def size_bytes(self) -> int:
        """Memory that it takes."""
        return self.image.nbytes + self.valid.nbytes + self.label.nbytes + sum(c.nbytes for c in self.coarse.values())


class TileStore:
    """A tile store opened for reading."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.group = open_group(url)
        attrs = attributes_of(self.group)
        self.sensor = Sensor.model_validate(attrs["sensor"])
        self.tile_px = int(attrs["tile_px"])
        self.modalities = tuple(Modality.from_json(m) for m in attrs["modalities"])
        self.tiles: list[dict[str, str]] = list(attrs["tiles"])
        """The fields of `TileEntry` of each row."""
        self.class_names: tuple[str, ...] = tuple(attrs["class_names"])

    @property
    def channels(self) -> tuple[str, ...]:
        """What `network_input` returns unless told otherwise: the bands, then the missing mask."""
        return (*self.sensor.bands, "mask")

    @property
    def offered(self) -> tuple[str, ...]:
        """Every channel that may be asked for."""
        return offered_channels(self.sensor, [m.sensor for m in self.modalities])

    def facts(self, name: str) -> np.ndarray:
        """Return one fact of every tile, an array whose first axis is the row.

        Of the stored pixels: `missing_ratio`, `missing_ratio_3_patches`, `coverage`, `class_counts` (class,), and of
        the valid ones `sums` (band; count, sum, sum of squares) and `median` (band,). Of the pixels as the files hold
        them, before any resizing and pre-processing: `height`, `width`, `pixel` (mean over all bands), and for each
        band `mean`, `standard_deviation`, `minimum`, `maximum`, missing pixels left out. Besides `epsg` (0 for none),
        `transform` (6,), and `damaged`: its files could not be read.
        """
        return np.asarray(array_of(self.group, name)[...])

    def kept(self, limit: float, split: str | None = None, left_out: Collection[str] = ()) -> np.ndarray:
        """Return the rows of tiles that could be read and whose missing ratio does not exceed a limit, in order.

        Args:
            limit: largest missing ratio (0.3 for SN10, 0.8 for LS30 in the source document); equal is kept.
            split: one of `SPLITS`; None takes all.
            left_out: ids of tiles that curation removed.
        """
        ratio = self.facts("missing_ratio").astype(float)
        good = (ratio <= np.float32(limit)) & ~self.facts("damaged")
        if split is not None:
            good &= np.array([t["split"] == split for t in self.tiles])
        good &= ~np.isin([t["id"] for t in self.tiles], list(left_out))
        return np.flatnonzero(good)

    def moments(self, rows: np.ndarray) -> dict[str, tuple[float, float, float]]:
        """Return count, sum and sum of squares of every band and coarse channel over the valid pixels of some tiles."""
        found: dict[str, tuple[float, float, float]] = {}
        for bands, name in (
            (self.sensor.bands, "sums"),
            *((m.sensor.bands, f"{m.name}_sums") for m in self.modalities),
        ):
            for band, (count, total, squares) in zip(bands, self.facts(name)[rows].sum(axis=0).tolist(), strict=True):
                found[band] = (count, total, squares)
        return found

    def scaling(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of each band over the valid pixels of some tiles: float64 (band,) each."""
        count, total, squares = np.moveaxis(self.facts("sums")[rows].sum(axis=0), 1, 0)
        mean = total / count
        return mean, np.sqrt(np.maximum(squares / count - mean**2, 0.0))

    def read(self, name: str, row: int) -> np.ndarray:
        """Read one row of `image`, `valid`, `label` or a modality."""
        return np.asarray(array_of(self.group, name)[row])

    def images(self, rows: Sequence[int]) -> np.ndarray:
        """Read the images of some rows: (row, band, y, x); with `np.moveaxis(..., 1, -1)` the bands come last."""
        found = array_of(self.group, "image")
        return (
            np.stack([found[int(row)] for row in rows]) if len(rows) else np.empty((0, *found.shape[1:]), found.dtype)
        )

    def raw(self, row: int, channels: Sequence[str]) -> RawTile:
        """Read one tile with the modalities that some channels need."""
        needed = [m.name for m in self.modalities if {m.mask, *m.sensor.bands} & set(channels)]
        image, valid, label, median = (self.read(name, row) for name in ("image", "valid", "label", "median"))
        return RawTile(image, valid, label, np.nan_to_num(median), {name: self.read(name, row) for name in needed})

    def assembled(self, raw: RawTile, channels: Sequence[str], box: Box) -> np.ndarray:
        """Return channels of a part of a tile, float32 (channel, y, x).

        Bands are digital numbers with the tile's medians where missing, masks are 1 where something is missing, and
        coarse bands are interpolated to the tile's pixels, NaN where they are missing.

        Raises:
            ValueError: a channel that the store does not hold.
        """
        absent = [c for c in channels if c not in self.offered]
        if absent:
            raise ValueError(f"channels {absent} are not in the tile store {self.url}; it offers {list(self.offered)}")
        valid = raw.valid[box.slices]
        planes: dict[str, np.ndarray] = {"mask": ~valid}
        for place, band in enumerate(self.sensor.bands):
            if band in channels:
                planes[band] = np.where(valid, raw.image[(place, *box.slices)], raw.median[place])
        for m in self.modalities:
            if m.name in raw.coarse:
                wanted = [c for c in channels if c in (*m.sensor.bands, m.mask)]
                fine = coarse_channels(m.sensor.bands, wanted, raw.coarse[m.name], *self._grids(m), box)
                planes |= dict(zip(wanted, fine, strict=True))
        return np.stack([planes[c] for c in channels]).astype(np.float32, copy=False)

    def network_input(self, row: int, channels: Sequence[str] | None = None) -> np.ndarray:
        """Return what networks see of a whole tile, float32 (channel, y, x): see `assembled`."""
        wanted = self.channels if channels is None else channels
        return self.assembled(self.raw(row, wanted), wanted, Box(0, 0, self.tile_px, self.tile_px))

    def grid(self, row: int) -> PixelGrid | None:
        """Return where a tile lies; None for an image, which has no place on Earth."""
        if not self.read("epsg", row):
            return None
        a, b, c, d, e, f = (float(v) for v in self.read("transform", row))
        return PixelGrid(f"EPSG:{int(self.read('epsg', row))}", (a, b, c, d, e, f), self.tile_px, self.tile_px)

    def _grids(self, modality: Modality) -> tuple[PixelGrid, PixelGrid]:
        """Return the grids of a modality and of a tile: both cover one ground, so that any place on earth will do."""
        side, step = modality.side_px, self.tile_px / modality.side_px
        return (
            PixelGrid("EPSG:32652", (step, 0.0, 0.0, 0.0, -step, 0.0), side, side),
            PixelGrid("EPSG:32652", (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), self.tile_px, self.tile_px),
        )
