"""One pass of a satellite: the weather of a day is one, shares are kept on the average, nothing happens for nothing."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiler.synthetic.worlds import CLEAR, MAY, estate, grid_at
from tiler.grids import Box
from tiler.synthetic.acquisition import (
    CLOUD,
    RESPONSES,
    SHADOW,
    Acquisition,
    add_air,
    add_snow,
    beyond_swath,
    lost,
)
from tiler.synthetic.canvas import Patch


def patch(height: int = 90, width: int = 130, side_m: float = 10.0) -> Patch:
    grid = grid_at(estate(), height, width, side_m=side_m)
    return Patch.of(grid, grid.box)


def ground(where: Patch, level: float = 0.2) -> np.ndarray:
    return np.full((4, *where.x_m.shape), level, np.float32)


@pytest.mark.parametrize("name", RESPONSES)
def test_a_blurred_even_ground_is_the_same_even_ground(name):
    blur = RESPONSES[name].blur
    assert blur[0] + 2 * sum(blur[1:]) == pytest.approx(1)
    assert list(blur) == sorted(blur, reverse=True)
    assert blur[-1] > 0


@given(st.sampled_from(["clouds", "missing", "edge", "snow"]), st.one_of(st.floats(1.001, 9), st.floats(-9, -0.001)))
def test_shares_that_are_none_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} of a scene must lie within 0 and"):
        Acquisition("SN10", MAY, **{name: value})


def test_a_sensor_without_a_response_is_refused():
    with pytest.raises(ValueError, match=r"'SN2' cannot be imitated; known are \['LS30', 'SN10'\]"):
        Acquisition("SN2", MAY)


def test_weather_is_that_of_the_day_and_the_sensor():
    key = CLEAR.key(1)
    assert replace(CLEAR, clouds=0.5, missing=0.2, edge=0.3, snow=0.1).key(1) == key
    others = (CLEAR.key(2), replace(CLEAR, day=date(2024, 5, 2)).key(1), replace(CLEAR, sensor="LS30").key(1))
    assert len({key, *others}) == 4


def test_more_clouds_of_a_day_are_the_same_clouds_grown():
    where, masks = patch(side_m=200.0), []
    for share in (0.1, 0.3, 0.6):
        masks.append(add_air(ground(where), where, replace(CLEAR, clouds=share), 1) == CLOUD)
    assert 0 < masks[0].mean() < masks[1].mean() < masks[2].mean() < 1
    assert not (masks[0] & ~masks[1]).any()
    assert not (masks[1] & ~masks[2]).any()


def test_clouds_brighten_and_their_shadows_darken():
    where = patch(side_m=60.0)
    clear, cloudy = ground(where), ground(where)
    assert not add_air(clear, where, CLEAR, 1).any()
    mask = add_air(cloudy, where, replace(CLEAR, clouds=0.4), 1)
    assert {CLOUD, SHADOW} <= set(np.unique(mask))
    assert (cloudy[:, mask == CLOUD] > clear[:, mask == CLOUD]).mean() > 0.95
    assert (cloudy[:, mask == SHADOW] < clear[:, mask == SHADOW]).mean() > 0.95


def test_clear_air_brightens_blue_most_and_infrared_least():
    where = patch()
    seen = ground(where)
    add_air(seen, where, CLEAR, 1)
    red, green, blue, infrared = (seen - 0.2).mean((1, 2))
    assert blue > green > red > infrared > 0
    assert (seen[2] - 0.2).max() <= CLEAR.response.haze * 1.2


@pytest.mark.parametrize("share", [0.15, 0.4, 0.5, 0.8])
def test_dropouts_take_their_share_on_the_average(share):
    wide = patch(300, 400, side_m=400.0)
    gone = [lost(wide, replace(CLEAR, missing=share, day=date(2024, 5, d)), 1) for d in (1, 2, 3)]
    assert np.mean(gone) == pytest.approx(share, abs=0.02)
    assert (gone[0] != gone[1]).any()


def test_dropouts_of_a_part_are_those_of_the_whole():
    grid, how = grid_at(estate(), 200, 260, side_m=100.0), replace(CLEAR, missing=0.4)
    whole = lost(Patch.of(grid, grid.box), how, 1)
    box = Box(31, 70, 144, 260)
    np.testing.assert_array_equal(lost(Patch.of(grid, box), how, 1), whole[box.slices])
    assert not lost(Patch.of(grid, box), CLEAR, 1).any()


def test_the_swath_ends_in_a_slanting_line():
    rows, cols = np.arange(100, 180), np.arange(5, 300)
    gone = beyond_swath(replace(CLEAR, edge=0.4), rows, cols, 300)
    widths = gone.sum(1)
    assert gone.shape == (80, 295)
    np.testing.assert_array_equal(gone, np.arange(295) < widths[:, None])  # a stretch from the left
    assert (np.diff(widths) <= 0).all()
    assert widths[0] > widths[-1]
    top = beyond_swath(replace(CLEAR, edge=0.4), np.array([0]), np.arange(300), 300)
    assert top.mean() == pytest.approx(0.4, abs=1 / 300)
    assert not beyond_swath(CLEAR, rows, cols, 300).any()


def test_snow_covers_its_share_and_none_covers_nothing():
    where = patch(side_m=100.0)
    bare, seen = ground(where), []
    add_snow(bare, where, 0.0, 1)
    np.testing.assert_array_equal(bare, ground(where))
    for share in (0.2, 0.5, 1.0):
        snowy = ground(where)
        add_snow(snowy, where, share, 1)
        assert (snowy >= bare - 1e-6).all()
        seen.append((snowy[0] > 0.4).mean())
    assert 0 < seen[0] < seen[1] < seen[2]
    assert seen[2] > 0.95
