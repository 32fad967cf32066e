import numpy as np
import pyproj

from tiler.grids import Box, PixelGrid
from tiler.place_ground import _in_middle, sightings


def grid(crs, x, y, height, width, step=10.0):
    return PixelGrid(crs, (step, 0.0, x, 0.0, -step, y), height, width)


UTM52 = grid("EPSG:32652", 327_350.0, 4_178_410.0, 300, 500)


def test_one_scene_has_the_places_of_its_lattice():
    places, found = sightings([UTM52], 128)
    assert len(places) == len(found) == 3 * 4
    boxes = {(s.box.y0, s.box.x0) for s in found}
    assert boxes == {(y, x) for y in (0, 128, 172) for x in (0, 128, 256, 372)}


def test_a_place_is_the_same_ground_whatever_the_grid():
    """A scene of the neighbouring zone, finer pixels, another origin: windows share their centres to half a pixel."""
    x, y = pyproj.Transformer.from_crs("EPSG:32652", "EPSG:32651", always_xy=True).transform(327_000.0, 4_179_000.0)
    other = grid("EPSG:32651", x, y, 700, 1300, step=7.0)
    grids = [UTM52, other]
    places, found = sightings(grids, 128)
    both = [p for p in range(len(places)) if {s.scene for s in found if s.place == p} == {0, 1}]
    assert len(both) >= 12
    for s in found:
        g = grids[s.scene]
        row, col = (s.box.y0 + s.box.y1) / 2, (s.box.x0 + s.box.x1) / 2
        gx, gy = g.xy(np.array(row), np.array(col))
        lon, lat = pyproj.Transformer.from_crs(g.crs, "EPSG:4326", always_xy=True).transform(gx, gy)
        assert pyproj.Geod(ellps="WGS84").inv(lon, lat, *places[s.place])[2] <= 0.5 * 2**0.5 * g.resolution[0] + 0.01


def test_ground_that_a_later_scene_adds_gets_places_of_its_own():
    moved = grid("EPSG:32652", 327_350.0 + 4000, 4_178_410.0, 300, 500)
    alone, _ = sightings([UTM52], 128)
    places, found = sightings([UTM52, moved], 128)
    assert len(places) > len(alone)
    np.testing.assert_allclose(places[: len(alone)], alone)
    new = [s for s in found if s.place >= len(alone)]
    assert {s.scene for s in new} == {1}


def test_windows_with_their_middle_in_one_that_was_left_out_are_no_items():
    inside, beside = Box(10, 20, 138, 148), Box(-60, 100, 68, 228)
    removed = Box(64, 64, 128, 128)
    assert _in_middle(inside, removed)
    assert not _in_middle(beside, removed)
