"""Compiled loops do what the same lines of numpy do, to the last bit where sums have one order."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tiler.fuse import NO_DATE
from tiler.kernels import add_bilinear, add_scene, divide

few = settings(max_examples=25, deadline=None)
sides = st.integers(1, 23)
seeds = st.integers(0, 999)


@few
@given(sides, sides, seeds, st.sampled_from([0.0, 0.5]), st.sampled_from([0.0, np.nan]))
def test_sums_are_divided_where_the_weight_counts(height, width, seed, least, fill):
    random = np.random.default_rng(seed)
    sums = random.normal(size=(2, height, width)).astype(np.float32)
    for weights in (
        np.round(random.random((height, width)), 1).astype(np.float32),
        random.integers(0, 4, (height, width)),
    ):
        seen = (weights >= least) & (weights > 0)
        expected = np.where(seen, sums / np.where(seen, weights, 1).astype(np.float32), np.float32(fill))
        found = sums.copy()
        assert_array_equal(divide(found, weights, least, fill), seen)
        assert_array_equal(found, expected)


def by_hand(values, valid, corner, row, col):
    """One bilinear sample, tap by tap, in float64: layers, then the share of valid pixels."""
    r, c = row - 0.5 - corner[0], col - 0.5 - corner[1]
    out = np.zeros(len(values) + 1)
    for v in (int(np.floor(r)), int(np.floor(r)) + 1):
        for u in (int(np.floor(c)), int(np.floor(c)) + 1):
            if 0 <= v < valid.shape[0] and 0 <= u < valid.shape[1] and valid[v, u]:
                out += (1 - abs(r - v)) * (1 - abs(c - u)) * np.append(values[:, v, u], 1.0)
    return out


@few
@given(sides, sides, seeds, st.floats(0, 1))
def test_samples_are_bilinear_and_nothing_lies_outside(height, width, seed, holes):
    random = np.random.default_rng(seed)
    values = random.normal(size=(2, height, width)).astype(np.float32)
    valid, corner = random.random((height, width)) >= holes, (-7, 40)
    rows = random.uniform(corner[0] - 3, corner[0] + height + 3, (6, 5))
    cols = random.uniform(corner[1] - 3, corner[1] + width + 3, (6, 5))
    rows[0, 0], cols[0, 1], rows[1, 1], cols[1, 0] = np.nan, np.nan, np.inf, -np.inf
    rows[2, 2], cols[2, 2] = corner[0] + 0.5, corner[1] + 0.5
    before = random.random((3, 6, 5), np.float32)
    sums = before.copy()
    add_bilinear(sums, values, valid, corner, rows, cols)
    expected = before.astype(np.float64)
    for place in np.argwhere(np.isfinite(rows) & np.isfinite(cols)):
        expected[(slice(None), *place)] += by_hand(values, valid, corner, rows[tuple(place)], cols[tuple(place)])
    assert_allclose(sums, expected, atol=1e-5)


@few
@given(sides, sides, seeds, st.sampled_from([int(NO_DATE), -4000, 20_000]))
def test_a_scene_counts_where_it_saw(height, width, seed, day):
    random = np.random.default_rng(seed)
    sums, layers = (random.random((2, height, width), np.float32) for _ in range(2))
    count = random.integers(0, 9, (height, width)).astype(np.uint16)
    latest, seen = random.integers(-9999, 9999, (height, width), np.int32), random.random((height, width)) > 0.4
    expected = np.where(seen, sums + layers, sums), count + seen, np.where(seen, np.maximum(latest, day), latest)
    layers[:, ~seen] = np.nan  # whatever is there
    add_scene(sums, count, latest, layers, seen, day)
    for found, wanted in zip((sums, count, latest), expected, strict=True):
        assert_array_equal(found, wanted)
    assert (count.dtype, latest.dtype) == (np.uint16, np.int32)
