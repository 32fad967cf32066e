"""Gains by steady pixels: the equations they obey, their false alarms where nothing changed, and what they find."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom

from models.brightness import FEWEST_WINDOWS, KEPT, LEAST_SPREAD, Gain, Steady, gains, steadiest

DATES, BANDS, PIXELS = 5, 2, 7
LOGS = arrays(np.float64, (1 + DATES, BANDS, PIXELS), elements=st.floats(-3, 3) | st.just(float("nan")))


def steady(logs: np.ndarray, region: np.ndarray | None = None) -> Steady:
    """Return the steady pixels of logarithms (windows, 1 + dates, bands, pixels), the first date the run's."""
    both = [steadiest(window[0], window[1:]) for window in logs]
    where = np.zeros(len(logs), int) if region is None else region
    names = ("red", "nir", "blue")[: logs.shape[2]]
    return Steady(names, "2024-05-10", where, np.stack([m for m, _ in both]), np.stack([s for _, s in both]))


def country(random: np.random.Generator, dates: int, common: float, local: float, windows: int = 24) -> np.ndarray:
    """Return logs (windows, 1 + dates, 2, 48): dates are off as a whole, windows by themselves, pixels by noise."""
    shape = (windows, 1 + dates, 2, 48)
    noise = 0.03 * np.exp(0.7 * random.normal(size=(windows, 1, 2, 48))) * random.normal(size=shape)
    both = random.normal(0, 0.3 * common, (1, 1 + dates, 2, 1)) + random.normal(0, common, (1, 1 + dates, 1, 1))
    return 7 + random.normal(size=(windows, 1, 2, 48)) + both + local * random.normal(size=(*shape[:3], 1)) + noise


@given(LOGS, st.integers(1, 9))
def test_the_steadiest_are_those_of_plain_sums(logs, keep):
    """For each date left out: the pixels with the least deviation over the others, from their mean over the others."""
    moved, spread = steadiest(logs[0], logs[1:], keep)
    assert moved.shape == spread.shape == (1 + DATES, BANDS, keep)
    here = np.isfinite(logs[1:]).any(axis=(1, 2))
    for fold in range(1 + DATES):
        others = [d for d in range(1, 1 + DATES) if d != fold]
        least = max(2, (here.sum() - (fold > 0)) / 2)
        for band in range(BANDS):
            usable = {}
            for pixel in range(PIXELS):
                values = logs[others, band, pixel]
                values = values[np.isfinite(values)]
                if len(values) >= least and np.isfinite(logs[fold, band, pixel]):
                    usable[pixel] = values.std(), logs[fold, band, pixel] - values.mean()
            found = np.sort(spread[fold, band][np.isfinite(spread[fold, band])])
            assert found == pytest.approx(sorted(s for s, _ in usable.values())[:keep], abs=1e-5)
            pairs = zip(spread[fold, band], moved[fold, band], strict=True)
            for one in ((s, m) for s, m in pairs if np.isfinite(s)):
                assert min(max(abs(one[0] - s), abs(one[1] - m)) for s, m in usable.values()) < 1e-5


@given(st.floats(0.5, 2), st.integers(0, 2**32 - 1))
def test_a_gain_multiplies_the_ratio_and_changes_no_choice(factor, seed):
    logs = country(np.random.default_rng(seed), 4, 0.02, 0.01, FEWEST_WINDOWS)
    brighter = logs.copy()
    brighter[:, 0] += np.log(factor)
    for one, other in zip(gains(steady(logs), 0), gains(steady(brighter), 0), strict=True):
        assert other.ratio == pytest.approx(one.ratio * factor, rel=1e-4)
        assert (other.usual, other.dates, other.band) == (one.usual, one.dates, one.band)
        assert one.usual >= np.exp(LEAST_SPREAD)


@pytest.mark.parametrize("dates", [3, 8])
@pytest.mark.parametrize(("common", "local"), [(0.02, 0.0), (0.01, 0.05)])
def test_false_alarms_are_at_most_nominal(dates, common, local):
    """Also where the steadiest windows are those that were steady by luck."""
    runs, rate = 300, 0.05
    random = np.random.default_rng(dates)
    alarms = sum(gains(steady(country(random, dates, common, local)), 0)[0].probability <= rate for _ in range(runs))
    assert alarms < binom.isf(0.01, runs, rate)


def test_a_gain_of_a_tenth_is_found_with_eight_dates_and_less_often_with_three():
    random, rate = np.random.default_rng(0), 0.05 / 8  # of two regions, two bands, beside the distances
    found = {}
    for dates in (3, 8):
        runs = [country(random, dates, 0.01, 0.02) for _ in range(30)]
        for logs in runs:
            logs[:, 0] += np.log(1.1)
        found[dates] = np.mean([gains(steady(logs), 0)[0].probability <= rate for logs in runs])
    assert found[8] > 0.9
    assert found[3] < found[8]


def test_a_gain_is_told_in_its_band_and_region_only():
    logs = country(np.random.default_rng(1), 8, 0.005, 0.01, 30)
    region = np.arange(30) % 2
    logs[region == 1, 0, 1] += np.log(1.25)
    here, there = (gains(steady(logs, region), one) for one in (0, 1))
    (found,) = (gain for gain in there if gain.probability < 1e-4)
    assert (found.band, found.ratio) == ("nir", pytest.approx(1.25, rel=0.02))
    assert not [gain for gain in here if gain.probability < 0.01]


def test_too_little_is_not_judged():
    logs = country(np.random.default_rng(1), 8, 0.01, 0.01)
    assert gains(steady(logs[: FEWEST_WINDOWS - 1]), 0) == []
    assert gains(steady(logs[:, :3]), 0) == []  # two dates
    assert gains(steady(logs), 7) == []  # no such region
    cloudy = logs.copy()
    cloudy[:, 3:] = np.nan
    assert gains(steady(cloudy), 0) == []
    cloudy = logs.copy()
    cloudy[:, 3:6] = np.nan
    assert {gain.dates for gain in gains(steady(cloudy), 0)} == {5}
    cloudy = logs.copy()
    cloudy[:, :, :, 1:] = np.nan
    assert gains(steady(cloudy), 0) == []  # one pixel a window
    assert steadiest(logs[0, 0], logs[0, 1:])[0].shape == (9, 2, KEPT)


def test_what_is_told_of_a_gain():
    assert Gain("red", "2024-05-10", 1.0996, 1.01, 8, 0.001).told == "gain red 1.10"
