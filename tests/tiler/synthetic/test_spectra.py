"""Spectra: overlapping, seasonal, and lit by a sun in the right place."""

import math
from datetime import date

import numpy as np
import pytest

from tiler.synthetic.spectra import CODE, COVERS, SEASONS, reflectance, sun_at

MAY, AUGUST, JANUARY = date(2024, 5, 1), date(2024, 8, 10), date(2024, 1, 20)


def seen(name, day, n=4_000):
    keys = np.arange(n, dtype=np.uint32) * np.uint32(77)
    return reflectance(np.full(n, CODE[name], np.uint8), np.ones(n, np.float32), keys, np.zeros(n, np.float32), day)


def ndvi(values):
    return (values[3] - values[0]) / (values[3] + values[0])


@pytest.mark.parametrize("name", COVERS)
def test_every_cover_reflects_something_possible(name):
    assert COVERS[name].season in SEASONS
    for day in (JANUARY, MAY, AUGUST):
        values = seen(name, day)
        assert values.dtype == np.float32
        assert 0 < values.min() < values.max() < 0.95


def test_leaves_come_and_go():
    assert ndvi(seen("broadleaf", AUGUST)).mean() > 0.75 > 0.45 > ndvi(seen("broadleaf", JANUARY)).mean()
    assert ndvi(seen("paddy", AUGUST)).mean() > ndvi(seen("paddy", MAY)).mean() + 0.3
    assert ndvi(seen("barley", MAY)).mean() > ndvi(seen("barley", date(2024, 7, 10))).mean() + 0.3


def test_paddies_stand_under_water_in_june():
    values = seen("paddy", date(2024, 5, 28))
    assert 0.5 < (values[3] < 0.13).mean() < 1.0


def test_colours_overlap():
    """No band separates factory roofs from what is not industry."""
    for band in range(4):
        roofs = np.concatenate([seen(n, MAY)[band] for n in ("roof_grey", "roof_blue", "roof_white")])
        others = np.concatenate([seen(n, MAY)[band] for n in ("vinyl", "soil", "concrete", "rock")])
        low, high = np.quantile(others, [0.05, 0.95])
        assert ((roofs > low) & (roofs < high)).mean() > 0.4


def test_the_sun_stands_south_east_and_higher_in_summer():
    for day in (JANUARY, MAY, AUGUST):
        sun = sun_at(day)
        assert sun.to_east > 0 > sun.to_north
        assert math.hypot(sun.to_east, sun.to_north) == pytest.approx(1)
    assert sun_at(JANUARY).shadow_per_m > 2 * sun_at(date(2024, 6, 21)).shadow_per_m
    assert math.degrees(sun_at(date(2024, 6, 21), hour=12).elevation_rad) == pytest.approx(90 - 36.5 + 23.44, abs=0.1)
