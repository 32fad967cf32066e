"""Web tiles: every place lies in one, also across the antimeridian."""

import math

import numpy as np
import pyproj
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.map_page.xyz import Bounds, bounds_of, native_zoom, outline_of, tile_box, world_grid
from tiler.grids import Box, PixelGrid


def tile_of(lon: float, lat: float, zoom: int) -> tuple[int, int]:
    """The tile of a place by the projection itself."""
    x, y = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True).transform(lon, lat)
    row, col = world_grid(zoom).rowcol(np.array(x), np.array(y))
    return math.floor(float(col) / 256), math.floor(float(row) / 256)


@given(
    west=st.floats(-180, 179.9),
    width=st.floats(0.001, 40),
    south=st.floats(-80, 70),
    height=st.floats(0.001, 10),
    at=st.tuples(st.floats(0.001, 0.999), st.floats(0.001, 0.999)),
    zoom=st.integers(0, 7),
)
def test_every_place_inside_is_in_a_tile_of_the_bounds(west, width, south, height, at, zoom):
    bounds = Bounds(west, south, west + width, south + height)
    lon, lat = (west + at[0] * width + 180) % 360 - 180, south + at[1] * height
    tiles = list(bounds.tiles(zoom))
    assert len(tiles) == len(set(tiles)) == bounds.tile_count(zoom)
    assert tile_of(lon, lat, zoom) in tiles
    everywhere = [(x, y) for x in range(1 << min(zoom, 5)) for y in range(1 << min(zoom, 5))] if zoom <= 5 else tiles
    assert [one for one in everywhere if bounds.holds(zoom, *one)] == sorted(tiles) if zoom <= 5 else True


def test_a_raster_across_the_antimeridian_has_narrow_bounds():
    grid = PixelGrid("EPSG:32660", (10.0, 0.0, 630_000.0, 0.0, -10.0, 7_220_000.0), 1500, 2200)
    bounds = bounds_of(grid)
    assert bounds.west < 180 < bounds.east
    assert bounds.east - bounds.west < 1
    assert bounds.holds(6, 63, tile_of(179.9, 65, 6)[1])
    assert bounds.holds(6, 0, tile_of(-179.9, 65, 6)[1])
    assert not bounds.holds(6, 32, tile_of(179.9, 65, 6)[1])


@pytest.mark.parametrize("west", [-170.0, -10.0, 100.0, 179.0])
def test_joining_takes_the_shorter_way_round_the_earth(west):
    left, right = (
        Bounds(west, -1, west + 2, 1),
        Bounds((west + 12 + 180) % 360 - 180, 0, (west + 12 + 180) % 360 - 178, 3),
    )
    for joined in (left.joined(right), right.joined(left)):
        assert joined.east - joined.west == pytest.approx(14)
        assert -180 <= joined.west < 180
        assert (joined.south, joined.north) == (-1, 3)


def test_an_outline_is_closed_and_goes_around_its_pixels():
    grid = PixelGrid("EPSG:4326", (0.1, 0.0, 10.0, 0.0, -0.2, 50.0), 10, 30)
    ring = outline_of(grid, Box(2, 5, 4, 9), 2)
    assert ring == [[10.5, 49.6], [10.9, 49.6], [10.9, 49.2], [10.5, 49.2], [10.5, 49.6]]


@pytest.mark.parametrize(("resolution", "latitude", "zoom"), [(10, 0, 14), (10, 36, 14), (10, 60, 13), (30, 36, 12)])
def test_the_native_zoom_is_as_fine_as_the_pixels(resolution, latitude, zoom):
    grid = PixelGrid("EPSG:32652", (resolution, 0, 0, 0, -resolution, 0), 1, 1)
    assert native_zoom(grid, Bounds(129, latitude, 129, latitude)) == zoom
    ground_m = 2 * 20037508.342789244 / 256 / 2**zoom * math.cos(math.radians(latitude))
    assert 0.5 * resolution < ground_m < 1.11 * resolution


def test_a_tile_is_256_pixels_of_the_world():
    assert tile_box(3, 2, 5) == Box(1280, 512, 1536, 768)
    assert world_grid(3).height == 8 * 256
