"""What a map says of one place, and what that was made of: scenes, bundles, code."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
import shapely
from rasterio.windows import Window

from jobs.map_page.layers import ImageryLayer, Layer, RasterLayer
from jobs.map_page.published_run import PublishedRun
from jobs.map_page.xyz import WGS84
from jobs.window_faults import cell_name
from tiler.grids import CELL_PX, Box, Cell, MapGrid, PixelGrid, transformer
from tiler.scene_store import SceneStore
from tiler.vrt import driver_of


def pixel_of(grid: PixelGrid, lon: float, lat: float) -> tuple[int, int] | None:
    """Return the pixel `(row, col)` of a raster that holds a place in degrees; None where it lies outside."""
    change = transformer(WGS84, grid.crs)
    x, y = (lon, lat) if change is None else change.transform(lon, lat)
    if not (math.isfinite(x) and math.isfinite(y)):
        return None
    row, col = (math.floor(float(v)) for v in grid.rowcol(np.array(x), np.array(y)))
    return (row, col) if 0 <= row < grid.height and 0 <= col < grid.width else None


def value_of(layer: RasterLayer, lon: float, lat: float) -> float | None:
    """Return the value of a layer at a place, None where nothing is known there."""
    at = pixel_of(layer.grid, lon, lat)
    if at is None:
        return None
    with rasterio.open(layer.path, driver=driver_of(layer.path)) as data:
        value = data.read(layer.band, window=Window(at[1], at[0], 1, 1))[0, 0].item()
        return None if value == data.nodata or not math.isfinite(value) else value


def provenance(run: PublishedRun) -> dict[str, Any]:
    """Return which bundles and which code made a map, and when."""
    record = run.record
    return {
        "models": [{"name": one["name"], "digest": one["digest"][:12]} for one in record["models"]],
        "made": {
            "created": record["created"],
            "map": record["map"]["key"],
            "files": run.key,
            "code": (record["git_commit"] or "unknown")[:12],
            "sandan": record["versions"].get("sandan", "unknown"),
        },
    }


@dataclass(frozen=True)
class Place:
    """A place of the map of a run."""

    run: PublishedRun
    layers: Sequence[Layer]
    lon: float
    lat: float

    def told(self) -> dict[str, Any]:
        """Return values and provenance as plain JSON."""
        where = self._pixel()
        return {
            "title": self.run.title,
            "values": [self._value(layer) for layer in self.layers if isinstance(layer, RasterLayer)],
            "inside": where is not None,
            "pixel": where,
            "scenes": [] if where is None else self._scenes(),
            **provenance(self.run),
        }

    def _value(self, layer: RasterLayer) -> dict[str, Any]:
        value = value_of(layer, self.lon, self.lat)
        return {
            "layer": layer.id,
            "title": layer.title,
            "value": value,
            "told": "no data" if value is None else layer.style.told(value),
        }

    def _pixel(self) -> dict[str, Any] | None:
        """Return the absolute map pixel and the cell of the place, as failures and catalogues name them."""
        layer = next((one for one in self.layers if isinstance(one, RasterLayer)), None)
        at = None if layer is None else pixel_of(layer.grid, self.lon, self.lat)
        if layer is None or at is None:
            return None
        x, y = (float(v[0]) for v in layer.grid.xy(np.array([at[0] + 0.5]), np.array([at[1] + 0.5])))
        grid = MapGrid.like(layer.grid)
        row, col = (math.floor(float(v)) for v in grid.pixels.rowcol(np.array(x), np.array(y)))
        cell = cell_name(Cell(row // CELL_PX, col // CELL_PX))
        return {"x": x, "y": y, "crs": layer.grid.pyproj_crs.name, "row": row, "col": col, "cell": cell}

    def _scenes(self) -> list[dict[str, Any]]:
        """Return the scenes whose pixels are valid at the place; of stores that are gone those whose outline holds it.

        Records of earlier versions have no outlines: of their scenes without a store nothing is known.
        """
        stores = {layer.imagery: None for layer in self.layers if isinstance(layer, ImageryLayer)}
        opened = {one.store.id: one.store for imagery in stores for one in imagery.scenes}
        found = []
        for scene in self.run.record["scenes"]:
            store = opened.get(scene["id"])
            saw = (
                _within(scene.get("outline"), self.lon, self.lat) if store is None else _saw(store, self.lon, self.lat)
            )
            if saw:
                found.append({"id": scene["id"], "acquired": scene["acquired"], "known": store is not None})
        return found


def _within(ring: list[list[float]] | None, lon: float, lat: float) -> bool:
    """Whether a place may lie within a ring of longitudes and latitudes, which may reach beyond 180."""
    if ring is None:
        return True
    return bool(shapely.contains_xy(shapely.Polygon(ring), [lon, lon + 360], [lat, lat]).any())


def _saw(store: SceneStore, lon: float, lat: float) -> bool:
    at = pixel_of(store.grid, lon, lat)
    return at is not None and bool(store.read("valid", Box(at[0], at[1], at[0] + 1, at[1] + 1), False)[0, 0])
