"""Regions: every pixel belongs to the polygon that holds its centre, whatever part of the map is asked for."""

import json

import numpy as np
import pyproj
import pytest
import shapely

from tests.real_data import needs, real
from tiler.coverage import shares_of
from tiler.grids import Box, MapGrid
from tiler.regions import read_polygons, read_regions

GRID = MapGrid("EPSG:5179", (10.0, 10.0), (3.0, 7.0))
EXTENT = Box(-195_040, 100_010, -195_000, 100_073)


def outline(box: Box) -> list[list[float]]:
    """A rectangle of map pixels in the map's CRS."""
    corners = np.array([(box.y0, box.x0), (box.y1, box.x0), (box.y1, box.x1), (box.y0, box.x1), (box.y0, box.x0)])
    return np.stack(GRID.pixels.xy(*corners.T), axis=1).tolist()


def write(path, features, crs: str | None = "EPSG:5179") -> str:
    told = {"crs": {"type": "name", "properties": {"name": crs}}} if crs else {}
    shapes = [
        {"type": "Feature", "properties": {"name": n}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        for n, ring in features
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": shapes, **told}))
    return str(path)


EAST, WEST = Box(-195_031, 100_040, -195_005, 100_060), Box(-195_035, 100_015, -195_010, 100_045)


@pytest.fixture
def two(tmp_path) -> str:
    return write(tmp_path / "r.geojson", [("east", outline(EAST)), ("west", outline(WEST)), ("east", outline(EXTENT))])


def test_pixels_belong_to_the_first_polygon_that_holds_them(two):
    regions = read_regions(two, "name", None, GRID, EXTENT)
    assert regions.names == ("east", "west")
    expected = np.zeros((EXTENT.height, EXTENT.width), int)  # the last polygon covers all
    expected[WEST.shift(-EXTENT.y0, -EXTENT.x0).slices] = 1
    expected[EAST.shift(-EXTENT.y0, -EXTENT.x0).slices] = 0
    np.testing.assert_array_equal(regions.at(EXTENT), expected)
    for part in (Box(-195_033, 100_012, -195_001, 100_051), Box(-195_040, 100_041, -195_030, 100_042)):
        np.testing.assert_array_equal(regions.at(part), expected[part.shift(-EXTENT.y0, -EXTENT.x0).slices])
    assert (regions.at(EXTENT.shift(0, 100)) == -1).all()


def test_another_crs_is_projected(tmp_path):
    ring = outline(WEST)
    x, y = pyproj.Transformer.from_crs("EPSG:5179", "EPSG:4326", always_xy=True).transform(*np.array(ring).T)
    path = write(tmp_path / "r.geojson", [("w", np.stack([x, y], 1).tolist())], crs=None)  # RFC 7946: EPSG:4326
    found = read_regions(path, "name", None, GRID, EXTENT).at(EXTENT)
    expected = np.full(found.shape, -1)
    expected[WEST.shift(-EXTENT.y0, -EXTENT.x0).slices] = 0
    np.testing.assert_array_equal(found, expected)


def test_an_invalid_polygon_is_repaired(tmp_path):
    bow = outline(WEST)
    bow[1], bow[2] = bow[2], bow[1]  # a bow tie: its two halves remain
    path = write(tmp_path / "r.geojson", [("bow", bow)])
    assert not shapely.Polygon(bow).is_valid
    found = read_regions(path, "name", None, GRID, EXTENT).at(EXTENT)
    share = (found == 0).sum() / (WEST.height * WEST.width)
    assert 0.4 < share < 0.6


def test_what_cannot_be_is_said(tmp_path, two):
    with pytest.raises(ValueError, match="does not exist"):
        read_regions(str(tmp_path / "none.gpkg"), "name", None, GRID, EXTENT)
    with pytest.raises(ValueError, match=r"no field 'nam', only \['name'\]; did you mean 'name'"):
        read_regions(two, "nam", None, GRID, EXTENT)
    with pytest.raises(ValueError, match=r"no polygon of .* lies near the map"):
        read_regions(two, "name", None, GRID, EXTENT.shift(90_000, 0))
    with pytest.raises(ValueError, match="take one out"):
        read_regions(two, "name", "EPSG:4326", GRID, EXTENT)
    assert read_regions(two, "name", "EPSG:5179", GRID, EXTENT) == read_regions(two, "name", None, GRID, EXTENT)
    (tmp_path / "x.gpkg").write_text("no vectors")
    with pytest.raises(ValueError, match="cannot be read"):
        read_regions(str(tmp_path / "x.gpkg"), "name", None, GRID, EXTENT)


def test_a_crs_that_nobody_said_must_be_given(tmp_path):
    import pyogrio

    path = tmp_path / "r.shp"
    ring = shapely.to_wkb([shapely.Polygon(outline(WEST))])
    pyogrio.raw.write(path, np.array(ring), [np.array(["w"])], ["name"], geometry_type="Polygon", crs="EPSG:5179")
    (tmp_path / "r.prj").unlink()
    with pytest.raises(ValueError, match="say it in the key `crs`"):
        read_regions(str(path), "name", None, GRID, EXTENT)
    assert (read_regions(str(path), "name", "EPSG:5179", GRID, EXTENT).at(WEST) == 0).all()
    with pytest.raises(ValueError, match="crs 'EPSG:0' is unknown"):
        read_regions(str(path), "name", "EPSG:0", GRID, EXTENT)


@needs("korea_admin")
def test_the_districts_of_korea():
    """Of 250 districts 18 are invalid and the file names no CRS; together they tile the land."""
    path = real("korea_admin/kostat2018/skorea-municipalities-2018-topo-simple.json")
    seoul = Box(-195_700, 94_500, -194_000, 96_600)  # absolute pixels of EPSG:5179 at 10 m
    with pytest.raises(ValueError, match="say it in the key `crs`"):
        read_regions(str(path), "code", None, GRID, seoul)
    regions = read_regions(str(path), "code", "EPSG:4326", GRID, seoul)
    assert len(regions.names) == 250
    assert 25 < len(regions.shapes) < 120
    found = regions.at(seoul)
    assert (found >= 0).mean() > 0.95
    assert len(np.unique(found)) > 20
    part = Box(-195_200, 95_111, -195_000, 95_444)
    np.testing.assert_array_equal(regions.at(part), found[part.shift(-seoul.y0, -seoul.x0).slices])


def test_what_is_odd_about_the_polygons_is_named(tmp_path):
    bow = outline(WEST)
    bow[1], bow[2] = bow[2], bow[1]
    line = [bow[0], bow[1], bow[0]]
    path = write(
        tmp_path / "r.geojson", [("bow", bow), ("line", [*line, bow[0]]), ("east", outline(EAST)), ("bow", bow)]
    )
    found = read_polygons(path, "name", None)
    assert found.names == ("bow", "line", "east")
    assert found.owners == (0, 1, 2, 0)
    assert "bow" in found.repaired
    assert "east" not in found.repaired
    assert found.without_area == ("line",)
    assert shapely.area(found.merged()).tolist() == [shapely.area(found.shapes[0]), 0, shapely.area(found.shapes[2])]


def test_polygons_without_names_and_files_without_polygons_are_refused(tmp_path):
    path = write(tmp_path / "r.geojson", [("a", outline(EAST)), (None, outline(WEST)), (None, outline(WEST))])
    with pytest.raises(ValueError, match=r"2 of 3 features .* have no 'name' \(the first is number 2\)"):
        read_polygons(path, "name", None)
    ring = outline(EAST)
    path = write(tmp_path / "flat.geojson", [("a", [ring[0], ring[1], ring[0], ring[0]])])
    with pytest.raises(ValueError, match="holds no polygon, 1 features"):
        read_polygons(path, "name", None)
    path = write(tmp_path / "none.geojson", [])
    with pytest.raises(ValueError, match=r"regions: .*none\.geojson"):
        read_polygons(path, "name", None)


def test_neighbours_meet_also_when_their_border_is_projected(tmp_path):
    """A long border in degrees bends on the map: both sides bend alike, though one is much larger."""
    lon, lat = pyproj.Transformer.from_crs("EPSG:5179", "EPSG:4326", always_xy=True).transform(*outline(EXTENT)[0])
    west = [[lon - 2, lat], [lon, lat], [lon, lat + 3], [lon - 2, lat + 3], [lon - 2, lat]]
    east = [[lon, lat], [lon + 0.01, lat], [lon + 0.01, lat + 3], [lon, lat + 3], [lon, lat]]
    path = write(tmp_path / "r.geojson", [("west", west), ("east", east)], crs=None)
    far = Box(EXTENT.y0 - 30_000, EXTENT.x0 - 900, EXTENT.y0, EXTENT.x0 + 900)
    regions = read_regions(path, "name", None, GRID, far)
    total, (_, shapes) = np.zeros((3000, 120)), regions.merged
    for shape in shapes:
        total += shares_of(shape, EXTENT.y0 - 20_000, EXTENT.x0 - 60, 3000, 120)
    inside = shares_of(shapely.box(0, -1e6, 1e6, 0), EXTENT.y0 - 20_000, EXTENT.x0 - 60, 3000, 120)
    np.testing.assert_allclose(total, inside, atol=1e-9)
    assert 0.2 < (shares_of(shapes[0], EXTENT.y0 - 20_000, EXTENT.x0 - 60, 3000, 120)).mean() < 0.8
