"""Which numbers are measurements."""

from __future__ import annotations

import numpy as np
import pytest

from tiler.frame_values import BITS, measured, range_of, stored_dtype, upright


def test_fill_values_are_no_measurements() -> None:
    values, valid = measured(np.array([[1, -9, 3], [7, 5, 0]], np.int16), {"_FillValue": -9, "missing_value": [7]})
    assert valid.tolist() == [[True, False, True], [False, True, True]]
    assert values.tolist() == [[1, 0, 3], [0, 5, 0]]


def test_flags_above_the_valid_bits_are_of_quality() -> None:
    values, valid = measured(np.array([4095, 4096, 49152 + 7, 12], np.uint16), {BITS: np.array([12], np.uint8)})
    assert valid.tolist() == [True, False, False, True]
    assert values.tolist() == [4095, 0, 0, 12]
    assert range_of(np.dtype("uint16"), {BITS: 12}) == (0, 4095)


def test_floats_are_kept_as_float32_and_what_is_not_finite_is_missing() -> None:
    values, valid = measured(np.array([0.5, np.nan, np.inf]), {})
    assert values.dtype == np.float32
    assert values.tolist() == [0.5, 0, 0]
    assert valid.tolist() == [True, False, False]


def test_types_that_are_not_kept() -> None:
    assert stored_dtype(np.dtype(">i2")) == "int16"
    for dtype in ("int64", "complex64", "U3"):
        with pytest.raises(ValueError, match="are not read"):
            stored_dtype(np.dtype(dtype))


def test_the_range_comes_from_the_attributes() -> None:
    assert range_of(np.dtype("uint8"), {}) == (0, 255)
    assert range_of(np.dtype("int16"), {}) is None
    assert range_of(np.dtype("int16"), {"valid_min": -3, "valid_max": np.int16(9)}) == (-3, 9)
    assert range_of(np.dtype("int16"), {"valid_range": [2, 5], "valid_min": 0, "valid_max": 1}) == (2, 5)


def test_north_comes_up_and_west_left() -> None:
    image = np.arange(6).reshape(2, 3)
    south_up, east_left = np.array([10.0, 20.0]), np.array([3.0, 2.0, 1.0])
    assert image[upright(south_up, None)].tolist() == [[3, 4, 5], [0, 1, 2]]
    assert image[upright(south_up[::-1], east_left)].tolist() == [[2, 1, 0], [5, 4, 3]]
    assert image[upright(None, None)].tolist() == image.tolist()
