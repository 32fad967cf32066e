"""From the files of AI-Hub 71805 to the rows of a tile store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tiler.aihub import AihubTile
from tiler.grids import PixelGrid
from tiler.imagery_preparation import ImageryPreparation, imagery_preparation
from tiler.labels import IGNORE
from tiler.rasters import Header, fingerprint, read_header, read_window
from tiler.sensors import Sensor
from tiler.tile_source import Row, coarse_row, original_facts, stored_facts
from tiler.tile_store import Modality, TileEntry


@dataclass(frozen=True)
class AihubSource:
    """The tiles of a delivery (a `tiler.tile_source.TileSource`)."""

    tiles: tuple[AihubTile, ...]
    delivered: Sensor
    """What the files are of."""
    tile_px: int
    dtype: str
    codes: Mapping[int, int]
    """Code in the label to class index; a code that is not listed is `IGNORE`, because nobody said what it means."""
    modalities: tuple[Modality, ...] = ()
    preprocess: tuple[str | Mapping[str, Any], ...] = ()

    @cached_property
    def _prepared(self) -> tuple[ImageryPreparation | None, Sensor]:
        return imagery_preparation(self.preprocess, self.delivered) if self.preprocess else (None, self.delivered)

    @property
    def sensor(self) -> Sensor:
        """What the tiles are of; named after what is done to them.

        Raises:
            ValueError: operations that are unknown, or not for these tiles.
        """
        return self._prepared[1]

    @property
    def entries(self) -> tuple[TileEntry, ...]:
        """The lines of the store's list."""
        return tuple(tile.entry for tile in self.tiles)

    @property
    def classes(self) -> int:
        """Number of label values, background among them."""
        return max(1, *self.codes.values()) + 1

    @property
    def label_values(self) -> tuple[int, ...]:
        """What the code table names."""
        return tuple(self.codes.values())

    @property
    def class_names(self) -> tuple[str, ...]:
        """None: whole tiles have no class."""
        return ()

    def identity(self) -> tuple[object, ...]:
        """Return fingerprints of the files, and the settings."""
        files = sorted({fingerprint(path) for tile in self.tiles for path in tile.files.values()})
        settings = (self.sensor.model_dump(mode="json"), sorted(self.codes.items()), self.tile_px)
        prepared = (list(self.preprocess),) if self.preprocess else ()  # names of stores made without stay
        return files, settings, [m.to_json() for m in self.modalities], *prepared

    def row(self, index: int) -> Row:
        """Read one tile.

        Raises:
            ValueError: a file is damaged, of another size or type, or the label does not say where it lies.
        """
        tile = self.tiles[index]
        image, image_header = _pixels(tile.files["image"], len(self.sensor.bands), self.tile_px)
        read, label_header = _pixels(tile.files["label"], 1, self.tile_px)
        if image_header.dtype != self.dtype:
            raise ValueError(f"{image_header.path} is {image_header.dtype}, the store holds {self.dtype}; convert it")
        codes = read[0]
        valid = np.asarray(self.sensor.valid(image, image_header.nodata).all(axis=0))
        label = np.full(codes.shape, IGNORE, np.uint8)
        for code, index_of_class in self.codes.items():
            label[codes == code] = index_of_class
        stored = np.where(valid, image, image.dtype.type(0))
        if self._prepared[0] is not None:
            stored = self._prepared[0](stored, valid)
        row: Row = {"image": stored, "valid": valid, "label": label}
        for m in self.modalities:
            row |= coarse_row(_coarse(tile.files.get(m.name), m), m)
        facts = stored_facts(stored, valid, label, self.classes) | original_facts(image, valid)
        return row | facts | _place(tile, label_header.grid)


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
    """Read a modality, float32 (band, y, x) with NaN where it is missing; everywhere, if there is no file."""
    coarse = np.full((len(modality.sensor.bands), modality.side_px, modality.side_px), np.nan, np.float32)
    if path is not None:
        values, header = _pixels(path, len(modality.sensor.bands), modality.side_px)
        good = modality.sensor.valid(values, header.nodata)
        coarse[good] = values[good]
    return coarse


def _place(tile: AihubTile, grid: PixelGrid | None) -> Row:
    epsg = None if grid is None else grid.pyproj_crs.to_epsg()
    if grid is None or epsg is None:
        raise ValueError(f"{tile.files['label']} does not say where {tile.id} lies; the place comes from the label")
    return {"epsg": epsg, "transform": np.array(grid.transform)}
