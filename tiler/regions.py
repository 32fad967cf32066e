"""Regions: named polygons by which results are broken down, brought to map pixels by the pixels' centres."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyproj
import shapely
from affine import Affine

from tiler.grids import Box, MapGrid, same_crs

SEGMENTS = 256
"""A polygon's extent is cut into so many steps before it is projected, so that long edges stay true."""


@dataclass(frozen=True)
class Regions:
    """Named polygons in absolute map pixels; small enough to travel to every worker."""

    names: tuple[str, ...]
    """Of the regions, in the order of the file; polygons of one name are one region."""
    shapes: tuple[bytes, ...]
    """WKB; x is the column, y the row."""
    owners: tuple[int, ...]
    """Region of each shape."""

    @cached_property
    def _tree(self) -> tuple[np.ndarray, shapely.STRtree]:
        shapes = np.asarray(shapely.from_wkb(list(self.shapes)))
        return shapes, shapely.STRtree(shapes)

    def at(self, box: Box) -> np.ndarray:
        """Return int32 (y, x): the region that holds the centre of each pixel, -1 for none, the first of several."""
        from rasterio.features import rasterize

        out_shape = box.height, box.width
        shapes, tree = self._tree
        near = np.sort(tree.query(shapely.box(box.x0, box.y0, box.x1, box.y1)))[::-1]  # what comes last stays on top
        if not near.size:
            return np.full(out_shape, -1, np.int32)
        burnt = [(shapes[i], self.owners[i]) for i in near.tolist()]
        place = Affine.translation(box.x0, box.y0)
        return np.asarray(rasterize(burnt, out_shape=out_shape, fill=-1, transform=place, dtype="int32"))


def read_regions(path: str, field: str, crs: str | None, grid: MapGrid, extent: Box) -> Regions:
    """Read the polygons of a vector file around a map; invalid ones are repaired.

    Args:
        path: GeoJSON or any vector file that GDAL knows.
        field: holds the name of each region.
        crs: for a file that does not declare its own.
        grid: the map grid.
        extent: absolute map pixels; polygons far from them are left out.

    Raises:
        ValueError: no such file, not readable, no such field, no CRS, or no polygon near the map.
    """
    import pyogrio

    if not Path(path).is_file():
        raise ValueError(f"regions: {path} does not exist; give a vector file")
    try:
        known = list(pyogrio.read_info(path)["fields"])
        meta, _, blobs, columns = pyogrio.raw.read(path, columns=[field])
    except Exception as error:  # pyogrio raises many kinds; all mean that the file is not what was asked for
        raise ValueError(f"regions: {path} cannot be read: {error}; give a vector file") from error
    if field not in known:
        near = difflib.get_close_matches(field, known, n=1, cutoff=0.0)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"regions: {path} has no field {field!r}, only {known}{hint}")
    declared = meta["crs"] or crs
    if declared is None:
        raise ValueError(f"regions: {path} does not declare its CRS; say it in the key `crs`, such as crs: EPSG:4326")
    try:
        source = pyproj.CRS.from_user_input(declared)
        differs = crs is not None and not same_crs(str(declared), crs)
    except pyproj.exceptions.CRSError as error:
        raise ValueError(
            f"regions: the crs {crs or declared!r} is unknown ({error}); give EPSG:4326 or alike"
        ) from error
    if differs:
        raise ValueError(f"regions: {path} declares the CRS {source.name!r}, the key `crs` says {crs!r}; take one out")
    names: dict[str, int] = {}
    shapes, owners = [], []
    around = _around(grid, extent, source)
    for blob, value in zip(blobs, columns[0], strict=True):
        owner = names.setdefault(str(value), len(names))
        shape = None if blob is None else _on_map(shapely.make_valid(shapely.from_wkb(blob)), source, grid, around)
        if shape is not None:
            shapes.append(shapely.to_wkb(shape))
            owners.append(owner)
    if not shapes:
        raise ValueError(f"regions: no polygon of {path} lies near the map; check its CRS ({source.name})")
    return Regions(tuple(names), tuple(shapes), tuple(owners))


def _around(grid: MapGrid, extent: Box, crs: pyproj.CRS) -> shapely.Geometry | None:
    """Return a rectangle of another CRS that holds the map with room around it; None where it crosses 180 degrees."""
    room = max(extent.height, extent.width) // 4 + 64
    wide = Box(extent.y0 - room, extent.x0 - room, extent.y1 + room, extent.x1 + room)
    rows, cols = np.array([wide.y0, wide.y1]), np.array([wide.x0, wide.x1])
    (left, right), (top, bottom) = grid.pixels.xy(rows, cols)
    to_crs = pyproj.Transformer.from_crs(grid.pixels.pyproj_crs, crs, always_xy=True)
    bounds = to_crs.transform_bounds(left, bottom, right, top, densify_pts=21)
    if not np.isfinite(bounds).all() or bounds[0] > bounds[2]:
        return None
    return shapely.box(*bounds)


def _on_map(
    shape: shapely.Geometry, crs: pyproj.CRS, grid: MapGrid, around: shapely.Geometry | None
) -> shapely.Geometry | None:
    """Return a polygon in absolute map pixels, None for one far from the map."""
    local = shape if around is None else shapely.intersection(shape, around)
    if shapely.area(local) == 0:
        return None
    if not same_crs(crs.to_wkt(), grid.crs):
        left, bottom, right, top = local.bounds
        local = shapely.segmentize(local, max(right - left, top - bottom) / SEGMENTS)
        transformer = pyproj.Transformer.from_crs(crs, grid.pixels.pyproj_crs, always_xy=True)
        local = shapely.transform(local, transformer.transform, interleaved=False)
    pixels = shapely.transform(local, lambda x, y: grid.pixels.rowcol(x, y)[::-1], interleaved=False)
    return shapely.make_valid(pixels)
