"""The polygons of a map in pieces that a browser asks for: those of one web tile, as GeoJSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from jobs.map_files import INDEXED_SITES
from jobs.map_page.published_run import PublishedRun
from jobs.map_page.xyz import TILE_PX, Bounds, tile_box, world_grid
from tiler.grids import transformer

ZOOM = 12
"""Of the tiles: some 8 km along a side in Korea, of which a browser holds two dozen at once; a country of a hundred
thousand sites has as many as a hundred in one."""
BLOCK_ZOOM = 9
"""Of the tiles that are read at once where all are wanted."""
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
    return _collection(_read(run.files[INDEXED_SITES], ZOOM, x, y).get((x, y), []))


def all_sites(run: PublishedRun, bounds: Bounds) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
    """Yield the tiles of zoom `ZOOM` that have sites, each with what `sites_in` says of it.

    Args:
        run: whose sites.
        bounds: of its map.
    """
    for x, y in bounds.tiles(BLOCK_ZOOM):
        for tile, features in sorted(_read(run.files[INDEXED_SITES], BLOCK_ZOOM, x, y).items()):
            yield tile, _collection(features)


def _collection(features: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": features}


def _read(path: Path, zoom: int, x: int, y: int) -> dict[tuple[int, int], list[dict[str, Any]]]:
    """Return the sites of a tile of any zoom up to `ZOOM` by the tiles of that."""
    from pyogrio import read_info
    from pyogrio.raw import read

    crs = str(read_info(path)["crs"])
    change, to_degrees = transformer("EPSG:3857", crs), transformer(crs, "EPSG:4326")
    grid, box = world_grid(zoom), tile_box(zoom, x, y)
    steps = np.linspace(0, TILE_PX, 9)
    cols, rows = (one.ravel() for one in np.meshgrid(box.x0 + steps, box.y0 + steps))
    east, north = grid.xy(rows, cols)
    here = (east, north) if change is None else change.transform(east, north)
    bbox = tuple(float(v) for v in (here[0].min(), here[1].min(), here[0].max(), here[1].max()))
    if not np.isfinite(bbox).all():
        return {}
    facts, _, blobs, values = read(path, bbox=bbox)
    columns = dict(zip(facts["fields"].tolist(), values, strict=True))
    shapes = shapely.from_wkb(blobs)
    bounds = shapely.bounds(shapes)
    tiles = _tiles((bounds[:, 0] + bounds[:, 2]) / 2, (bounds[:, 1] + bounds[:, 3]) / 2, crs)
    mine = np.flatnonzero((tiles // (1 << ZOOM - zoom) == [x, y]).all(axis=1))
    drawn = shapes[mine]
    if to_degrees is not None:
        drawn = shapely.transform(drawn, to_degrees.transform, interleaved=False)
    drawn = shapely.set_precision(drawn, 10**-DECIMALS, mode="pointwise")
    found: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for place, shape in zip(mine.tolist(), drawn, strict=True):
        tile_x, tile_y = tiles[place].tolist()
        feature = {
            "type": "Feature",
            "geometry": json.loads(shapely.to_geojson(shape)),
            "properties": {name: _plain(columns[name][place]) for name in COLUMNS if name in columns},
        }
        found.setdefault((tile_x, tile_y), []).append(feature)
    return found


def _tiles(x: np.ndarray, y: np.ndarray, crs: str) -> np.ndarray:
    """Return the column and row of the tile of zoom `ZOOM` that holds each place, int64 (n, 2)."""
    change = transformer(crs, "EPSG:3857")
    east, north = (x, y) if change is None else change.transform(x, y)
    rows, cols = world_grid(ZOOM).rowcol(east, north)
    return np.floor(np.stack([cols, rows], axis=1) / TILE_PX).astype(np.int64)


def _plain(value: Any) -> Any:
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value.astype("datetime64[D]"))
    plain = value.item() if isinstance(value, np.generic) else value
    return round(plain, 4) if isinstance(plain, float) else plain
