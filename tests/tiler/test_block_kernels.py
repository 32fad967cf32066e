"""Numbers of a block: copied, or sums of their differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tiler.block_kernels import place


@settings(max_examples=40, deadline=None)
@given(
    dtype=st.sampled_from(["uint8", "uint16", "uint32"]),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 3)),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_sums_of_the_differences_are_the_numbers(dtype, shape, seed, data):
    numbers = np.random.default_rng(seed).integers(0, 2**32, shape).astype(dtype)
    differences = np.diff(numbers, axis=1, prepend=np.zeros((shape[0], 1, shape[2]), dtype))
    assert differences.dtype == dtype
    y0, x0 = data.draw(st.integers(0, shape[0] - 1)), data.draw(st.integers(0, shape[1] - 1))
    samples = np.array(data.draw(st.lists(st.integers(0, shape[2] - 1), min_size=1, max_size=3)))
    for block, summed in ((differences, True), (numbers, False)):
        out = np.zeros((len(samples), shape[0] - y0, shape[1] - x0), dtype)
        place(block, y0, x0, samples, summed, out)
        assert_array_equal(out, np.moveaxis(numbers[y0:, x0:], 2, 0)[samples])


@pytest.mark.parametrize("differences", [True, False])
def test_only_the_rectangle_is_touched(differences):
    memory = np.full((2, 6, 7), 9, np.uint16)
    place(np.ones((4, 5, 1), np.uint16), 1, 2, np.array([0]), differences, memory[:1, 2:5, 3:6])
    expected = np.full((2, 6, 7), 9)
    expected[0, 2:5, 3:6] = [3, 4, 5] if differences else 1
    assert_array_equal(memory, expected)
