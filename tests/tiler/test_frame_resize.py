"""Area means of the middle square."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiler.frames_for_tests import plain_area_mean
from tiler.frame_resize import LEAST_SHARE, Crop, area_means, resized


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 23), st.integers(1, 23), st.integers(1, 12), st.integers(0, 2**31))
def test_it_is_the_mean_of_what_is_valid_on_the_ground_of_a_pixel(
    height: int, width: int, side: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, (height, width), np.uint8)
    valid = rng.random((height, width)) > 0.3
    means, share = area_means(values, valid, *_crop(height, width, side))
    expected, _ = plain_area_mean(values, valid, side, 0.0)
    whole, good = plain_area_mean(values, valid, side, LEAST_SHARE)
    np.testing.assert_allclose(means, expected, atol=1e-9)
    clear = np.abs(share - LEAST_SHARE) > 1e-9  # a share of a quarter is one only up to rounding
    out, known = resized(values, valid, Crop.of(height, width, side))
    np.testing.assert_array_equal(known[clear], good[clear])
    assert out.dtype == np.uint8
    assert (np.abs(out.astype(float) - whole)[known & clear] <= 0.5 + 1e-6).all()
    assert (out[~known] == 0).all()


def _crop(height: int, width: int, side: int) -> tuple[float, float, float, int]:
    crop = Crop.of(height, width, side)
    return crop.y0_px, crop.x0_px, crop.scale, crop.side_px


def test_the_aspect_is_kept_and_the_middle_is_cut_out() -> None:
    assert Crop.of(325, 375, 65) == Crop(0.0, 25.0, 5.0, 65)
    image = np.zeros((4, 8), np.uint8)
    image[:, 2:6] = np.arange(16).reshape(4, 4)
    out, good = resized(image, np.ones(image.shape, bool), Crop.of(4, 8, 4))
    np.testing.assert_array_equal(out, np.arange(16).reshape(4, 4))
    assert good.all()


def test_a_missing_pixel_has_no_weight_and_is_not_zero() -> None:
    image = np.full((6, 6), 90, np.int16)
    valid = np.ones(image.shape, bool)
    image[2:4, 2:5], valid[2:4, 2:5] = -32768, False
    out, good = resized(image, valid, Crop.of(6, 6, 3))
    assert not good[1, 1]
    assert (out[good] == 90).all()
    assert good.sum() == 8  # half of the ground of the pixel beside it is left


def test_floats_are_not_rounded() -> None:
    image = np.array([[0.0, 1.0], [2.0, 4.0]], np.float32)
    out, _ = resized(image, np.ones((2, 2), bool), Crop.of(2, 2, 1))
    assert out.dtype == np.float32
    assert out[0, 0] == pytest.approx(1.75)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32"])
def test_a_constant_stays_itself(dtype: str) -> None:
    image = np.full((7, 5), 117, dtype)
    out, good = resized(image, np.ones(image.shape, bool), Crop.of(7, 5, 3))
    assert (out == 117).all()
    assert good.all()
