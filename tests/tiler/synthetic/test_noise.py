"""Noise: even, smooth, and the same for every cut."""

import numpy as np
import pytest

from tiler.synthetic.noise import (
    SMALL,
    Dice,
    bell,
    fractal_noise,
    gradient_noise,
    hash_cells,
    key_of,
    smooth_step,
    unit,
)

OCTAVES = ((5_000.0, 0.6), (900.0, 0.3))


def places(n, step=37.0):
    return np.meshgrid(1_000_003.5 + np.arange(n) * step, 1_800_001.25 - np.arange(n + 3) * step)


def test_hashes_are_even_and_unlike_for_neighbours():
    rows, cols = np.indices((300, 301)) - 150
    draw = unit(hash_cells(7, rows, cols))
    assert draw.dtype == np.float32
    assert 0 <= draw.min() < 0.001 < 0.999 < draw.max() < 1
    assert draw.mean() == pytest.approx(0.5, abs=0.005)
    for moved in (np.roll(draw, 1, 0), np.roll(draw, 1, 1), unit(hash_cells(8, rows, cols)), draw.T[:300, :300]):
        other = moved[:300, :300]
        assert abs(np.corrcoef(draw[:300, :300].ravel(), other.ravel())[0, 1]) < 0.02


def test_a_bell_has_unit_deviation():
    values = bell(np.arange(100_000, dtype=np.uint32), 3)
    assert values.mean() == pytest.approx(0, abs=0.02)
    assert values.std() == pytest.approx(1, abs=0.02)


def test_noise_is_smooth_and_about_nothing():
    x, y = places(400)
    values = gradient_noise(3, x, y, 2_000.0)
    assert abs(values.mean()) < 0.08
    assert 0.2 < values.std() < 0.6
    assert np.abs(np.diff(values, axis=0)).max() < 4 * 37 / 2_000


def test_many_places_get_the_numbers_of_few():
    x, y = places(90)
    assert x.size > SMALL
    whole = fractal_noise(5, x, y, OCTAVES)
    np.testing.assert_array_equal(fractal_noise(5, x[7:40, 9:50], y[7:40, 9:50], OCTAVES), whole[7:40, 9:50])
    assert fractal_noise(5, x[0, 0], y[0, 0], OCTAVES) == whole[0, 0]


def test_keys_differ_by_order_and_number():
    assert len({key_of(1, 2), key_of(2, 1), key_of(1, 2, 0), key_of(1), key_of(-1)}) == 5


def test_dice_pick_by_share():
    dice = Dice(4)
    picks = [dice.pick((0.2, 0.0, 0.6)) for _ in range(4_000)]
    assert picks.count(1) == 0
    assert picks.count(2) / 4_000 == pytest.approx(0.75, abs=0.03)


def test_a_smooth_step_rises_between_its_ends():
    np.testing.assert_array_equal(smooth_step(1, 3, np.array([0, 1, 2, 3, 9], np.float32)), [0, 0, 0.5, 1, 1])
