"""Compiled loops do what the same lines of numpy do, to the last bit where sums have one order."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tiler.fuse import NO_DATE
from tiler.kernels import FLOAT32_OF_FLOAT16, add_between_nodes, add_bilinear, add_scene, add_window, divide

few = settings(max_examples=25, deadline=None)
sides = st.integers(1, 23)
seeds = st.integers(0, 999)


@few
@given(sides, sides, seeds, st.sampled_from([0.0, 0.5]), st.sampled_from([0.0, np.nan]))
def test_sums_are_divided_where_the_weight_counts(height, width, seed, least, fill):
    random = np.random.default_rng(seed)
    for weights in (
        np.round(random.random((height, width)), 1).astype(np.float32),
        random.integers(0, 4, (height, width)),
        np.concatenate([np.ones((1, width), np.uint16), random.integers(0, 2, (height, width))]),
    ):
        sums = random.normal(size=(2, *weights.shape)).astype(np.float32)
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
    count = random.integers(0, 4, (height, width)).astype(np.uint16)
    sums[:, count == 0] = 0
    latest, seen = random.integers(-9999, 9999, (height, width), np.int32), random.random((height, width)) > 0.4
    expected = np.where(seen, sums + layers, sums), count + seen, np.where(seen, np.maximum(latest, day), latest)
    layers[:, ~seen] = np.nan  # whatever is there
    sums[:, count == 0] = np.nan  # likewise
    add_scene(sums, count, latest, layers, seen, day)
    sums[:, count == 0] = 0
    for found, wanted in zip((sums, count, latest), expected, strict=True):
        assert_array_equal(found, wanted)
    assert (count.dtype, latest.dtype) == (np.uint16, np.int32)


@few
@given(sides, sides, seeds, st.sampled_from([0.0, 0.02, 0.5]), st.floats(-0.3, 0.3))
def test_coordinates_between_nodes_give_the_same_bits_as_coordinates(height, width, seed, holes, turn):
    random = np.random.default_rng(seed)
    values = random.normal(size=(2, height, width)).astype(np.float32)
    valid, corner, across = random.random((height, width)) >= holes, (-7, 40), 8
    y, x = np.mgrid[0:3, 0:4] * across
    nodes = np.stack([corner[0] - 2 + y * 1.1 + x * turn, corner[1] - 2 + x * 0.9 - y * turn])
    nodes += random.normal(0, 0.01, nodes.shape)
    nodes[:, 2, 3] = random.choice([np.nan, 20.0])
    places = np.arange(2, 15), np.arange(5, 24)
    blocks, shares = tuple(p // across for p in places), tuple((p % across + 0.5) / across for p in places)
    fy, fx = shares[0][None, :, None], shares[1][None, None, :]
    upper = nodes[:, blocks[0]] * (1 - fy) + nodes[:, blocks[0] + 1] * fy
    rows, cols = upper[:, :, blocks[1]] * (1 - fx) + upper[:, :, blocks[1] + 1] * fx
    expected = random.random((3, 13, 19), np.float32)
    sums = expected.copy()
    add_bilinear(expected, values, valid, corner, rows, cols)
    add_between_nodes(sums, values, valid, corner, nodes, blocks, shares)
    assert_array_equal(sums, expected)


@few
@given(sides, sides, seeds, st.sampled_from([None, np.nan, np.inf, -np.inf]))
def test_a_window_is_added_times_its_weights(height, width, seed, bad):
    random = np.random.default_rng(seed)
    bits = random.integers(0, 2**16, (2, height, width)).astype(np.uint16)
    bits[(bits & 0x7C00) == 0x7C00] = 0x0001  # the smallest of all instead of what is not finite
    if bad is not None:
        bits[1, height // 2, width // 3] = np.float16(bad).view(np.uint16)
    down, across = random.random(height, np.float32), random.random(width, np.float32)
    sums, weights = random.random((2, height, width), np.float32), random.random((height, width), np.float32)
    weight = np.outer(down, across)
    expected = sums + bits.view(np.float16).astype(np.float32) * weight, weights + weight
    assert add_window(sums, weights, bits, down, across, FLOAT32_OF_FLOAT16) == (bad is None)
    assert_array_equal(sums, expected[0])
    assert_array_equal(weights, expected[1])
