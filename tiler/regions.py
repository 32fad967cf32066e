"""Regions: named polygons by which results are broken down, brought to map pixels.

A pixel as a whole belongs to the region that holds its centre (`Regions.at`); in parts it belongs to each region by the
share that this covers (`tiler.coverage`, `Regions.edges`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyproj
import shapely
from affine import Affine

from tiler.area import MOST_POINTS, surroundings
from tiler.grids import Box, MapGrid, same_crs
from tiler.vectors import known_crs, read_vectors

SEGMENTS = 1024
"""The larger side of a map is cut into so many steps: edges are before they are projected, all by the same length, so
that neighbours still meet. That of a map of 1,000 km is 1 km, and an edge of 1 km strays by 2 cm."""


@dataclass(frozen=True)
class NamedPolygons:
    """Polygons of a file, as they lie there, by the names of regions."""

    names: tuple[str, ...]
    """Of the regions, in the order of the file; polygons of one name are one region."""
    shapes: np.ndarray
    """shapely, valid; empty where a feature has no area."""
    owners: tuple[int, ...]
    """Region of each shape."""
    crs: pyproj.CRS
    repaired: tuple[str, ...]
    """Names of regions with polygons that were not valid."""

    @property
    def without_area(self) -> tuple[str, ...]:
        """Names of regions of which no feature has an area."""
        there = {self.owners[i] for i in np.flatnonzero(shapely.area(self.shapes) > 0).tolist()}
        return tuple(name for place, name in enumerate(self.names) if place not in there)

    def merged(self) -> np.ndarray:
        """Return one shape of each region: shapely, what its polygons cover together."""
        owners = np.array(self.owners)
        found = [self.shapes[owners == place] for place in range(len(self.names))]
        return np.array([s[0] if len(s) == 1 else shapely.union_all(s) for s in found], object)


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

    @cached_property
    def merged(self) -> tuple[np.ndarray, np.ndarray]:
        """The regions that lie near the map: their places in `names`, rising, and one shapely shape of each."""
        shapes, owners = np.asarray(shapely.from_wkb(list(self.shapes))), np.array(self.owners)
        places = np.unique(owners)
        found = [shapes[owners == place] for place in places]
        return places, np.array([s[0] if len(s) == 1 else shapely.union_all(s) for s in found], object)

    @cached_property
    def _edges(self) -> tuple[list[np.ndarray], shapely.STRtree]:
        from tiler.coverage import edges_of

        _, shapes = self.merged
        return [edges_of(shape) for shape in shapes], shapely.STRtree(shapely.envelope(shapes))

    def edges(self, box: Box) -> Iterator[tuple[int, Box, np.ndarray]]:
        """Yield each region that may cover pixels of a rectangle, in the order of names.

        Yields:
            Its place in `names`, the part of `box` that holds what it covers there, and float64 (n, 4): its edges, as
            `tiler.coverage.spread_edges` takes them.
        """
        (places, shapes), (edges, tree) = self.merged, self._edges
        for near in np.sort(tree.query(shapely.box(box.x0, box.y0, box.x1, box.y1))).tolist():
            left, top, right, bottom = shapes[near].bounds
            around = Box(*np.floor([top, left]).astype(int).tolist(), *np.ceil([bottom, right]).astype(int).tolist())
            part = around.clip(box)
            if not part.empty:
                yield int(places[near]), part, edges[near]

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


def read_polygons(path: str, field: str, crs: str | None) -> NamedPolygons:
    """Read the polygons of a vector file; invalid ones are repaired.

    Args:
        path: GeoJSON, GeoPackage, FlatGeobuf or shapefile.
        field: holds the name of each region.
        crs: for a file that does not declare its own.

    Raises:
        ValueError: no such file, not readable, no such field, no CRS, no polygon, a polygon without a name, or polygons
            that would take too long.
    """
    found = read_vectors("regions", path, field)
    declared = found.crs or crs
    if declared is None:
        raise ValueError(f"regions: {path} does not declare its CRS; say it in the key `crs`, such as crs: EPSG:4326")
    source = known_crs("regions", path, declared)
    if crs is not None and not source.equals(known_crs("regions", path, crs), ignore_axis_order=True):
        raise ValueError(f"regions: {path} declares the CRS {source.name!r}, the key `crs` says {crs!r}; take one out")
    assert found.values is not None
    nameless = [place for place, value in enumerate(found.values) if value is None or value != value or value == ""]
    if nameless:
        raise ValueError(
            f"regions: {len(nameless)} of {len(found.values)} features of {path} have no {field!r} "
            f"(the first is number {nameless[0] + 1}); give each a name, or choose another field"
        )
    if not (shapely.area(found.shapes) > 0).any():
        raise ValueError(f"regions: {path} holds no polygon, {len(found.shapes)} features; give polygons")
    names: dict[str, int] = {}
    owners = tuple(names.setdefault(str(value), len(names)) for value in found.values)
    told = tuple(names)
    repaired = tuple(dict.fromkeys(told[owners[place]] for place in np.flatnonzero(found.repaired).tolist()))
    return NamedPolygons(told, found.shapes, owners, source, repaired)


def read_regions(path: str, field: str, crs: str | None, grid: MapGrid, extent: Box) -> Regions:
    """Read the polygons of a vector file around a map; invalid ones are repaired.

    Args:
        path: as in `read_polygons`, as are `field` and `crs`.
        field: holds the name of each region.
        crs: for a file that does not declare its own.
        grid: the map grid.
        extent: absolute map pixels; polygons far from them are left out.

    Raises:
        ValueError: as `read_polygons`, and where no polygon lies near the map.
    """
    return regions_on_map(path, read_polygons(path, field, crs), grid, extent)


def regions_on_map(path: str, polygons: NamedPolygons, grid: MapGrid, extent: Box) -> Regions:
    """Bring the polygons of a file to map pixels; those far from the map are left out, their names stay.

    Raises:
        ValueError: no polygon lies near the map.
    """
    around = _around(grid, extent, polygons.crs)
    places, shapes = _on_map(polygons.shapes, polygons.crs, grid, around)
    if not len(places):
        raise ValueError(f"regions: no polygon of {path} lies near the map; check its CRS ({polygons.crs.name})")
    owners = tuple(polygons.owners[place] for place in places.tolist())
    return Regions(polygons.names, tuple(shapely.to_wkb(shapes).tolist()), owners)


def area_region(area: shapely.Geometry, crs: str, grid: MapGrid) -> tuple[Regions, float]:
    """Return an area as one region of a map, and how many pixels it covers, inside and outside of the map."""
    _, (shape,) = _on_map(np.array([area], object), pyproj.CRS.from_user_input(crs), grid, None)
    return Regions(("area",), (shapely.to_wkb(shape),), (0,)), float(shapely.area(shape))


def _around(grid: MapGrid, extent: Box, crs: pyproj.CRS) -> shapely.Geometry:
    """Return a rectangle of another CRS that holds the map with room around it; two where it crosses 180 degrees."""
    room = max(extent.height, extent.width) // 4 + 64
    wide = Box(extent.y0 - room, extent.x0 - room, extent.y1 + room, extent.x1 + room)
    rows, cols = np.array([wide.y0, wide.y1]), np.array([wide.x0, wide.x1])
    (left, right), (top, bottom) = grid.pixels.xy(rows, cols)
    to_crs = pyproj.Transformer.from_crs(grid.pixels.pyproj_crs, crs, always_xy=True)
    bounds = to_crs.transform_bounds(left, bottom, right, top, densify_pts=21)
    if not np.isfinite(bounds).all() or bounds[0] > bounds[2]:
        return surroundings(grid.grid_of(wide), crs.to_wkt())
    return shapely.box(*bounds)


def _on_map(
    shapes: np.ndarray, crs: pyproj.CRS, grid: MapGrid, around: shapely.Geometry | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the polygons that are not far from the map: their places, and themselves in absolute map pixels."""
    local = shapes if around is None else np.asarray(shapely.intersection(shapes, around))
    places = np.flatnonzero(shapely.area(local) > 0)
    local = local[places]
    if len(local) and not same_crs(crs.to_wkt(), grid.crs):
        left, bottom, right, top = shapely.bounds(shapely.get_parts(local if around is None else around)).T
        side = max((right - left).max(), (top - bottom).max())
        step = max(side / SEGMENTS, shapely.length(local).sum() / MOST_POINTS)
        local = shapely.segmentize(local, step)
        transformer = pyproj.Transformer.from_crs(crs, grid.pixels.pyproj_crs, always_xy=True)
        local = shapely.transform(local, transformer.transform, interleaved=False)
    pixels = shapely.transform(local, lambda x, y: grid.pixels.rowcol(x, y)[::-1], interleaved=False)
    wrong = ~shapely.is_valid(pixels)
    pixels[wrong] = shapely.make_valid(pixels[wrong], method="structure", keep_collapsed=False)
    return places, np.asarray(pixels)
