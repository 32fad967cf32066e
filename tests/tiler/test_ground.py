"""Sampling, statistics and the cache that scenes and data sets share."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiler.ground import Cache, Sampling, Statistics
from tiler.sensors import load_sensor

SN10 = load_sensor("SN10")


@given(st.lists(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=30), min_size=1, max_size=4))
def test_statistics_of_moments_are_those_of_the_values(channels):
    names = [f"c{i}" for i in range(len(channels))]
    moments = {
        n: (float(len(v)), float(np.sum(v)), float(np.square(v).sum())) for n, v in zip(names, channels, strict=True)
    }
    found = Statistics.of([*names, "mask"], moments, {names[0]: 3.5})
    np.testing.assert_allclose(found.mean, [*map(np.mean, channels), 0], atol=1e-6)
    for deviation, values in zip(found.deviation, channels, strict=False):
        if np.std(values) > 1:
            assert deviation == pytest.approx(np.std(values), rel=1e-4)
        assert deviation > 0
    assert found.median[0] == 3.5
    assert found.median[1:] == found.mean[1:]


def test_a_channel_without_values_is_refused():
    with pytest.raises(ValueError, match="channel nir has no valid value"):
        Statistics.of(["red", "nir"], {"red": (2.0, 4.0, 8.0), "nir": (0.0, 0.0, 0.0)}, {})


def test_a_range_is_scaled_to_nought_and_one_and_coarse_channels_are_not():
    channels = (*SN10.bands, "mask", "gems0")
    found = Statistics((9.0, 8.0, 7.0, 6.0, 0.0, 5.0), (1.0, 2.0, 3.0, 4.0, 1.0, 6.0), (0.0,) * 6)
    assert found.scaling(channels, SN10, "standard") == (found.mean, found.deviation)
    offset, scale = found.scaling(channels, SN10, "range")
    assert (np.array([SN10.valid_min, SN10.valid_max]) - offset[0]).tolist() == [0.0, scale[0]]
    assert offset[4:] == (0.0, 5.0)
    assert scale[4:] == (1.0, 6.0)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"classes": {1: 0.7, 2: 0.5}}, "add up to 1"),
        ({"classes": {1: -0.1}}, r"lie in \[0, 1\]"),
        ({"weights": {"a": -1.0}}, "not negative"),
        ({"weights": {"a": float("nan")}}, "finite"),
        ({"label_fraction": 0.0}, "label_fraction"),
    ],
)
def test_impossible_samplings_are_refused(values, told):
    with pytest.raises(ValueError, match=told):
        Sampling(**values)


def test_classes_are_wanted_as_often_as_asked():
    sampling, random = Sampling({1: 0.5, 3: 0.2}), np.random.default_rng(0)
    drawn = [sampling.class_wanted(random) for _ in range(4000)]
    for wanted, share in ((1, 0.5), (3, 0.2), (None, 0.3)):
        assert abs(drawn.count(wanted) / 4000 - share) < 0.04


@given(st.lists(st.integers(0, 5), max_size=60), st.integers(1, 6))
def test_a_cache_gives_what_was_read_and_stays_within_its_memory(keys, room):
    cache, read = Cache(room), []
    for key in keys:
        assert cache.get(key, lambda key=key: read.append(key) or key * 10, lambda _: 1) == key * 10
        assert cache._bytes == len(cache._items) <= room
    assert set(read) == set(keys)
    if room == 6:
        assert len(read) == len(set(keys))
