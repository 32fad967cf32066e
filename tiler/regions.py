"""Regions: named polygons by which results are broken down, brought to map pixels by the pixels' centres."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyproj
import shapely
from affine import Affine

from tiler.area import segment_length
from tiler.grids import Box, MapGrid, same_crs
from tiler.vectors import known_crs, read_vectors


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
        path: GeoJSON, GeoPackage, FlatGeobuf or shapefile.
        field: holds the name of each region.
        crs: for a file that does not declare its own.
        grid: the map grid.
        extent: absolute map pixels; polygons far from them are left out.

    Raises:
        ValueError: no such file, not readable, no such field, no CRS, no polygon near the map, or polygons that would
            take too long.
    """
    found = read_vectors("regions", path, field)
    declared = found.crs or crs
    if declared is None:
        raise ValueError(f"regions: {path} does not declare its CRS; say it in the key `crs`, such as crs: EPSG:4326")
    source = known_crs("regions", path, declared)
    if crs is not None and not source.equals(known_crs("regions", path, crs), ignore_axis_order=True):
        raise ValueError(f"regions: {path} declares the CRS {source.name!r}, the key `crs` says {crs!r}; take one out")
    names: dict[str, int] = {}
    shapes, owners = [], []
    around = _around(grid, extent, source)
    assert found.values is not None
    for polygon, value in zip(found.shapes, found.values, strict=True):
        owner = names.setdefault(str(value), len(names))
        shape = _on_map(polygon, source, grid, around)
        if shape is not None:
            shapes.append(shapely.to_wkb(shape))
            owners.append(owner)
    if not shapes:
        raise ValueError(f"regions: no polygon of {path} lies near the map; check its CRS ({source.name})")
    return Regions(tuple(names), tuple(shapes), tuple(owners))


def area_region(area: shapely.Geometry, crs: str, grid: MapGrid) -> tuple[Regions, float]:
    """Return an area as one region of a map, and how many pixels it covers, inside and outside of the map."""
    shape = _on_map(area, pyproj.CRS.from_user_input(crs), grid, None)
    assert shape is not None, "an area has an extent"
    return Regions(("area",), (shapely.to_wkb(shape),), (0,)), float(shapely.area(shape))


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
        local = shapely.segmentize(local, segment_length(local))
        transformer = pyproj.Transformer.from_crs(crs, grid.pixels.pyproj_crs, always_xy=True)
        local = shapely.transform(local, transformer.transform, interleaved=False)
    pixels = shapely.transform(local, lambda x, y: grid.pixels.rowcol(x, y)[::-1], interleaved=False)
    return shapely.make_valid(pixels, method="structure", keep_collapsed=False)
