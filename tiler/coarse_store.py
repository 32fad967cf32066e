"""Coarse modalities inside a scene store: an array each, on its own grid beside the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr

from tiler.coarse import Coarse, mask_name, modality_name
from tiler.grids import PixelGrid
from tiler.sensors import Sensor
from tiler.stores import add_array, array_of

Moments = tuple[int, float, float]
"""Count, sum and sum of squares of the values of one channel."""


@dataclass(frozen=True)
class StoredCoarse:
    """What a scene store's attributes say of a modality."""

    sensor: Sensor
    grid: PixelGrid | None
    """None where the scene lacks it: then there is no array either."""

    @property
    def name(self) -> str:
        """Name of its array."""
        return modality_name(self.sensor)

    @property
    def channels(self) -> tuple[str, ...]:
        """Its bands and its mask."""
        return (*self.sensor.bands, mask_name(self.sensor))

    @staticmethod
    def from_json(values: dict[str, Any]) -> StoredCoarse:
        """Read an entry that `add_coarse` returned."""
        grid = None if values["grid"] is None else PixelGrid.from_json(values["grid"])
        return StoredCoarse(Sensor.model_validate(values["sensor"]), grid)

    def values(self, group: zarr.Group) -> np.ndarray:
        """Return float32 (band, y, x) on `grid`, NaN where missing; no pixel where the scene lacks the modality."""
        if self.grid is None:
            return np.empty((len(self.sensor.bands), 0, 0), np.float32)
        return np.asarray(array_of(group, self.name)[...])

    def moments(self, group: zarr.Group) -> dict[str, Moments]:
        """Return the moments of the values that exist, in float64, by band."""
        found = {}
        for band, plane in zip(self.sensor.bands, self.values(group).astype(np.float64), strict=True):
            known = plane[np.isfinite(plane)]
            found[band] = (known.size, float(known.sum()), float((known**2).sum()))
        return found


def add_coarse(group: zarr.Group, coarse: Sequence[Coarse]) -> list[dict[str, Any]]:
    """Create the arrays of a scene's modalities, empty, and return what the store's attributes say of them.

    An array of a few kilobytes is one chunk. Its CRS and transform stand in a grid mapping of its own; it has no
    one-dimensional coordinates, by which xarray's extensions would take it for a second image of the scene.
    """
    for one in coarse:
        if one.grid is None:
            continue
        a, b, c, d, e, f = one.grid.transform
        wkt, mapping = one.grid.pyproj_crs.to_wkt(), f"{one.name}_spatial_ref"
        place = {"crs_wkt": wkt, "spatial_ref": wkt, "GeoTransform": " ".join(repr(v) for v in (c, a, b, f, d, e))}
        add_array(group, mapping, (), (), (), None, "int64", 0, place)[...] = 0
        shape = (len(one.sensor.bands), one.grid.height, one.grid.width)
        dims = tuple(f"{one.name}_{axis}" for axis in ("band", "y", "x"))
        facts: dict[str, Any] = {"grid_mapping": mapping, "coordinates": mapping}
        facts |= {"long_name": list(one.sensor.bands), "scale_to_physical": one.sensor.scale}
        add_array(group, one.name, dims, shape, shape, None, "float32", float("nan"), facts)
    return [
        {
            "sensor": one.sensor.model_dump(mode="json"),
            "grid": None if one.grid is None else one.grid.to_json(),
            "sources": [piece.path for piece in one.pieces],
        }
        for one in coarse
    ]


def fill_coarse(group: zarr.Group, coarse: Sequence[Coarse]) -> int:
    """Read a scene's modalities from their files and write them, each array in one assignment.

    Returns:
        Bytes written, before compression.

    Raises:
        ValueError: a file is damaged.
    """
    present = [one for one in coarse if one.grid is not None]
    for one in present:
        array_of(group, one.name)[...] = one.read()
    return sum(one.size_bytes for one in present)
