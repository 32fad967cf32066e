"""Areas of interest: polygons from GeoJSON or GeoPackage files, and which blocks of a scene they touch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyproj
import shapely
from affine import Affine

from tiler.grids import PixelGrid, same_crs
from tiler.vectors import known_crs, read_vectors

BLOCK_PX = 32
"""Resolution of `touched_blocks`; window borders of every lattice lie on it, but for the shifted last ones."""

SEGMENTS = 256
"""A polygon's extent is cut into so many steps before it is projected."""
MOST_POINTS = 1_000_000
"""That are added to a polygon for that."""


def read_area(path: str) -> tuple[shapely.Geometry, str]:
    """Read the polygons of a GeoJSON, GeoPackage, FlatGeobuf or shapefile.

    Returns:
        The union of all polygons, and its CRS (a GeoJSON without one is EPSG:4326, as RFC 7946 says).

    Raises:
        ValueError: no such file, not readable, no polygon in it, or polygons that would take too long.
    """
    found = read_vectors("area", path)
    area = shapely.union_all(found.shapes)
    if shapely.area(area) == 0:
        raise ValueError(f"area: {path} holds no polygon; give polygons")
    crs = found.crs or ("EPSG:4326" if path.lower().endswith("json") else None)
    if crs is None:
        raise ValueError(f"area: {path} does not declare its CRS; write it with one")
    known_crs("area", path, crs)
    return area, crs


def touched_blocks(grid: PixelGrid, area: shapely.Geometry, crs: str) -> np.ndarray:
    """Return which 32 px blocks of a scene an area touches.

    Returns:
        bool (ceil(height / 32), ceil(width / 32)).
    """
    from rasterio.features import rasterize

    shape = -(-grid.height // BLOCK_PX), -(-grid.width // BLOCK_PX)
    local = area
    if not same_crs(crs, grid.crs):
        # Only what lies around the scene is projected: far from it (an area may be the world) its CRS has no place.
        local = shapely.intersection(area, surroundings(grid, crs))
        if local.is_empty:
            return np.zeros(shape, bool)
        local = shapely.segmentize(local, segment_length(local))
        transformer = pyproj.Transformer.from_crs(crs, grid.pyproj_crs, always_xy=True)
        local = shapely.transform(local, transformer.transform, interleaved=False)
    pixels = shapely.transform(local, lambda x, y: grid.rowcol(x, y)[::-1], interleaved=False)
    if not shapely.box(0, 0, grid.width, grid.height).intersects(pixels):
        return np.zeros(shape, bool)
    # GDAL leaves out a block that a polygon enters by less than a hundredth of its side; a pixel more costs nothing.
    pixels = shapely.buffer(pixels, 1.0, quad_segs=1)
    blocks = rasterize([pixels], out_shape=shape, transform=Affine.scale(BLOCK_PX), all_touched=True, dtype="uint8")
    return np.asarray(blocks.astype(bool))


def surroundings(grid: PixelGrid, crs: str) -> shapely.Geometry:
    """Return a rectangle of another CRS that holds a scene with room around it; two where it crosses 180 degrees."""
    rows, cols = np.meshgrid(np.linspace(0, grid.height, 17), np.linspace(0, grid.width, 17))
    x, y = pyproj.Transformer.from_crs(grid.pyproj_crs, crs, always_xy=True).transform(*grid.xy(rows, cols))
    good = np.isfinite(x) & np.isfinite(y)
    if not good.any():
        return shapely.Polygon()
    x, y = x[good], y[good]
    room = 0.1 * (np.ptp(y) + min(np.ptp(x), np.ptp(y)))
    low, high = y.min() - room, y.max() + room
    if pyproj.CRS.from_user_input(crs).is_geographic and np.ptp(x) > 180.0:
        west, east = x[x < 0].max() + room, x[x >= 0].min() - room
        return shapely.union(shapely.box(-180.0, low, west, high), shapely.box(east, low, 180.0, high))
    return shapely.box(x.min() - room, low, x.max() + room, high)


def segment_length(area: shapely.Geometry) -> float:
    """Return a spacing of points, in the area's own units, so that long edges stay true when they are projected.

    It is wider where there would be more than `MOST_POINTS`: a comb of teeth as long as the area has edges enough.
    """
    left, bottom, right, top = area.bounds
    return max((right - left) / SEGMENTS, (top - bottom) / SEGMENTS, shapely.length(area) / MOST_POINTS)


def area_digest(path: str) -> str:
    """Return what identifies the area's content."""
    import hashlib

    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def as_geojson(area: shapely.Geometry) -> dict:
    """Return a geometry as a GeoJSON object."""
    return dict(json.loads(shapely.to_geojson(area)))
