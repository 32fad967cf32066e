"""From the files of a data set to the rows of its tile store, a shard of tiles at a time.

What reads one tile depends on the layout (tiler/aihub_source.py, tiler/image_source.py); what a row holds, how shards
are written and what becomes of damaged files is the same for all.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import zarr

from tiler.labels import IGNORE
from tiler.quality import patches
from tiler.sensors import Sensor
from tiler.stores import array_of, write_shard
from tiler.tile_store import SHARD_TILES, Modality, TileEntry, TileShard

Row = dict[str, Any]
"""Name of an array to the value of one tile; `notes`, texts on how it was read, go into the record instead."""


class TileSource(Protocol):
    """What turns the files of a data set into rows of its store."""

    @property
    def entries(self) -> tuple[TileEntry, ...]:
        """What is known of each tile before its pixels are read, in the order of the rows."""
        ...

    @property
    def sensor(self) -> Sensor:
        """Whose bands the tiles have."""
        ...

    @property
    def tile_px(self) -> int:
        """Side of every tile."""
        ...

    @property
    def dtype(self) -> str:
        """Of the stored pixels."""
        ...

    @property
    def classes(self) -> int:
        """Number of label values, background among them."""
        ...

    @property
    def label_values(self) -> tuple[int, ...]:
        """Class indices that labels may hold; empty where pixels are not labelled."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes of whole images, in order; empty where there are none."""
        ...

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Coarse rasters that come with every tile."""
        ...

    def identity(self) -> tuple[object, ...]:
        """Return plain values that change when a row may: fingerprints of the files, and every setting."""
        ...

    def row(self, index: int) -> Row:
        """Read one tile.

        Raises:
            ValueError: a file of it is damaged, or not of the form that it must have.
        """
        ...


def fill_shard(source: TileSource, group: zarr.Group, shard: TileShard) -> dict[str, object]:
    """Read the tiles of a shard and write them, each array in one assignment.

    A tile whose files cannot be read is left missing as a whole and is named in the record: one damaged file must not
    take 63 good tiles along.

    Returns:
        The record: `tiles`, how many; `damaged`, id to why; `notes`, id to texts on how it was read.
    """
    start = shard.index * SHARD_TILES
    entries = source.entries[start : start + SHARD_TILES]
    rows: list[Row] = []
    damaged: dict[str, str] = {}
    notes: dict[str, list[str]] = {}
    for index, entry in enumerate(entries, start):
        try:
            row = source.row(index)
            told = row.pop("notes", ())
            notes |= {entry.id: list(told)} if told else {}
            rows.append(row | {"damaged": False})
        except ValueError as error:
            damaged[entry.id] = str(error)
            rows.append(missing_row(source))
    for name in rows[0]:
        values = np.stack([row[name] for row in rows])
        place = slice(start, start + len(entries)), *(slice(None),) * (values.ndim - 1)
        write_shard(array_of(group, name), place, values)
    return {"tiles": len(entries), "damaged": damaged, "notes": notes}


def missing_row(source: TileSource) -> Row:
    """Return the row of a tile that cannot be read."""
    side, bands = (source.tile_px, source.tile_px), len(source.sensor.bands)
    image, valid = np.zeros((bands, *side), source.dtype), np.zeros(side, bool)
    row: Row = {"image": image, "valid": valid, "label": np.full(side, IGNORE, np.uint8), "damaged": True}
    for m in source.modalities:
        row |= coarse_row(np.full((len(m.sensor.bands), m.side_px, m.side_px), np.nan, np.float32), m)
    nothing = original_facts(np.zeros((bands, 0, 0), source.dtype), np.zeros((0, 0), bool))
    return row | stored_facts(image, valid, row["label"], source.classes) | nothing | NOWHERE


NOWHERE: Row = {"epsg": 0, "transform": np.full(6, np.nan)}
"""The place of what has none."""


def coarse_row(coarse: np.ndarray, modality: Modality) -> Row:
    """Return a modality, float32 (band, y, x) with NaN where it is missing, and count, sum and squares of each band."""
    known = np.isfinite(coarse)
    numbers = np.where(known, coarse, 0).astype(np.float64)
    sums = np.stack([known.sum((1, 2)), numbers.sum((1, 2)), (numbers**2).sum((1, 2))], axis=1)
    return {modality.name: coarse, f"{modality.name}_sums": sums}


def stored_facts(image: np.ndarray, valid: np.ndarray, label: np.ndarray, classes: int) -> Row:
    """Return what the stored pixels of a tile say; the quick estimate looks at three patches of a quarter of the side.

    Args:
        image: (band, y, x).
        valid: bool (y, x).
        label: uint8 (y, x), `IGNORE` where nobody labelled.
        classes: number of label values.
    """
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


def original_facts(image: np.ndarray, valid: np.ndarray) -> Row:
    """Return what the pixels of a file say, as they are before any resizing and pre-processing.

    Args:
        image: (band, y, x).
        valid: bool (y, x); missing pixels are left out.
    """
    height, width = valid.shape
    if not valid.any():
        unknown = np.full(len(image), np.nan)
        numbers = dict.fromkeys(("mean", "standard_deviation", "minimum", "maximum"), unknown)
        return {"height": height, "width": width, "pixel": np.nan, **numbers}
    if image.dtype == np.uint8 and valid.all():
        return {"height": height, "width": width, **_facts_of_bytes(image)}
    pixels = image[:, valid]
    return {
        "height": height,
        "width": width,
        "pixel": pixels.mean(dtype=np.float64),
        "mean": pixels.mean(axis=1, dtype=np.float64),
        "standard_deviation": pixels.std(axis=1, dtype=np.float64),
        "minimum": pixels.min(axis=1),
        "maximum": pixels.max(axis=1),
    }


COUNTED_PX = 2**20
"""Pixels that are counted at once."""


def _facts_of_bytes(image: np.ndarray) -> Row:
    """Return what all pixels of uint8 (band, y, x) say, by counting values: photos have tens of millions of pixels."""
    rows = max(1, COUNTED_PX // image.shape[2])
    counts = np.zeros((len(image), 256), np.int64)
    for band, plane in enumerate(image):
        for y0 in range(0, image.shape[1], rows):
            counts[band] += np.bincount(plane[y0 : y0 + rows].ravel(), minlength=256)
    values = np.arange(256)
    number, sums = image[0].size, counts @ values
    mean = sums / number
    spread = (counts * (values - mean[:, None]) ** 2).sum(axis=1) / number
    there = counts > 0
    return {
        "pixel": sums.sum() / (number * len(image)),
        "mean": mean,
        "standard_deviation": np.sqrt(spread),
        "minimum": there.argmax(axis=1),
        "maximum": 255 - there[:, ::-1].argmax(axis=1),
    }
