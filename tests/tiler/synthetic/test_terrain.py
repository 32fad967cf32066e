"""The land: a function of the place, sea where it lies low, flat where rivers run, never moved too far by the warp."""

import numpy as np
import pytest

from tiler.synthetic.lines import WARP_M
from tiler.synthetic.terrain import RIVER_REACH_M, STREAM_REACH_M, Terrain, bounds_of

TERRAIN = Terrain(5, -0.5, 1.0)
X, Y = np.meshgrid(1_003_000.0 + np.arange(90) * 170, 1_790_000.0 - np.arange(70) * 170)


@pytest.fixture(scope="module")
def ground():
    return TERRAIN.at(X, Y)


def test_a_place_has_its_land_whoever_asks_and_with_whatever_else(ground):
    part = (slice(11, 40), slice(30, 77))
    alone = Terrain(5, -0.5, 1.0).at(X[part], Y[part])
    for name in ("warped_x_m", "warped_y_m", "height_m", "hill", "river_m", "stream_m"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(ground, name)[part], err_msg=name)
    assert (Terrain(6, -0.5, 1.0).at(X[part], Y[part]).height_m != alone.height_m).all()


def test_numbers_of_water_name_the_same_pieces_for_every_rectangle(ground):
    part = (slice(11, 40), slice(30, 77))
    alone = TERRAIN.at(X[part], Y[part])
    for which, lines in (("river", "rivers"), ("stream", "streams")):
        here, whole = getattr(alone, which), getattr(ground, which)[part]
        np.testing.assert_array_equal(here < 0, whole < 0)
        near = here >= 0
        assert near.any()
        for end in ("ax", "by", "half_width_m"):
            first, second = getattr(getattr(alone, lines), end)[here[near]], getattr(getattr(ground, lines), end)
            np.testing.assert_array_equal(first, second[whole[near]])


def test_the_warp_is_smooth_and_bounded_as_the_networks_of_lines_rely_on():
    wide_x, wide_y = np.meshgrid(np.arange(300) * 2_700.0, np.arange(280) * 2_900.0)
    moved = np.stack(TERRAIN.warp(wide_x, wide_y)) - np.stack([wide_x, wide_y])
    assert np.hypot(*moved).max() < WARP_M
    assert moved.std() > 100
    near = np.stack(TERRAIN.warp(X + 10.0, Y)) - np.stack(TERRAIN.warp(X, Y))
    assert np.abs(near - np.array([10.0, 0.0])[:, None, None]).max() < 10  # nothing folds over


def test_a_higher_sea_drowns_more_and_never_less():
    heights = [Terrain(5, level, 1.0).plan(X, Y).height_m for level in (-0.5, 0.0, 0.3)]
    assert (heights[0] > heights[1]).all()
    assert (heights[1] > heights[2]).all()


def test_without_ruggedness_there_are_no_hills():
    flat, bold = Terrain(5, -0.5, 0.0).at(X, Y), Terrain(5, -0.5, 2.0).at(X, Y)
    assert not flat.hill.any()
    assert bold.hill.mean() > 1.5 * TERRAIN.at(X, Y).hill.mean()  # rivers move with the hills: not twice everywhere


def test_planners_see_the_land_before_streams_cut_into_it(ground):
    plan = TERRAIN.plan(X, Y)
    away = (ground.stream < 0) & (plan.hill > 0)
    assert away.any()
    np.testing.assert_allclose(plan.hill[away], 0.9 * ground.hill[away], rtol=1e-5)
    assert (ground.hill <= plan.hill / 0.9 + 1e-6).all()
    in_water = plan.bank_m < 0
    np.testing.assert_array_equal(
        in_water, (ground.river >= 0) & (ground.river_m < ground.rivers.half_width_m[ground.river])
    )
    assert (plan.bank_m[ground.river < 0] == RIVER_REACH_M).all()


def test_distances_end_at_the_reach_beyond_which_nothing_is_looked_for(ground):
    for which, distance, reach in (
        (ground.river, ground.river_m, RIVER_REACH_M),
        (ground.stream, ground.stream_m, STREAM_REACH_M),
    ):
        assert (distance[which < 0] == reach).all()
        assert (distance[which >= 0] < reach).all()
        assert distance.min() >= 0


def test_rivers_grow_on_their_way(ground):
    assert ground.rivers.half_width_m.min() >= 9 > ground.streams.half_width_m.min() >= 2.5
    assert ground.rivers.half_width_m.max() > 20


def test_the_rectangle_around_places():
    assert bounds_of(np.array([3.0, -1.0, 2.0]), np.array([[7.0], [9.0]])) == (-1.0, 7.0, 3.0, 9.0)
