"""Counting in one pass says what numpy says in many; counts of histograms are tested with `tiler.quality`."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tiler.counts import count_shares, moments

few = settings(max_examples=25, deadline=None)
sides = st.integers(1, 23)
seeds = st.integers(0, 999)


@few
@given(
    sides,
    seeds,
    st.sampled_from(["float32", "float64", "uint8", "uint16", "int32"]),
    st.sampled_from([np.nan, 0.0, 3.0, 255.0]),
)
def test_moments_are_those_of_the_numbers_that_are_there(size, seed, dtype, missing):
    random = np.random.default_rng(seed)
    values = random.integers(0, 5, size).astype(dtype)
    if values.dtype.kind == "f":
        values = np.where(random.random(size) < 0.2, np.nan, values + random.normal(size=size).astype(dtype))
        values[random.random(size) < 0.2] = missing
    there = values[~np.isnan(values) & (values != missing)].astype(float)
    count, mean, squares = moments(values, missing)
    assert count == there.size
    np.testing.assert_allclose(mean, there.mean() if count else 0, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(squares, ((there - mean) ** 2).sum(), rtol=1e-9, atol=1e-12)


@few
@given(st.integers(0, 400), seeds)
def test_shares_are_counted_as_numpy_counts_them(size, seed):
    random = np.random.default_rng(seed)
    shares = random.choice([0, 0.5, 1, 0.02, 0.98, *random.random(9)], size).astype(np.float32)
    counts = np.full(50, 7, np.int64)
    count_shares(np.append(shares, np.float32(np.nan)), counts)
    assert_array_equal(counts - 7, np.histogram(shares.astype(float), 50, (0, 1))[0])
