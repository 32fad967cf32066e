"""From the files of a data set to the rows of its tile store, a shard of tiles at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr

from tiler.aihub import AihubTile
from tiler.grids import PixelGrid
from tiler.labels import IGNORE
from tiler.quality import patches
from tiler.rasters import Header, read_header, read_window
from tiler.sensors import Sensor
from tiler.stores import array_of, write_shard
from tiler.tile_store import SHARD_TILES, Modality, TileShard

Row = dict[str, Any]
"""Name of an array to the value of one tile."""


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

    @property
    def classes(self) -> int:
        """Number of label values, background among them."""
        return max(1, *self.codes.values()) + 1

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
            values = np.stack([row[name] for row in rows])
            place = slice(start, start + len(tiles)), *(slice(None),) * (values.ndim - 1)
            write_shard(array_of(group, name), place, values)
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
        for m in self.modalities:
            row |= _coarse(tile.files.get(m.name), m)
        return row | _facts(image, valid, label, self.classes) | _place(tile, label_header.grid)

    def _missing(self) -> Row:
        """Return the row of a tile that cannot be read."""
        side, bands = (self.tile_px, self.tile_px), len(self.sensor.bands)
        row: Row = {
            "image": np.zeros((bands, *side), self.dtype),
            "valid": np.zeros(side, bool),
            "label": np.full(side, IGNORE, np.uint8),
        }
        for m in self.modalities:
            row |= _coarse(None, m)
        place = {"epsg": 0, "transform": np.full(6, np.nan)}
        return row | _facts(row["image"], row["valid"], row["label"], self.classes) | place


def _pixels(path: str, bands: int, side_px: int) -> tuple[np.ndarray, Header]:
    """Read a whole file that must be (bands, side_px, side_px)."""
    header = read_header(path)
    if (header.bands, header.height, header.width) != (bands, side_px, side_px):
        raise ValueError(
            f"{path} is {header.bands} x {header.height} x {header.width}, the store holds {bands} x {side_px} x "
            f"{side_px}; take it out, or set the tile's size"
        )
    return read_window(path, range(1, bands + 1), 0, 0, side_px, side_px), header


def _coarse(path: str | None, modality: Modality) -> Row:
    """Return a modality, float32 (band, y, x) with NaN where it is missing, and count, sum and squares of each band."""
    shape = (len(modality.sensor.bands), modality.side_px, modality.side_px)
    coarse = np.full(shape, np.nan, np.float32)
    if path is not None:
        values, header = _pixels(path, len(modality.sensor.bands), modality.side_px)
        good = modality.sensor.valid(values, header.nodata)
        coarse[good] = values[good]
    known = np.isfinite(coarse)
    numbers = np.where(known, coarse, 0).astype(np.float64)
    sums = np.stack([known.sum((1, 2)), numbers.sum((1, 2)), (numbers**2).sum((1, 2))], axis=1)
    return {modality.name: coarse, f"{modality.name}_sums": sums}


def _facts(image: np.ndarray, valid: np.ndarray, label: np.ndarray, classes: int) -> Row:
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
        "class_counts": np.bincount(label[known], minlength=classes),
        "coverage": (label[known] > 0).mean() if known.any() else np.nan,
    }


def _place(tile: AihubTile, grid: PixelGrid | None) -> Row:
    epsg = None if grid is None else grid.pyproj_crs.to_epsg()
    if grid is None or epsg is None:
        raise ValueError(f"{tile.files['label']} does not say where {tile.id} lies; the place comes from the label")
    return {"epsg": epsg, "transform": np.array(grid.transform)}
