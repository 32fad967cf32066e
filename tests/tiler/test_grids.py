"""Grids: numbers there and back; cells that are the same place for every scene; footprints that miss no pixel."""

import numpy as np
import pyproj
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from tests.tiler.rasters_for_tests import TRANSFORM, UTM52, grid, moved
from tiler.grids import BEND_PX, CELL_PX, Box, Cell, MapGrid, PixelGrid, footprint, quad_boxes, same_crs

few = settings(max_examples=60, deadline=None)
coordinate = st.integers(-9000, 9000)
boxes = st.builds(Box, coordinate, coordinate, coordinate, coordinate)


def pixels_of(box):
    return {(y, x) for y in range(box.y0, box.y1) for x in range(box.x0, box.x1)}


@few
@given(*[st.builds(Box, *[st.integers(-6, 6)] * 4)] * 2)
def test_clip_is_the_intersection(a, b):
    assert pixels_of(a.clip(b)) == pixels_of(a) & pixels_of(b)
    assert a.empty == (not pixels_of(a))
    assert a.shift(3, -2).shift(-3, 2) == a


@few
@given(
    st.floats(-70, 70).filter(lambda v: abs(v) > 0.01),
    st.floats(-70, 70).filter(lambda v: abs(v) > 0.01),
    st.floats(0, 359),
)
def test_rowcol_undoes_xy(width, height, degrees):
    of = grid(50, 70, Affine.translation(321_450, 4_123_476) @ Affine.rotation(degrees) @ Affine.scale(width, height))
    rows, cols = np.array([0.0, 3.25, 50.0]), np.array([70.0, 0.5, 13.0])
    x, y = of.xy(rows, cols)
    for row, col, px, py in zip(rows, cols, x, y, strict=True):
        assert_allclose((px, py), of.affine @ (col, row), rtol=1e-12)
    back = of.rowcol(x, y)
    tolerance = 1e-8 * 4e6 / min(abs(width), abs(height))
    assert_allclose(back[0], rows, atol=tolerance)
    assert_allclose(back[1], cols, atol=tolerance)
    assert_allclose(of.resolution, (abs(height), abs(width)), rtol=1e-9)


@few
@given(coordinate, coordinate)
def test_a_part_lies_where_its_pixels_lie(y0, x0):
    of = grid(50, 70, TRANSFORM @ Affine.rotation(20))
    part = of.part(Box(y0, x0, y0 + 7, x0 + 9))
    assert (part.height, part.width) == (7, 9)
    rows, cols = np.array([0.5, 6.0]), np.array([2.0, 9.0])
    assert_allclose(part.xy(rows, cols), of.xy(rows + y0, cols + x0), rtol=1e-12)
    assert_allclose(of.offset_of(part), (y0, x0), atol=1e-5)


def test_json_there_and_back():
    of = grid(50, 70)
    assert PixelGrid.from_json(of.to_json()) == of


def test_the_same_crs_in_other_words():
    wkt = pyproj.CRS.from_epsg(4326).to_wkt()
    assert same_crs("EPSG:4326", wkt)
    assert same_crs("EPSG:4326", "OGC:CRS84"), "axis order does not matter: x is always longitude here"
    assert not same_crs("EPSG:32652", "EPSG:32651")


# ---- the map grid


@few
@given(st.integers(-5, 5), st.integers(-5, 5))
def test_cells_are_absolute(row, col):
    """Cell (row, col) is the same place of the CRS, whatever scene was asked about first."""
    cell = Cell(row, col)
    of = MapGrid(UTM52, (10.0, 12.0)).grid_of(MapGrid.box_of(cell))
    assert of.transform == (12.0, 0.0, col * CELL_PX * 12.0, 0.0, -10.0, -row * CELL_PX * 10.0)
    assert (of.height, of.width) == (CELL_PX, CELL_PX)
    assert cell.unit == f"cell_r{row}_c{col}"


