"""Scenes into files, block by block: memory is that of one block, however large the scene."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely

from tiler.grids import Box, PixelGrid
from tiler.sensors import SENSORS
from tiler.synthetic.acquisition import Acquisition
from tiler.synthetic.air import MODALITIES, render_air
from tiler.synthetic.canvas import transformer
from tiler.synthetic.country import WORLD_CRS, Country
from tiler.synthetic.render import NODATA, check_resolution, render

BLOCK_PX = 512
"""Side of what is drawn and written at once, and of the tiles of the files."""
LAYERS: dict[str, tuple[str, str]] = {
    "label": ("labels", "uint8"),
    "truth": ("truth", "uint8"),
    "clouds": ("clouds", "uint8"),
}
"""What may be written beside an image: attribute of `Rendered` to (folder, type)."""


@dataclass(frozen=True)
class SceneFiles:
    """Where a scene's files lie."""

    id: str
    image: Path
    layers: dict[str, Path]
    """Layer name to file."""
    grid: PixelGrid
    day: date


def utm_crs(longitude_deg: float) -> str:
    """Return the northern UTM zone of a longitude."""
    return f"EPSG:{32600 + int((longitude_deg + 180) // 6) + 1}"


def grid_over(lonlat: tuple[float, float, float, float], sensor: str, crs: str) -> PixelGrid:
    """Return the grid of a sensor over a rectangle of longitudes and latitudes (west, south, east, north)."""
    side = SENSORS[sensor].resolution_m
    x0, y0, x1, y1 = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform_bounds(*lonlat)
    left, top = math.floor(x0 / side) * side, math.ceil(y1 / side) * side
    height, width = math.ceil((top - y0) / side), math.ceil((x1 - left) / side)
    return PixelGrid(crs, (side, 0.0, left, 0.0, -side, top), height, width)


def write_scene(
    country: Country,
    grid: PixelGrid,
    how: Acquisition,
    folder: Path,
    scene_id: str,
    *,
    layers: tuple[str, ...] = ("label", "truth", "clouds"),
    floating: bool = False,
    on_block: Callable[[int], None] = lambda pixels: None,
) -> SceneFiles:
    """Write one scene: tiled, deflated GeoTIFFs `scenes/ID.tif`, and its layers in folders of their own.

    Args:
        country: the world.
        grid: the scene's pixels.
        how: sensor, day and weather.
        folder: is made.
        scene_id: becomes the files' name.
        layers: keys of `LAYERS`.
        floating: float32 with NaN in place of uint16 with 0.
        on_block: told how many pixels were just written.

    Raises:
        ValueError: the grid's pixels are not the sensor's, or it lies outside the world's plane.
    """
    check_resolution(grid, how)
    paths = {name: folder / LAYERS[name][0] / f"{scene_id}.tif" for name in layers}
    image = folder / "scenes" / f"{scene_id}.tif"
    with ExitStack() as stack:
        bands = SENSORS[how.sensor].bands
        pixel, nothing = ("float32", math.nan) if floating else ("uint16", NODATA)
        out = stack.enter_context(_partial(image, grid, pixel, nothing, bands))
        more = {n: stack.enter_context(_partial(p, grid, LAYERS[n][1], None, (n,))) for n, p in paths.items()}
        for box in blocks(grid):
            drawn = render(country, grid, how, box, floating=floating)
            _write(out, box, drawn.image)
            for name, file in more.items():
                _write(file, box, getattr(drawn, name)[None].astype(LAYERS[name][1]))
            on_block(box.height * box.width)
    return SceneFiles(scene_id, image, paths, grid, how.day)


def blocks(grid: PixelGrid) -> Iterator[Box]:
    """Yield the blocks of a scene, row by row."""
    for y0 in range(0, grid.height, BLOCK_PX):
        for x0 in range(0, grid.width, BLOCK_PX):
            yield Box(y0, x0, min(y0 + BLOCK_PX, grid.height), min(x0 + BLOCK_PX, grid.width))


class _partial:
    """A GeoTIFF under a temporary name, which gets its own when it is whole."""

    def __init__(self, path: Path, grid: PixelGrid, dtype: str, nodata: float | None, bands: tuple[str, ...]) -> None:
        self.path, self.hidden = path, path.with_name(f".{path.stem}.part.tif")
        self.profile: dict[str, Any] = profile_of(grid, dtype, nodata, len(bands))
        self.bands = bands

    def __enter__(self) -> Any:
        import rasterio

        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = rasterio.open(self.hidden, "w", **self.profile)
        self.file.descriptions = self.bands
        return self.file

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.file.close()
        if kind is None:
            self.hidden.replace(self.path)
        else:
            self.hidden.unlink(missing_ok=True)


def profile_of(grid: PixelGrid, dtype: str, nodata: float | None, count: int) -> dict[str, Any]:
    """Return rasterio's keywords for a tiled, deflated GeoTIFF."""
    profile: dict[str, Any] = {"driver": "GTiff", "height": grid.height, "width": grid.width, "count": count}
    profile |= {"dtype": dtype, "crs": grid.crs, "transform": grid.affine, "nodata": nodata, "bigtiff": "IF_SAFER"}
    profile |= {"compress": "deflate", "zlevel": 1, "predictor": 3 if dtype == "float32" else 2}
    if min(grid.height, grid.width) >= 16:
        profile |= {"tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX}
    return profile


def _write(file: Any, box: Box, values: np.ndarray) -> None:
    from rasterio.windows import Window

    file.write(values, window=Window(box.x0, box.y0, box.width, box.height))


def write_air(country: Country, grid: PixelGrid, day: date, modality: str, path: Path, side_m: float = 800.0) -> None:
    """Write a coarse raster over a scene's rectangle: float32, `side_m` metres a pixel, bands named by species."""
    import rasterio

    height_m, width_m = grid.height * grid.resolution[0], grid.width * grid.resolution[1]
    height, width = max(2, math.ceil(height_m / side_m)), max(2, math.ceil(width_m / side_m))
    coarse = PixelGrid(grid.crs, (side_m, 0.0, grid.transform[2], 0.0, -side_m, grid.transform[5]), height, width)
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **profile_of(coarse, "float32", math.nan, len(MODALITIES[modality]))) as file:
        file.descriptions = tuple(s.name for s in MODALITIES[modality])
        file.write(render_air(country, coarse, day, modality))


def write_estates(country: Country, lonlat: tuple[float, float, float, float], path: Path) -> int:
    """Write the industrial sites of a rectangle as GeoJSON (longitude, latitude); return how many there are."""
    bounds = transformer("EPSG:4326", WORLD_CRS).transform_bounds(*lonlat)
    to_lonlat = transformer(WORLD_CRS, "EPSG:4326")
    features = []
    for site in country.estates_within(bounds):
        shape = shapely.transform(site.outline(), lambda c: np.stack(to_lonlat.transform(c[:, 0], c[:, 1]), axis=1))
        facts = {"id": site.name, "kind": site.kind, "subtype": site.subtype, "active": site.active}
        facts |= {"area_km2": round(site.industrial_km2, 4)}
        features.append({"type": "Feature", "properties": facts, "geometry": shapely.geometry.mapping(shape)})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return len(features)
