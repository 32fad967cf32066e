"""Areas by region: each pixel counts for a region by the share of it that lies there, and by its true area.

A map is read once, cell by cell, whatever the number and the size of regions. Sums over regions that tile the ground
are those of the whole ground to rounding, because neighbours share each pixel without remainder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyproj
import shapely

from tiler.area import segment_length
from tiler.grids import Box, MapGrid
from tiler.pixel_areas import pixel_areas
from tiler.regions import Regions

SLIVER = 1e-6
"""Share of what regions cover from which it is said which of them lie on one another: less is rounding of borders."""


@dataclass(frozen=True)
class RegionSums:
    """Square metres on the ellipsoid, by the values of a raster; what has none of them stands last."""

    regions: np.ndarray
    """float64 (region, value + 1)."""
    whole: np.ndarray
    """float64 (value + 1,): all pixels of the raster."""
    outside: np.ndarray
    """float64 (value + 1,): in no region."""
    twice: np.ndarray
    """float64 (value + 1,): in more than one region, as often as it is one too many. What regions cover is
    `whole - outside + twice`."""

    @staticmethod
    def total(parts: Iterable[RegionSums], regions: int, values: int) -> RegionSums:
        """Add up the sums of parts of a raster, in their order."""
        found = RegionSums(np.zeros((regions, values + 1)), *np.zeros((3, values + 1)))
        for part in parts:
            for ours, theirs in zip(vars(found).values(), vars(part).values(), strict=True):
                ours += theirs
        return found


def region_sums(
    read: Callable[[Box], np.ndarray], values: int, grid: MapGrid, extent: Box, regions: Regions, threads: int = 1
) -> RegionSums:
    """Sum true areas of a raster by value and region.

    Args:
        read: returns absolute map pixels, uint8 (y, x); called by several threads.
        values: how many values there are, from 0; any other is none of them, such as 255 for what nobody saw.
        grid: the map grid.
        extent: absolute map pixels of the raster.
        regions: brought to this grid.
        threads: cells that are held at once.
    """

    def of_cell(box: Box) -> RegionSums:
        return _of_box(read(box), values, grid, box, regions)

    boxes = [MapGrid.box_of(cell).clip(extent) for cell in MapGrid.cells_of(extent)]
    with ThreadPoolExecutor(threads, "regions") as pool:
        return RegionSums.total(pool.map(of_cell, boxes), len(regions.names), values)


def _of_box(raster: np.ndarray, values: int, grid: MapGrid, box: Box, regions: Regions) -> RegionSums:
    from tiler.coverage import add_covered, add_uneven, spread_edges

    found = RegionSums(np.zeros((len(regions.names), values + 1)), *np.zeros((3, values + 1)))
    raster, areas = np.ascontiguousarray(raster), pixel_areas(grid, box)
    covered, room = np.zeros(raster.shape), np.empty(box.height * (box.width + 1))
    for place, part, edges in regions.edges(box):
        sums = room[: part.height * (part.width + 1)].reshape(part.height, part.width + 1)  # new memory is slow
        sums.fill(0)
        spread_edges(sums, edges, float(part.y0), float(part.x0))
        add_covered(sums, part.y0 - box.y0, part.x0 - box.x0, raster, areas, found.regions[place], covered)
    add_uneven(raster, areas, covered, found.whole, found.outside, found.twice)
    return found


def overlaps(regions: Regions) -> list[tuple[str, str, float]]:
    """Return the pairs of regions that lie on one another, with the pixels that both cover; the largest first."""
    places, shapes = regions.merged
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    one, other = one[one < other], other[one < other]
    pixels = shapely.area(shapely.intersection(shapes[one], shapes[other]))
    names = [regions.names[place] for place in places.tolist()]
    found = [(names[a], names[b], px) for a, b, px in zip(one, other, pixels.tolist(), strict=True) if px > 0]
    return sorted(found, key=lambda pair: -pair[2])


def ellipsoid_areas(shapes: np.ndarray, crs: pyproj.CRS) -> np.ndarray:
    """Return the areas of polygons of a CRS in square metres of its ellipsoid: float64 (n,); 0 for what is empty.

    Edges that are straight in the CRS are followed in steps, because geodesics are not (Karney 2013, Algorithms for
    geodesics, section 6).
    """
    geod, geographic = crs.get_geod(), crs.geodetic_crs
    assert geod is not None
    assert geographic is not None
    change = pyproj.Transformer.from_crs(crs, geographic, always_xy=True)

    def area(shape: shapely.Geometry) -> float:
        if shapely.area(shape) == 0:
            return 0.0
        fine = shapely.normalize(shapely.segmentize(shape, segment_length(shape)))
        degrees = shapely.transform(fine, change.transform, interleaved=False)
        return abs(math.fsum(geod.geometry_area_perimeter(part)[0] for part in shapely.get_parts(degrees)))

    return np.array([area(shape) for shape in shapes])
