"""Sums by region: what a whole raster gives at once, whatever the cells; no region is lost or counted twice."""

import json

import numpy as np
import pyogrio
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.jobs.worlds import small_cells
from tests.real_data import needs, real
from tiler.coverage import shares_of
from tiler.grids import Box, MapGrid
from tiler.pixel_areas import pixel_areas
from tiler.region_sums import RegionSums, ellipsoid_areas, overlaps, region_sums
from tiler.regions import Regions, read_polygons, read_regions, regions_on_map

GRID = MapGrid("EPSG:5179", (10.0, 10.0), (3.0, 7.0))
EXTENT = Box(-195_040, 100_010, -195_000, 100_073)
VALUES = np.random.default_rng(0).choice(np.array([0, 1, 2, 255], np.uint8), (EXTENT.height, EXTENT.width))


def raster(box: Box) -> np.ndarray:
    return VALUES[box.shift(-EXTENT.y0, -EXTENT.x0).slices]


def regions_of(shapes: dict[str, shapely.Geometry]) -> Regions:
    return Regions(tuple(shapes), tuple(shapely.to_wkb(list(shapes.values()))), tuple(range(len(shapes))))


def oracle(shape: shapely.Geometry) -> np.ndarray:
    """Areas by value of the whole raster at once: 0, 1, 2 and everything else."""
    weights = shares_of(shape, EXTENT.y0, EXTENT.x0, EXTENT.height, EXTENT.width) * pixel_areas(GRID, EXTENT)
    return np.array([weights[value == VALUES].sum() for value in (0, 1, 2, 255)])


points = st.tuples(st.floats(EXTENT.x0 - 20, EXTENT.x1 + 20), st.floats(EXTENT.y0 - 20, EXTENT.y1 + 20))


@settings(max_examples=15, deadline=None)
@given(st.lists(points, min_size=4, max_size=15), st.integers(17, 50), st.integers(1, 3))
def test_a_partition_sums_to_the_whole_whatever_the_cells(centres, cell_px, threads):
    cells = shapely.voronoi_polygons(shapely.MultiPoint(centres), extend_to=shapely.box(99_000, -196_000, 101_000, 0))
    shapes = {f"r{i}": shape for i, shape in enumerate(shapely.get_parts(cells))}
    with small_cells(cell_px):
        found = region_sums(raster, 3, GRID, EXTENT, regions_of(shapes), threads)
    whole = oracle(shapely.box(EXTENT.x0, EXTENT.y0, EXTENT.x1, EXTENT.y1))
    np.testing.assert_allclose(found.whole, whole, rtol=1e-10)
    np.testing.assert_allclose(found.regions.sum(axis=0), found.whole, rtol=1e-12)
    for place, shape in enumerate(shapes.values()):
        np.testing.assert_allclose(found.regions[place], oracle(shape), rtol=1e-9, atol=1e-6)
    assert found.outside.sum() + found.twice.sum() < 1e-9 * whole.sum()


def test_what_lies_in_no_region_or_in_two_is_told():
    x0, y0 = EXTENT.x0, EXTENT.y0
    shapes = {"a": shapely.box(x0 + 1, y0 + 2, x0 + 20, y0 + 12), "b": shapely.box(x0 + 15.5, y0 + 5, x0 + 40, y0 + 9)}
    shapes["far"] = shapely.box(x0 + 900, y0, x0 + 901, y0 + 1)
    regions = regions_of(shapes)
    found = region_sums(raster, 3, GRID, EXTENT, regions)
    np.testing.assert_allclose(found.twice, oracle(shapely.intersection(shapes["a"], shapes["b"])), rtol=1e-9)
    np.testing.assert_allclose(found.regions.sum(axis=0), found.whole - found.outside + found.twice, rtol=1e-12)
    assert not found.regions[2].any()
    assert overlaps(regions) == [("a", "b", pytest.approx(4.5 * 4))]
    assert overlaps(regions_of({"a": shapes["a"], "c": shapely.box(x0 + 20, y0, x0 + 30, y0 + 9)})) == []


def test_polygons_of_one_name_count_once():
    x0, y0 = EXTENT.x0, EXTENT.y0
    both = [shapely.box(x0, y0, x0 + 9, y0 + 9), shapely.box(x0 + 4, y0, x0 + 12.5, y0 + 9)]
    found = region_sums(raster, 3, GRID, EXTENT, Regions(("a",), tuple(shapely.to_wkb(both)), (0, 0)))
    np.testing.assert_allclose(found.regions[0], oracle(shapely.union_all(both)), rtol=1e-12)
    assert found.twice.sum() < 1e-9 * found.whole.sum()


def test_totals_of_nothing_are_nothing():
    assert not RegionSums.total([], 2, 3).regions.any()


