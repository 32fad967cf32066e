"""Fusion: the mean over the scenes that saw a pixel, or over the first of them; how many did, when, how they differ."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tiler.fuse import NO_DATE, Fusion, days_since_1970

HEIGHT, WIDTH = 7, 11


def scenes(count, classes, seed, planes=None):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        day = int(rng.integers(-900, 20_000))
        acquired = None if rng.random() < 0.3 else datetime(1970, 1, 1, 5, tzinfo=UTC) + timedelta(days=day)
        layers = rng.normal(size=(planes or 2 * classes, HEIGHT, WIDTH)).astype(np.float32)
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


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 6), st.integers(1, 3), st.integers(1, 4), st.booleans(), st.integers(0, 999))
def test_a_pixel_takes_the_first_that_saw_it(count, classes, most, uncertainty, seed):
    """Count and date are still those of all that saw it."""
    added = list(scenes(count, classes, seed, 3 * classes + 1 if uncertainty else 2 * classes))
    whole, first = (Fusion(classes, HEIGHT, WIDTH, uncertainty, n) for n in (None, most))
    for scene in added:
        whole.add(*scene)
        first.add(*scene)
    everything, fused = whole.result(), first.result()
    assert_array_equal(fused.count, everything.count)
    assert_array_equal(fused.latest, everything.latest)
    taken = np.zeros((HEIGHT, WIDTH), int)
    chosen = Fusion(classes, HEIGHT, WIDTH, uncertainty)
    for layers, seen, acquired in added:
        chosen.add(layers, seen & (taken < most), acquired)
        taken += seen
    expected = chosen.result().layers
    for name, found in fused.layers.items():
        if name not in ("count", "latest"):
            assert_array_equal(found, expected[name])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 6), st.integers(1, 3), st.integers(0, 999))
def test_doubt_is_means_and_how_scenes_differ(count, classes, seed):
    added = list(scenes(count, classes, seed, 3 * classes + 1))
    fusion = Fusion(classes, HEIGHT, WIDTH, True)
    for scene in added:
        fusion.add(*scene)
    doubt = fusion.result().doubt
    values = np.full((max(count, 1), 3 * classes + 1, HEIGHT, WIDTH), np.nan)
    for place, (layers, seen, _) in enumerate(added):
        values[place][:, seen] = layers[:, seen]
    masked = np.ma.masked_invalid(values)
    for found, expected in (
        (doubt.probability, masked[:, 2 * classes : 3 * classes].mean(0)),
        (doubt.entropy, masked[:, 3 * classes].mean(0)),
        (doubt.disagreement, masked[:, :classes].std(0)),
    ):
        assert found.dtype == np.float32
        assert_allclose(found, expected.filled(np.nan), atol=2e-6)


def test_scenes_that_agree_on_a_large_logit_do_not_differ():
    """What sums of squares would lose in float32."""
    fusion = Fusion(1, 1, 2, True)
    for step in (0, 1, 2):
        layers = np.zeros((4, 1, 2), np.float32)
        layers[0] = [[20_000, 20_000 + step]]
        fusion.add(layers, np.ones((1, 2), bool), None)
    found = fusion.result().doubt.disagreement
    assert_allclose(found, [[[0, np.std([0, 1, 2])]]], rtol=1e-3)
