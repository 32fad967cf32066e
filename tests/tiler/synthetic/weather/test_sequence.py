"""The whole generator: what holds for sequences of frames."""

import dataclasses
from datetime import date

import numpy as np
import pytest

from tests.tiler.synthetic.weather.worlds import (
    SUMMER,
    clean_frames,
    cosines,
    mean_psnr_db,
    ndcg,
    observed_frames,
    pooled_pixels,
    states,
)
from tiler.synthetic.weather import WeatherWorld, encoded, moments, similarity


def test_a_world_is_a_function_of_its_seed():
    rows, cols = SUMMER.plane.view
    again = np.stack([encoded(m.values[:, rows, cols]) for m in moments(SUMMER)])
    np.testing.assert_array_equal(again, clean_frames(SUMMER))
    other = next(moments(dataclasses.replace(SUMMER, seed=5)))
    assert not np.array_equal(encoded(other.values[:, rows, cols]), clean_frames(SUMMER)[0])


def test_a_longer_world_begins_like_a_shorter_one():
    short = clean_frames(dataclasses.replace(SUMMER, days=2))
    np.testing.assert_array_equal(clean_frames(SUMMER)[: len(short)], short)


def test_frames_are_of_all_steps_in_order():
    found = list(moments(SUMMER))
    assert [m.step for m in found] == list(range(len(SUMMER)))
    np.testing.assert_array_equal([m.time for m in found], SUMMER.times())


def test_the_day_is_seen_in_swir_and_hardly_in_water_vapour():
    frames = clean_frames(WeatherWorld(seed=4, start=date(2019, 7, 1), days=20, side_px=24)).astype(np.float32)
    by_hour = frames.reshape(20, 8, *frames.shape[1:]).mean((0, 3, 4))  # (hour, band)
    ir, swir, wv = np.ptp(by_hour, axis=0)
    assert swir > 1.5 * ir > 1.5 * wv
    assert by_hour[:, 1].argmin() in (0, 1, 2)  # 9 to 15 h in Korea: reflected sun is warm, and warm is dark


def test_the_season_is_seen():
    january = clean_frames(WeatherWorld(seed=4, start=date(2019, 1, 10), days=6, side_px=24))
    july = clean_frames(SUMMER)
    north = slice(0, 8)
    assert january[:, 0, north].mean() > july[:, 0, north].mean() + 15  # cold ground is bright


def test_neighbours_are_alike_and_days_apart_they_are_not():
    frames = clean_frames(WeatherWorld(seed=4, start=date(2019, 7, 1), days=20, side_px=24))
    found = [mean_psnr_db(frames, steps) for steps in (1, 2, 4, 16)]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1] + 2.5


@pytest.mark.slow
def test_pictures_change_at_the_pace_of_the_feasibility_probe():
    """20.0, 19.1, 18.0, 17.3, 16.9 dB at 1, 2, 4, 16 and 40 steps; the world lies 0.1 to 1.5 dB above it."""
    frames = clean_frames(WeatherWorld(seed=1, start=date(2017, 1, 1), days=365, side_px=64))
    found = [mean_psnr_db(frames, steps) for steps in (1, 2, 4, 16, 40)]
    np.testing.assert_allclose(found, [21.5, 19.5, 18.1, 17.9, 18.0], atol=0.5)


@pytest.mark.slow
def test_pixels_do_not_tell_the_state():
    """The guard: were pooled pixels to order frames as the state does, there would be nothing to learn."""
    world = WeatherWorld(seed=1, start=date(2017, 1, 1), days=730, side_px=64)
    rows = np.arange(0, len(world), 2)
    table = states(world).take(rows)
    gains = similarity(table, table)
    season = np.cos(table.columns["season_rad"][:, None] - table.columns["season_rad"][None, :])
    chance = ndcg(gains, np.random.default_rng(0).random(gains.shape, np.float32), apart=12)
    pixels = ndcg(gains, cosines(pooled_pixels(observed_frames(world)[rows])), apart=12)
    by_season, by_state = ndcg(gains, season, apart=12), ndcg(gains, gains, apart=12)
    assert by_state == pytest.approx(1)
    assert chance + 0.1 < pixels < by_state - 0.35
    assert by_season < by_state - 0.25


def test_pixels_do_not_tell_the_state_of_a_season():
    world = WeatherWorld(seed=1, start=date(2018, 6, 1), days=75, side_px=32)
    rows = np.arange(0, len(world), 2)
    table = states(world).take(rows)
    gains = similarity(table, table)
    assert ndcg(gains, cosines(pooled_pixels(observed_frames(world)[rows])), best=30) < 0.8