@few
@given(boxes)
def test_cells_of_a_box_are_those_that_it_touches(box):
    brute = [
        Cell(row, col)
        for row in range(-6, 6)
        for col in range(-6, 6)
        if not box.empty and not MapGrid.box_of(Cell(row, col)).clip(box).empty
    ]
    assert list(MapGrid.cells_of(box)) == brute


@few
@given(boxes)
def test_parts_cover_a_box_once_and_lie_in_one_cell_each(box):
    parts = list(MapGrid.parts_of(box))
    assert sum(p.height * p.width for p in parts) == (0 if box.empty else box.height * box.width)
    cells = list(MapGrid.cells_of(box))
    assert [Cell(p.y0 // CELL_PX, p.x0 // CELL_PX) for p in parts] == cells
    assert [Cell((p.y1 - 1) // CELL_PX, (p.x1 - 1) // CELL_PX) for p in parts] == cells
    assert all(p.clip(box) == p for p in parts)


@few
@given(
    st.floats(-1e6, 1e6),
    st.floats(-1e7, 1e7),
    st.sampled_from([(10, 10), (30, 15), (0.1, 0.2), (10 / 3, 7.3), (1e-4, 1.3e-4)]),
)
def test_a_map_like_a_scene_keeps_its_pixels(x, y, resolution):
    ry, rx = resolution
    of = grid(50, 70, Affine(rx, 0, x, 0, -ry, y))
    like = MapGrid.like(of)
    row, col = like.pixels.offset_of(of)
    noise = 1e-6 + 1e-9 * max(abs(x), abs(y)) / min(rx, ry)  # what float64 holds of such an origin
    assert abs(row - round(row)) < noise
    assert abs(col - round(col)) < noise
    assert like.resolution == pytest.approx(resolution)
    assert 0 <= like.phase[0] < ry
    assert 0 <= like.phase[1] < rx
    assert MapGrid.like(like.grid_of(Box(-7, 40, 9, 90))).phase == pytest.approx(like.phase, abs=noise * max(rx, ry))


def test_scenes_of_one_acquisition_share_their_map():
    assert MapGrid.like(grid(50, 70)) == MapGrid.like(grid(90, 20, moved(-300, 411)))
    assert MapGrid.like(grid(50, 70)).phase == (0.0, 0.0)
    # 4 123 476 is 1 above a multiple of 25, and 321 450 is 2 above one of 8.
    assert MapGrid.like(grid(50, 70, Affine(8.0, 0, 321_450.0, 0, -25.0, 4_123_476.0))).phase == (1.0, 2.0)


def test_a_rotated_or_south_up_scene_gives_a_north_up_map():
    turned = Affine.translation(321_450, 4_123_476) @ Affine.rotation(30) @ Affine.scale(10, -12)
    for transform in (turned, Affine(10.0, 0.0, 321_450.0, 0.0, 12.0, 4_123_476.0)):
        assert_allclose(MapGrid.like(grid(5, 7, transform)).pixels.transform[::4], (10.0, -12.0), rtol=1e-12)


@pytest.mark.parametrize("resolution", [(0, 10), (10, -1)])
def test_a_resolution_must_be_positive(resolution):
    with pytest.raises(ValueError, match=r"must be positive, got .*; give metres or degrees"):
        MapGrid(UTM52, resolution)


# ---- footprints


def brute_cells(of, target):
    """Project every pixel centre exactly."""
    rr, cc = np.mgrid[0 : of.height, 0 : of.width] + 0.5
    x, y = pyproj.Transformer.from_crs(of.crs, target.crs, always_xy=True).transform(*of.xy(rr, cc))
    rows, cols = target.pixels.rowcol(x, y)
    good = np.isfinite(rows) & np.isfinite(cols)
    rows, cols = np.floor(rows[good]).astype(int), np.floor(cols[good]).astype(int)
    cells = np.unique(np.stack([rows // CELL_PX, cols // CELL_PX], axis=1), axis=0)
    return Box(rows.min(), cols.min(), rows.max() + 1, cols.max() + 1), {Cell(r, c) for r, c in cells.tolist()}


def around(crs, lon, lat, resolution, height, width, degrees=0.0):
    x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
    turned = Affine.translation(x, y) @ Affine.rotation(degrees) @ Affine.scale(resolution[1], -resolution[0])
    return grid(height, width, turned @ Affine.translation(-width / 2, -height / 2), crs)


FOOTPRINTS = {
    "korea": (around("EPSG:32652", 127.4, 36.9, (30, 30), 613, 877), MapGrid("EPSG:5179", (2.0, 1.5))),
    "rotated": (around("EPSG:32652", 127.4, 36.9, (30, 30), 613, 877, 33), MapGrid("EPSG:5179", (2.0, 2.0))),
    "same zone": (around("EPSG:32652", 127.4, 36.9, (30, 30), 613, 877), MapGrid("EPSG:32652", (3.0, 2.0), (1, 0.5))),
    "next zone": (around("EPSG:32651", 126.0, 36.9, (60, 60), 300, 401), MapGrid("EPSG:32652", (3.0, 3.0))),
    "to degrees": (around("EPSG:32652", 127.4, 36.9, (60, 60), 300, 401), MapGrid("EPSG:4326", (2e-5, 3e-5))),
    "degrees at 65 N": (around("EPSG:4326", 17.0, 65.0, (0.001, 0.002), 513, 400), MapGrid("EPSG:32633", (8.0, 8.0))),
    "coarse degrees": (around("EPSG:4326", 127.5, 36.0, (0.25, 0.25), 70, 64), MapGrid("EPSG:5179", (250.0, 250.0))),
    "1 km": (around("EPSG:32633", 17.0, 65.0, (1000, 1000), 513, 400), MapGrid("EPSG:32634", (150.0, 150.0))),
}


@pytest.mark.parametrize("name", FOOTPRINTS)
def test_every_pixel_falls_in_a_listed_cell(name):
    of, target = FOOTPRINTS[name]
    box, cells = footprint(of, target)
    brute_box, brute = brute_cells(of, target)
    assert len(brute) > 4
    assert brute <= cells
    assert brute_box.clip(box) == brute_box
    # And not many more: only neighbours of a cell with pixels.
    assert all(any(abs(c.row - b.row) <= 1 and abs(c.col - b.col) <= 1 for b in brute) for c in cells)
    # The rectangle is no wider than half a scene pixel at each side.
    reach = [int(1 + 1.5 * s / t) for s, t in zip(of.resolution, target.resolution, strict=True)]
    if name in ("korea", "same zone", "next zone"):
        assert brute_box.y0 - box.y0 <= reach[0]
        assert box.x1 - brute_box.x1 <= reach[1]


@pytest.mark.parametrize("latitude", [3.0, 64.0])
@pytest.mark.parametrize("target", ["EPSG:6933", "EPSG:32633"])
def test_a_large_scene_has_few_quadrilaterals_that_bend_less_than_a_twentieth_of_a_pixel(latitude, target):
    """Against its border projected pixel by pixel: the mesh is coarse, and what it leaves out is never seen."""
    of = around("EPSG:32632", 10.0, latitude, (10, 10), 10_980, 10_980)
    wanted = MapGrid(target, (10.0, 10.0))
    quads = quad_boxes(of, wanted)
    assert len(quads) < 5000
    along = np.arange(10_981.0)
    rows = np.concatenate([along, along, 0 * along, 0 * along + 10_980])
    cols = np.concatenate([0 * along, 0 * along + 10_980, along, along])
    x, y = pyproj.Transformer.from_crs(of.crs, target, always_xy=True).transform(*of.xy(rows, cols))
    row, col = wanted.pixels.rowcol(x, y)
    low, high = quads[:, :2].min(axis=0), quads[:, 2:].max(axis=0)
    for inner, outer in zip((low, -high), ((row.min(), col.min()), (-row.max(), -col.max())), strict=True):
        assert (inner - outer < 2 * BEND_PX).all()  # either of two sides that meet may bend
        assert (inner - outer > -1e-3).all()


def test_on_its_own_pixels_a_scene_fills_its_box_exactly():
    of = grid(613, 877)
    box, cells = footprint(of, MapGrid.like(of))
    row, col = MapGrid.like(of).pixels.offset_of(of)
    assert box == of.box.shift(round(row), round(col))
    assert cells == set(MapGrid.cells_of(box))


@pytest.mark.parametrize("crs", ["EPSG:32760", "EPSG:32701"])
def test_a_scene_across_the_antimeridian_has_cells_on_both_sides(crs):
    of = around(crs, 179.9999 if crs == "EPSG:32760" else -179.9999, -17.2, (60, 60), 300, 401)
    target = MapGrid("EPSG:4326", (0.0001, 0.0001))
    _, cells = footprint(of, target)
    _, brute = brute_cells(of, target)
    assert brute <= cells
    assert {c.col < 0 for c in brute} == {True, False}
    assert len(cells) <= len(brute) + 6, "no belt of cells around the Earth"


def test_a_scene_across_the_antimeridian_is_nothing_special_in_metres():
    of = around("EPSG:32760", 179.9999, -17.2, (60, 60), 300, 401)
    target = MapGrid("EPSG:32701", (2.0, 2.0))
    _, cells = footprint(of, target)
    assert brute_cells(of, target)[1] <= cells


def test_a_scene_that_the_map_cannot_show_is_an_error():
    of = grid(90, 70, Affine(20_000.0, 0, 9e7, 0, -20_000.0, 9e7))
    with pytest.raises(ValueError, match=r"no coordinates in the grid's CRS 'EPSG:4326'; choose another grid\.crs"):
        footprint(of, MapGrid("EPSG:4326", (0.1, 0.1)))


@pytest.mark.parametrize("row", [0, 411_000, 899_000])
def test_a_pixel_of_a_geographic_grid_is_as_large_as_on_the_ellipsoid(row):
    size = 1e-4
    grid = PixelGrid("EPSG:4326", (size, 0.0, 126.0, 0.0, -2 * size, 90.0), 900_000, 4)
    (west, east), (north, south) = grid.xy(np.array([row, row + 1.0]), np.array([2.0, 3.0]))
    area, _ = pyproj.Geod(ellps="WGS84").polygon_area_perimeter([west, east, east, west], [south, south, north, north])
    assert grid.pixel_area_m2(row + 0.5) == pytest.approx(area, rel=1e-3)


def test_a_pixel_of_a_projected_grid_is_its_sides_in_metres():
    grid = PixelGrid("EPSG:5179", (10.0, 0.0, 0.0, 0.0, -20.0, 0.0), 9, 9)
    assert grid.pixel_area_m2(3) == 200.0
    feet = PixelGrid("EPSG:2263", (10.0, 0.0, 0.0, 0.0, -10.0, 0.0), 9, 9)
    assert feet.pixel_area_m2(3) == pytest.approx(100 * (1200 / 3937) ** 2)


def test_the_area_of_a_rectangle_is_that_of_its_pixels():
    square = PixelGrid("EPSG:5179", (10.0, 0.0, 0.0, 0.0, -20.0, 0.0), 9, 9)
    assert square.area_km2(Box(1, 2, 4, 8)) == pytest.approx(3 * 6 * 200e-6)
    assert square.area_km2(Box(4, 2, 4, 8)) == 0
    degrees = PixelGrid("EPSG:4326", (0.01, 0.0, 126.0, 0.0, -0.01, 40.0), 500, 300)
    rows = sum(degrees.pixel_area_m2(row + 0.5) for row in range(100, 300))
    assert degrees.area_km2(Box(100, 10, 300, 40)) == pytest.approx(rows * 30 / 1e6, rel=1e-3)
