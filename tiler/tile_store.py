"""The tile store: a data set of equal tiles (image, label, coarse modalities) as zarr, one row of each array a tile.

Tiles of a data set have no neighbours, so a scene store each would be thousands of groups; here 64 tiles share a shard,
which is also the unit of work. Facts that only the files tell (place, missing ratio, medians, sums) are arrays too,
written by whoever wrote the pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import zarr

from tiler.aihub import AihubTile
from tiler.grids import PixelGrid
from tiler.labels import IGNORE
from tiler.quality import patches
from tiler.rasters import Header, read_header, read_window
from tiler.sensors import Sensor
from tiler.stores import add_array, array_of, attributes_of, finish_group, new_group, open_group

SHARD_TILES = 64
"""Tiles in one zarr shard, and in one unit of work."""

Row = dict[str, Any]
"""Name of an array to the value of one tile."""


@dataclass(frozen=True)
class Modality:
    """A coarse raster that comes with every tile, on its own grid over the same ground."""

    name: str
    bands: int
    side_px: int = 64


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
    tiles: Sequence[AihubTile],
    sensor: Sensor,
    tile_px: int,
    dtype: str,
    modalities: Sequence[Modality] = (),
) -> None:
    """Make the empty store of a data set: every pixel missing, every label ignored, no modality present."""
    group = new_group(url)
    n, bands, side = len(tiles), len(sensor.bands), (tile_px, tile_px)

    def add(name: str, dims: tuple[str, ...], shape: tuple[int, ...], kind: str, fill: float | int | bool) -> None:
        chunk = (1, *shape) if len(shape) > 1 else (SHARD_TILES, *shape)  # pixels a tile at a time, facts together
        add_array(group, name, ("tile", *dims), (n, *shape), chunk, (SHARD_TILES, *shape), kind, fill)

    add("image", ("band", "y", "x"), (bands, *side), dtype, 0)
    add("valid", ("y", "x"), side, "bool", False)
    add("label", ("y", "x"), side, "uint8", IGNORE)
    for m in modalities:
        add(
            m.name, (f"{m.name}_band", f"{m.name}_y", f"{m.name}_x"), (m.bands, m.side_px, m.side_px), "float32", np.nan
        )
    add("sums", ("band", "moment"), (bands, 3), "float64", 0.0)
    add("median", ("band",), (bands,), "float32", np.nan)
    add("missing_ratio", (), (), "float32", np.nan)
    add("missing_ratio_3_patches", (), (), "float32", np.nan)
    add("coverage", (), (), "float32", np.nan)
    add("epsg", (), (), "int32", 0)
    add("transform", ("coefficient",), (6,), "float64", np.nan)
    finish_group(
        group,
        {
            "sensor": sensor.model_dump(mode="json"),
            "tile_px": tile_px,
            "modalities": [asdict(m) for m in modalities],
            "tiles": [{"id": t.id, "country": t.country, "split": t.split, "date": t.date} for t in tiles],
        },
    )


@dataclass(frozen=True)
class TileSource:
    """What turns the files of a data set into rows of its store."""

    tiles: tuple[AihubTile, ...]
    sensor: Sensor
    tile_px: int
    dtype: str
    codes: Mapping[int, int]
    """Code in the label to class index; a code that is not listed is `IGNORE`, because nobody said what it means."""
    modalities: tuple[Modality, ...] = ()

    def fill(self, group: zarr.Group, shard: TileShard) -> dict[str, object]:
        """Read the tiles of a shard and write them, each array in one assignment.

        A tile whose files cannot be read is left missing as a whole and is named in the record: one damaged file must
        not take 63 good tiles along.
        """
        start = shard.index * SHARD_TILES
        tiles = self.tiles[start : start + SHARD_TILES]
        rows: list[Row] = []
        damaged: dict[str, str] = {}
        for tile in tiles:
            try:
                rows.append(self._row(tile))
            except ValueError as error:
                damaged[tile.id] = str(error)
                rows.append(self._missing())
        for name in rows[0]:
            array_of(group, name)[start : start + len(tiles)] = np.stack([row[name] for row in rows])
        return {"tiles": len(tiles), "damaged": damaged}

    def _row(self, tile: AihubTile) -> Row:
        """Read one tile.

        Raises:
            ValueError: a file is damaged, of another size or type, or the label does not say where it lies.
        """
        values, image_header = _pixels(tile.files["image"], len(self.sensor.bands), self.tile_px)
        codes, label_header = _pixels(tile.files["label"], 1, self.tile_px)
        if image_header.dtype != self.dtype:
            raise ValueError(f"{image_header.path} is {image_header.dtype}, the store holds {self.dtype}; convert it")
        image, codes = values, codes[0]
        valid = np.asarray(self.sensor.valid(image, image_header.nodata).all(axis=0))
        label = np.full(codes.shape, IGNORE, np.uint8)
        for code, index in self.codes.items():
            label[codes == code] = index
        row: Row = {"image": np.where(valid, image, image.dtype.type(0)), "valid": valid, "label": label}
        row |= {m.name: _coarse(tile.files.get(m.name), m) for m in self.modalities}
        return row | _facts(image, valid, label) | _place(tile, label_header.grid)

    def _missing(self) -> Row:
        """Return the row of a tile that cannot be read."""
        side, bands = (self.tile_px, self.tile_px), len(self.sensor.bands)
        row: Row = {
            "image": np.zeros((bands, *side), self.dtype),
            "valid": np.zeros(side, bool),
            "label": np.full(side, IGNORE, np.uint8),
        }
        row |= {m.name: _coarse(None, m) for m in self.modalities}
        place = {"epsg": 0, "transform": np.full(6, np.nan)}
        return row | _facts(row["image"], row["valid"], row["label"]) | place


def _pixels(path: str, bands: int, side_px: int) -> tuple[np.ndarray, Header]:
    """Read a whole file that must be (bands, side_px, side_px)."""
    header = read_header(path)
    if (header.bands, header.height, header.width) != (bands, side_px, side_px):
        raise ValueError(
            f"{path} is {header.bands} x {header.height} x {header.width}, the store holds {bands} x {side_px} x "
            f"{side_px}; take it out, or set the tile's size"
        )
    return read_window(path, range(1, bands + 1), 0, 0, side_px, side_px), header


def _coarse(path: str | None, modality: Modality) -> np.ndarray:
    """Return float32 (band, y, x) of a modality, NaN where it is missing."""
    if path is None:
        return np.full((modality.bands, modality.side_px, modality.side_px), np.nan, np.float32)
    values, header = _pixels(path, modality.bands, modality.side_px)
    out = values.astype(np.float32)
    return out if header.nodata is None else np.where(values == header.nodata, np.float32(np.nan), out)


def _facts(image: np.ndarray, valid: np.ndarray, label: np.ndarray) -> Row:
    """Return what the pixels of a tile say; the quick estimate looks at three patches of a quarter of the side."""
    pixels = image[:, valid].astype(np.float64)
    known = valid & (label != IGNORE)
    height, width = valid.shape
    looked = [valid[box.slices] for box in patches(height, width, max(1, height // 4))]
    return {
        "sums": np.stack([np.full(len(image), float(pixels.shape[1])), pixels.sum(1), (pixels**2).sum(1)], axis=1),
        "median": np.median(pixels, axis=1) if valid.any() else np.full(len(image), np.nan),
        "missing_ratio": 1 - valid.mean(),
        "missing_ratio_3_patches": 1 - np.mean([patch.mean() for patch in looked]),
        "coverage": (label[known] > 0).mean() if known.any() else np.nan,
    }


def _place(tile: AihubTile, grid: PixelGrid | None) -> Row:
    epsg = None if grid is None else grid.pyproj_crs.to_epsg()
    if grid is None or epsg is None:
        raise ValueError(f"{tile.files['label']} does not say where {tile.id} lies; the place comes from the label")
    return {"epsg": epsg, "transform": np.array(grid.transform)}


class TileStore:
    """A tile store opened for reading."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.group = open_group(url)
        attrs = attributes_of(self.group)
        self.sensor = Sensor.model_validate(attrs["sensor"])
        self.tile_px = int(attrs["tile_px"])
        self.modalities = tuple(Modality(**m) for m in attrs["modalities"])
        self.tiles: list[dict[str, str]] = list(attrs["tiles"])

    def facts(self, name: str) -> np.ndarray:
        """Return one fact of every tile: `missing_ratio`, `coverage`, `sums`, `median`, `epsg` ..."""
        return np.asarray(array_of(self.group, name)[...])

    def kept(self, limit: float, split: str | None = None) -> np.ndarray:
        """Return the rows of tiles whose missing ratio does not exceed a limit, in order.

        Args:
            limit: largest missing ratio (0.3 for SN10, 0.8 for LS30 in the source document); equal is kept.
            split: train or validation; None takes both.
        """
        ratio = self.facts("missing_ratio").astype(float)
        good = ratio <= np.float32(limit)
        if split is not None:
            good &= np.array([t["split"] == split for t in self.tiles])
        return np.flatnonzero(good)

    def scaling(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of each band over the valid pixels of some tiles: float64 (band,) each."""
        count, total, squares = np.moveaxis(self.facts("sums")[rows].sum(axis=0), 1, 0)
        mean = total / count
        return mean, np.sqrt(np.maximum(squares / count - mean**2, 0.0))

    def read(self, name: str, row: int) -> np.ndarray:
        """Read one row of `image`, `valid`, `label` or a modality."""
        return np.asarray(array_of(self.group, name)[row])

    def network_input(self, row: int) -> np.ndarray:
        """Return float32 (band + 1, y, x): digital numbers, the tile's medians where missing, and the missing mask."""
        valid, median = self.read("valid", row), self.read("median", row)
        out = np.empty((len(self.sensor.bands) + 1, *valid.shape), np.float32)
        out[:-1] = self.read("image", row)
        np.copyto(out[:-1], np.nan_to_num(median)[:, None, None], where=~valid)
        out[-1] = ~valid
        return out

    def grid(self, row: int) -> PixelGrid:
        """Return where a tile lies."""
        a, b, c, d, e, f = (float(v) for v in self.read("transform", row))
        return PixelGrid(f"EPSG:{int(self.read('epsg', row))}", (a, b, c, d, e, f), self.tile_px, self.tile_px)
