"""Pixel rules: the best of their kind on what they were fitted to, and the same from parts as from the whole."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.pixel_rules import (
    NDVI_BINS,
    LogisticRule,
    NdviRule,
    PixelRules,
    PixelSample,
    best_cut,
    best_interval,
    fit_logistic,
    ndvi,
    ndvi_bins,
    pixel_features,
)


def miou(tp: float, fp: float, fn: float, tn: float) -> float:
    return sum(a / (a + fp + fn) if a + fp + fn else 0.0 for a in (tp, tn))


@given(arrays(np.int64, (2, 7), elements=st.integers(0, 20)))
@settings(max_examples=60)
def test_the_best_interval_is_the_best(counts):
    def score(low: int, high: int) -> float:
        tp, fp = (float(counts[k, low:high].sum()) for k in (1, 0))
        return miou(tp, fp, counts[1].sum() - tp, counts[0].sum() - fp)

    low, high = best_interval(counts)
    assert 0 <= low < high <= 7
    assert score(low, high) == pytest.approx(max(score(i, j) for i in range(7) for j in range(i + 1, 8)))


@given(
    st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 1), st.integers(1, 4)), min_size=1, max_size=25),
)
@settings(max_examples=100)
def test_the_best_cut_is_the_best(rows):
    scores, labels, counts = (np.array(column) for column in zip(*rows, strict=True))

    def score(cut: float) -> float:
        cells = [counts[(labels == y) & ((scores > cut) == p)].sum() for y, p in ((1, 1), (0, 1), (1, 0), (0, 0))]
        return miou(*(float(c) for c in cells))

    found = best_cut(scores.astype(float), labels, counts)
    assert score(found) == pytest.approx(max(score(c) for c in np.arange(-5.5, 6.5)))


def test_ndvi_is_zero_of_nothing_and_its_bins_cover_both_ends():
    red, nir = np.array([0, 100, 0, 50], np.uint16), np.array([0, 0, 100, 150], np.uint16)
    np.testing.assert_allclose(ndvi(red, nir), [0, -1, 1, 0.5])
    assert ndvi_bins(red, nir).tolist() == [40, 0, 79, 60]


def test_logistic_regression_finds_the_weights_it_was_drawn_from():
    rng = np.random.default_rng(4)
    x = np.concatenate([rng.normal(size=(40_000, 2)), np.ones((40_000, 1))], axis=1)
    true = np.array([1.5, -0.7, 0.4])
    y = rng.random(len(x)) < 1 / (1 + np.exp(-x @ true))
    np.testing.assert_allclose(fit_logistic(x, y), true, atol=0.06)
    # where the likelihood is flat its slope is nought
    p = 1 / (1 + np.exp(-x @ fit_logistic(x, y)))
    np.testing.assert_allclose(x.T @ (y - p) / len(x), 0, atol=1e-5)


def test_a_row_that_stands_for_three_is_three_rows():
    rng = np.random.default_rng(5)
    x, y = np.concatenate([rng.normal(size=(60, 2)), np.ones((60, 1))], axis=1), rng.random(60) < 0.5
    times = rng.integers(1, 4, 60)
    whole = fit_logistic(np.repeat(x, times, axis=0), np.repeat(y, times))
    np.testing.assert_allclose(fit_logistic(x, y, times), whole, atol=1e-9)


def test_separable_pixels_do_not_run_away():
    bands = np.stack([np.linspace(0, 1000, 50), np.full(50, 300.0)])
    labels = (np.arange(50) >= 30).astype(int)
    rule = LogisticRule.fit(bands, labels, np.ones(50), red=0, near_infrared=1)
    assert np.isfinite(rule.weights).all()
    np.testing.assert_array_equal(rule.predict(bands), labels.astype(bool))
    np.testing.assert_array_equal(rule.predict(bands.reshape(2, 5, 10)), labels.astype(bool).reshape(5, 10))


def test_squares_draw_what_a_plane_cannot():
    rng = np.random.default_rng(6)
    bands = rng.uniform(100, 900, (2, 4000))
    labels = (np.hypot(*(bands - 500)) < 200).astype(int)
    right = [
        (LogisticRule.fit(bands, labels, np.ones(4000), 0, 1, squares).predict(bands) == labels).mean()
        for squares in (False, True)
    ]
    assert right[0] < 0.9 < 0.97 < right[1]
    assert pixel_features(bands, 0, 1).shape == (4000, 3)
    assert pixel_features(bands, 0, 1, squares=True).shape == (4000, 9)


def pixels(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < 0.3).astype(np.uint8)
    return rng.integers(200, 3000, (3, count)) + labels * np.array([[900], [0], [-150]]), labels


def test_a_sample_is_bounded_repeats_itself_and_counts_every_pixel():
    bands, labels = pixels(5000, 1)
    one, again = (PixelSample.of(bands, labels, 0, 2, most=64, seed=9) for _ in range(2))
    assert one.bands.shape == (3, 64)
    assert one.stands_for == 5000 / 64
    assert one.ndvi.sum() == 5000
    assert one.ndvi[1].sum() == labels.sum()
    told = json.loads(json.dumps(one.to_json()))
    for sample in (again, PixelSample.from_json(told)):
        for name in ("bands", "labels", "ndvi"):
            np.testing.assert_array_equal(getattr(one, name), getattr(sample, name))
    other = PixelSample.of(bands, labels, 0, 2, most=64, seed=10)
    assert not np.array_equal(one.bands, other.bands)


def test_rules_of_parts_are_those_of_the_whole():
    bands, labels = pixels(900, 2)
    whole = PixelRules.fit([PixelSample.of(bands, labels, 0, 2, most=900, seed=0)], 0, 2)
    cuts = [slice(0, 100), slice(100, 100), slice(100, 900)]
    parts = PixelRules.fit([PixelSample.of(bands[:, c], labels[c], 0, 2, most=900, seed=0) for c in cuts], 0, 2)
    assert whole.ndvi == parts.ndvi
    assert whole.logistic is not None
    assert parts.logistic is not None
    np.testing.assert_array_equal(whole.logistic.predict(bands), parts.logistic.predict(bands))
    right = (whole.logistic.predict(bands) == labels).mean()
    assert right > 0.7


def test_strips_do_not_show(monkeypatch):
    bands, labels = pixels(1000, 4)
    rule = LogisticRule.fit(bands, labels, np.ones(1000), 0, 2)
    whole = rule.predict(bands.reshape(3, 8, 125))
    monkeypatch.setattr("models.pixel_rules.STRIP_PX", 37)
    np.testing.assert_array_equal(rule.predict(bands.reshape(3, 8, 125)), whole)
    assert 0 < whole.mean() < 1


def test_one_label_alone_has_no_rule():
    bands, _ = pixels(50, 3)
    zero = PixelSample.of(bands, np.zeros(50, np.uint8), 0, 2, most=50, seed=0)
    assert PixelRules.fit([zero], 0, 2) == PixelRules()
    assert PixelRules.fit([], 0, 2) == PixelRules()


def test_the_rule_says_its_limits_and_keeps_them():
    rule = NdviRule(20, 44)
    assert rule.limits == "-0.50 <= NDVI < 0.10"
    counts = np.zeros((2, NDVI_BINS), np.int64)
    counts[0], counts[1, 20:44] = 1, 9
    assert NdviRule.fit(counts) == rule
    assert rule.predict(np.array([300, 100]), np.array([200, 200])).tolist() == [True, False]
