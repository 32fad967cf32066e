"""Areas of pixels are those that geodesics enclose, whatever the projection."""

import numpy as np
import pyproj
import pytest

from tiler.grids import Box, MapGrid
from tiler.pixel_areas import pixel_areas


def geodesic_area(grid: MapGrid, box: Box) -> float:
    """Return what the outline of a rectangle of pixels encloses on the ellipsoid, followed in small steps."""
    along, zero = np.linspace(0, 1, 3001)[:-1], np.zeros(3000)
    rows = box.y0 + box.height * np.concatenate([along, zero + 1, 1 - along, zero])
    cols = box.x0 + box.width * np.concatenate([zero, along, zero + 1, 1 - along])
    crs = grid.pixels.pyproj_crs
    lonlat = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True).transform(*grid.pixels.xy(rows, cols))
    return abs(crs.get_geod().polygon_area_perimeter(*lonlat)[0])


GRIDS = {
    "korea": ("EPSG:5179", 10.0, (127.1, 37.1)),
    "utm, far from its meridian": ("EPSG:32652", 30.0, (135.9, 62.0)),
    "web mercator": ("EPSG:3857", 10.0, (127.1, 37.1)),
    "degrees": ("EPSG:4326", 1e-4, (127.1, 64.0)),
    "degrees on a spheroid of another size": ("EPSG:4267", 1e-3, (-100.1, 40.0)),
    "feet": ("EPSG:2263", 33.0, (-74.0, 40.7)),
    "polar": ("EPSG:3995", 100.0, (179.99, 70.0)),
    "equal-area": ("EPSG:6933", 100.0, (127.1, 37.1)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_areas_are_those_on_the_ellipsoid(name):
    crs, resolution, place = GRIDS[name]
    grid = MapGrid(crs, (resolution, resolution), (0.3 * resolution, 0.6 * resolution))
    to_crs = pyproj.Transformer.from_crs(grid.pixels.pyproj_crs.geodetic_crs, crs, always_xy=True)
    row, col = (int(value) for value in grid.pixels.rowcol(*map(np.array, to_crs.transform(*place))))
    box = Box(row, col, row + 70, col + 130)
    areas = pixel_areas(grid, box)
    assert areas.shape == (70, 130)
    assert areas.sum() == pytest.approx(geodesic_area(grid, box), rel=1e-8)
    part = Box(row + 9, col + 20, row + 11, col + 51)  # by another way: pixel by pixel
    np.testing.assert_allclose(pixel_areas(grid, part), areas[9:11, 20:51], rtol=1e-8)


def test_an_equal_area_projection_needs_nothing():
    areas = pixel_areas(MapGrid("EPSG:6933", (100.0, 100.0)), Box(-40_000, 122_000, -39_900, 122_300))
    np.testing.assert_allclose(areas, 1e4, rtol=1e-8)


def test_pixels_as_large_as_countries_are_cut_until_they_are_right():
    grid = MapGrid("EPSG:3857", (20_000.0, 20_000.0))
    box = Box(-900, -1001, 900, 1001)
    areas = pixel_areas(grid, box)
    lat = np.degrees(np.arctan(np.sinh(grid.pixels.xy(np.arange(-900, 900) + 0.5, np.zeros(1800))[1] / 6378137.0)))
    assert areas[0].min() > 0
    assert areas[:, 0] == pytest.approx(4e8 * np.cos(np.radians(lat)) ** 2, rel=0.008)  # on a sphere, nearly
    e2 = 0.0066943799901413165  # of WGS 84: radii of curvature over the radius of the equator
    flat = (1 - e2) / (1 - e2 * np.sin(np.radians(lat)) ** 2) ** 2
    assert areas[:, 5] == pytest.approx(4e8 * np.cos(np.radians(lat)) ** 2 * flat, rel=1e-7)
