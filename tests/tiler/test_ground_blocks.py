import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiler.ground_blocks import EARTH_RADIUS_M, ground_blocks, on_sphere_m, same_places

LON, LAT = st.floats(-180, 180), st.floats(-89.9, 89.9)


@given(LON, LAT, st.sampled_from([500.0, 10_000.0, 250_000.0]))
def test_places_of_one_square_are_nearer_than_its_diagonal(lon, lat, side_m):
    """Squares of a row share the length of its middle parallel: near the poles large ones are stretched a little."""
    random = np.random.default_rng(0)
    spread = np.degrees(side_m / EARTH_RADIUS_M)
    near = np.array([lon, lat]) + random.uniform(-1, 1, (50, 2)) * spread * [1 / max(np.cos(np.radians(lat)), 0.2), 1]
    near[:, 1] = near[:, 1].clip(-89.9, 89.9)
    blocks = ground_blocks(near, side_m)
    at = on_sphere_m(near)
    for block in np.unique(blocks):
        inside = at[blocks == block]
        apart = np.linalg.norm(inside[:, None] - inside[None], axis=-1).max()
        assert apart <= 1.5 * np.sqrt(2) * side_m


def test_squares_have_one_size_from_the_equator_to_the_north():
    random = np.random.default_rng(0)
    for lat in (0.0, 37.0, 70.0):
        width = 400_000 / EARTH_RADIUS_M
        east = np.degrees(width / np.cos(np.radians(lat)))
        lonlat = np.stack(
            [127 + random.uniform(0, east, 40_000), lat + random.uniform(0, np.degrees(width), 40_000)], 1
        )
        squares = len(np.unique(ground_blocks(lonlat, 40_000)))
        assert 90 < squares < 135  # a hundred, and those that are cut by the border


def test_numbers_are_the_same_across_the_antimeridian_and_none_without_a_place():
    blocks = ground_blocks(np.array([[180.0, 10.0], [-180.0, 10.0], [np.nan, 10.0], [-179.999, 10.0]]), 10_000)
    assert blocks[0] == blocks[1] == blocks[3]
    assert blocks[2] == -1
    with pytest.raises(ValueError, match="side of a metre or more, got 0 m"):
        ground_blocks(np.zeros((1, 2)), 0)


def test_distances_are_those_of_the_sphere():
    at = on_sphere_m(np.array([[179.99, 0.0], [-179.99, 0.0], [0, 90], [50, 90]]))
    assert np.linalg.norm(at[0] - at[1]) == pytest.approx(np.radians(0.02) * EARTH_RADIUS_M, rel=1e-6)
    assert np.linalg.norm(at[2] - at[3]) == pytest.approx(0, abs=1e-6)


def test_a_place_is_known_again_at_other_dates_and_through_other_grids():
    degree_m = np.radians(1) * EARTH_RADIUS_M
    first = np.array([[127.0, 37.0], [127.1, 37.0], [127.2, 37.0]])
    shifted = first[::-1] + np.array([0, 300 / degree_m])
    elsewhere = np.array([[127.0, 37.0 + 3000 / degree_m]])
    again = elsewhere + np.array([0, 100 / degree_m])
    lonlat = np.concatenate([first, shifted, elsewhere, again])
    source = np.repeat([0, 1, 2, 3], [3, 3, 1, 1])
    assert same_places(lonlat, source, 500.0).tolist() == [0, 1, 2, 2, 1, 0, 6, 6]
    assert same_places(lonlat, source, 200.0).tolist() == [0, 1, 2, 3, 4, 5, 6, 6]
