"""The polygons of a map in pieces that a browser asks for: those of one web tile, as GeoJSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely

from jobs.map_files import INDEXED_SITES
from jobs.map_page.published_run import PublishedRun
from jobs.map_page.xyz import TILE_PX, tile_box, world_grid
from tiler.grids import transformer

ZOOM = 11
"""Of the tiles: some 15 km along a side in Korea."""
COLUMNS = ("id", "class", "area_m2", "probability", "first_seen", "region")
DECIMALS = 6


def has_sites(run: PublishedRun) -> bool:
    """Whether a map has polygons that can be read piece by piece: by their index, a tile reads what lies there."""
    return INDEXED_SITES in run.files


def sites_in(run: PublishedRun, x: int, y: int) -> dict[str, Any]:
    """Return the sites whose bounding box has its middle in a tile of zoom `ZOOM`: each site is of one tile.

    Raises:
        ValueError: there is no such tile.
    """
    if not (0 <= x < 1 << ZOOM and 0 <= y < 1 << ZOOM):
        raise ValueError(f"there is no tile {ZOOM}/{x}/{y}")
    return _read(run.files[INDEXED_SITES], x, y)


def _read(path: Path, x: int, y: int) -> dict[str, Any]:
    from pyogrio import read_info
    from pyogrio.raw import read

    crs = str(read_info(path)["crs"])
    change = transformer("EPSG:3857", crs)
    grid = world_grid(ZOOM)
    box = tile_box(ZOOM, x, y)
    steps = np.linspace(0, TILE_PX, 9)
    cols, rows = (one.ravel() for one in np.meshgrid(box.x0 + steps, box.y0 + steps))
    east, north = grid.xy(rows, cols)
    here = (east, north) if change is None else change.transform(east, north)
    bbox = tuple(float(v) for v in (here[0].min(), here[1].min(), here[0].max(), here[1].max()))
    if not np.isfinite(bbox).all():
        return {"type": "FeatureCollection", "features": []}
    facts, _, blobs, values = read(path, bbox=bbox)
    columns = dict(zip(facts["fields"].tolist(), values, strict=True))
    shapes = shapely.from_wkb(blobs)
    bounds = shapely.bounds(shapes)
    middle = _tiles((bounds[:, 0] + bounds[:, 2]) / 2, (bounds[:, 1] + bounds[:, 3]) / 2, crs)
    mine = np.flatnonzero((middle[0] == x) & (middle[1] == y))
    to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    drawn = shapely.transform(shapes[mine], to_degrees.transform, interleaved=False)
    drawn = shapely.set_precision(drawn, 10**-DECIMALS, mode="pointwise")
    features = [
        {
            "type": "Feature",
            "geometry": json.loads(shapely.to_geojson(shape)),
            "properties": {name: _plain(columns[name][place]) for name in COLUMNS if name in columns},
        }
        for place, shape in zip(mine.tolist(), drawn, strict=True)
    ]
    return {"type": "FeatureCollection", "features": features}


def _tiles(x: np.ndarray, y: np.ndarray, crs: str) -> tuple[np.ndarray, np.ndarray]:
    change = transformer(crs, "EPSG:3857")
    east, north = (x, y) if change is None else change.transform(x, y)
    rows, cols = world_grid(ZOOM).rowcol(east, north)
    return np.floor(cols / TILE_PX), np.floor(rows / TILE_PX)


def _plain(value: Any) -> Any:
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value.astype("datetime64[D]"))
    plain = value.item() if isinstance(value, np.generic) else value
    return round(plain, 4) if isinstance(plain, float) else plain
