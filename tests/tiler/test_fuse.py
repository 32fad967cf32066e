"""Fusion: the mean over the scenes that saw a pixel, how many did, and when the latest one did."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tiler.fuse import NO_DATE, Fusion, days_since_1970

HEIGHT, WIDTH = 7, 11


def scenes(count, classes, seed):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        day = int(rng.integers(-900, 20_000))
        acquired = None if rng.random() < 0.3 else datetime(1970, 1, 1, 5, tzinfo=UTC) + timedelta(days=day)
        layers = rng.normal(size=(2 * classes, HEIGHT, WIDTH)).astype(np.float32)
        yield layers, rng.random((HEIGHT, WIDTH)) > 0.4, acquired


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 6), st.integers(1, 3), st.integers(0, 999))
def test_fusion_is_the_mean_over_those_that_saw(count, classes, seed):
    added = list(scenes(count, classes, seed))
    fusion = Fusion(classes, HEIGHT, WIDTH)
    for scene in added:
        fusion.add(*scene)
    fused = fusion.result()
    seen = np.array([s for _, s, _ in added]).reshape(count, HEIGHT, WIDTH)
    layers = np.array([v for v, _, _ in added]).reshape(count, 2 * classes, HEIGHT, WIDTH).astype(float)
    assert_array_equal(fused.count, seen.sum(0))
    assert fused.count.dtype == np.uint16
    total = (layers * seen[:, None]).sum(0)
    expected = np.where(seen.any(0), total / np.maximum(seen.sum(0), 1), np.nan)
    assert_allclose(np.concatenate([fused.logit, fused.spread]), expected, atol=1e-6)
    assert fused.logit.dtype == fused.spread.dtype == np.float32
    assert fused.logit.shape == (classes, HEIGHT, WIDTH)
    days = np.full((HEIGHT, WIDTH), NO_DATE)
    for _, s, acquired in added:
        if acquired is not None:
            days[s] = np.maximum(days[s], (acquired - datetime(1970, 1, 1, tzinfo=UTC)).days)
    assert_array_equal(fused.latest, days)


def test_sums_are_float32_in_the_order_of_adding():
    values = [np.float32(1e8), np.float32(3.3), np.float32(-1e8)]
    fusion = Fusion(1, 1, 1)
    for value in values:
        fusion.add(np.full((2, 1, 1), value), np.ones((1, 1), bool), None)
    expected = ((values[0] + values[1]) + values[2]) / np.float32(3)
    assert fusion.result().logit[0, 0, 0] == expected
    assert expected != np.float32(1.1), "the case shows the order"


def test_one_scene_comes_out_as_it_went_in():
    (layers, seen, acquired), *_ = scenes(1, 2, 5)
    fusion = Fusion(2, HEIGHT, WIDTH)
    fusion.add(layers, seen, acquired)
    fused = fusion.result()
    assert_array_equal(fused.logit[:, seen], layers[:2, seen])
    assert_array_equal(fused.spread[:, seen], layers[2:, seen])
    assert np.isnan(fused.logit[:, ~seen]).all()
    assert np.isnan(fused.spread[:, ~seen]).all()


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(1970, 1, 2, tzinfo=UTC), 1),
        (datetime(2024, 2, 29, 23, 59), 19_782),
        (datetime(2024, 3, 1, 8, 59, tzinfo=timezone(timedelta(hours=9))), 19_782),
        (datetime(1969, 12, 31, 12, tzinfo=UTC), -1),
        (None, None),
    ],
)
def test_days(moment, day):
    assert days_since_1970(moment) == day
