"""The median around each pixel."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from tiler.median import median_around


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 15), st.integers(0, 3), st.integers(2, 256), st.integers(0, 2**31))
def test_it_is_the_median_of_the_square_with_the_border_repeated(
    height: int, width: int, reach: int, most: int, seed: int
) -> None:
    image = np.random.default_rng(seed).integers(0, most, (height, width)).astype(np.uint8)
    side = 2 * reach + 1
    squares = sliding_window_view(np.pad(image, reach, mode="edge"), (side, side))
    np.testing.assert_array_equal(median_around(image, reach), np.median(squares, axis=(2, 3)))