def test_areas_of_polygons_are_those_on_the_ellipsoid():
    square = shapely.box(127, 37, 128, 38)
    holed = shapely.difference(square, shapely.box(127.2, 37.2, 127.4, 37.5))
    lonlat = pyproj.CRS("EPSG:4326")
    tm = shapely.transform(
        shapely.segmentize(square, 0.001),
        pyproj.Transformer.from_crs(lonlat, "EPSG:5179", always_xy=True).transform,
        interleaved=False,
    )
    grid = MapGrid("EPSG:4326", (0.1, 0.1))
    degrees = pixel_areas(grid, Box(-380, 1270, -370, 1280))
    found = ellipsoid_areas(np.array([square, holed, shapely.Polygon()], object), lonlat)
    hole = pixel_areas(grid, Box(-375, 1272, -372, 1274)).sum()
    assert found.tolist() == pytest.approx([degrees.sum(), degrees.sum() - hole, 0], rel=1e-7)
    assert ellipsoid_areas(np.array([tm], object), pyproj.CRS("EPSG:5179"))[0] == pytest.approx(degrees.sum(), rel=1e-7)


@pytest.mark.parametrize("crs", ["EPSG:32601", "EPSG:3571"])
def test_the_antimeridian_is_nothing_special(tmp_path, crs):
    """Regions that end at 180 degrees meet there, and what lies on the other side of the Earth does no harm."""
    shapes = {"west": shapely.box(178.9, 65, 180, 66), "east": shapely.box(-180, 65, -178.9, 66)}
    shapes["far"] = shapely.box(10, -80, 11, -10)
    features = [
        {"type": "Feature", "properties": {"name": name}, "geometry": shapely.geometry.mapping(shape)}
        for name, shape in shapes.items()
    ]
    path = tmp_path / "r.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    grid = MapGrid(crs, (500.0, 500.0))
    middle = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(180.0, 65.5)
    row, col = (int(value) for value in grid.pixels.rowcol(*map(np.array, middle)))
    extent = Box(row - 160, col - 170, row + 150, col + 180)
    polygons = read_polygons(str(path), "name", None)
    found = land_of(regions_on_map(str(path), polygons, grid, extent), grid, extent)
    areas = ellipsoid_areas(polygons.merged(), polygons.crs)
    np.testing.assert_allclose(found.regions[:2, 0], areas[:2], rtol=1e-6)
    assert found.regions[2, 0] == 0
    assert found.twice[0] < 1e-9 * areas[0]


def land_of(regions: Regions, grid: MapGrid, extent: Box) -> RegionSums:
    return region_sums(lambda box: np.zeros((box.height, box.width), np.uint8), 1, grid, extent, regions)


@needs("korea_admin")
def test_the_districts_of_korea_have_their_areas():
    """251 districts of 2013, all valid: each has, as partial pixels of 1 km, its geodesic area; borders are shared."""
    path = str(real("korea_admin/kostat2013/skorea_municipalities_geo_simple.json"))
    grid, extent = MapGrid("EPSG:5179", (1000.0, 1000.0)), Box(-2120, 700, -1300, 1420)
    polygons = read_polygons(path, "code", None)
    assert len(polygons.names) == 251
    assert polygons.repaired == polygons.without_area == ()
    regions = regions_on_map(path, polygons, grid, extent)
    found = land_of(regions, grid, extent)
    areas = ellipsoid_areas(polygons.merged(), polygons.crs)
    assert 9.5e10 < areas.sum() < 1.05e11  # of South Korea: 100,363 km²
    # within a pixel of 1 km the scale of the projection changes by 1e-7, and edges are followed in steps
    np.testing.assert_allclose(found.regions[:, 0], areas, rtol=2e-5)
    shared = found.regions[:, 0].sum() - found.twice[0] + found.outside[0]
    assert shared == pytest.approx(found.whole[0], rel=1e-12)
    assert found.twice[0] < 1e-4 * areas.sum()  # of the simplified borders, which cross here and there


@needs("korea_admin")
def test_the_districts_of_2018_are_repaired_and_add_up():
    """Their file shares its borders as arcs: 250 districts add up to their union, and 18 that are invalid are named."""
    path = str(real("korea_admin/kostat2018/skorea-municipalities-2018-topo-simple.json"))
    grid, extent = MapGrid("EPSG:5179", (500.0, 500.0)), Box(-4240, 1400, -2600, 2840)
    polygons = read_polygons(path, "code", "EPSG:4326")
    told = json.loads(real("korea_admin/kostat2018/skorea-municipalities-2018-topo-simple.json").read_text())
    assert told["type"] == "Topology"
    _, _, blobs, columns = pyogrio.raw.read(path, columns=["code"])
    invalid = ~shapely.is_valid(shapely.from_wkb(blobs))
    assert set(polygons.repaired) == set(columns[0][invalid].tolist())
    assert len(polygons.repaired) == 18
    regions = read_regions(path, "code", "EPSG:4326", grid, extent)
    found = land_of(regions, grid, extent)
    assert (found.regions[:, 0] > 0).sum() == len(polygons.names) == 250
    once = found.regions[:, 0].sum() - found.twice[0] + found.outside[0]
    assert once == pytest.approx(found.whole[0], rel=1e-12)
    union = Regions(("all",), (shapely.to_wkb(shapely.union_all(regions.merged[1])),), (0,))
    assert found.regions[:, 0].sum() - found.twice[0] == pytest.approx(
        land_of(union, grid, extent).regions[0, 0], rel=1e-6
    )
