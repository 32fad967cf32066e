"""Frames as pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tiler.frames_for_tests import write_frames
from tiler.frame_sheet import THUMBNAIL_PX, composite, contact_sheet, frames_of_months
from tiler.frame_store import FrameStore


def test_ir_swir_and_wv_are_red_green_and_blue() -> None:
    unit = np.array([1.0, 0.5, 0.2])[:, None, None] * np.ones((3, 2, 3))
    valid = np.ones(unit.shape, bool)
    valid[1, 0, 0] = False
    picture = composite(unit, valid)
    assert picture.shape == (2, 3, 3)
    assert picture[1, 2].tolist() == [255, 128, 51]
    assert picture[0, 0].tolist() == [255, 0, 51]


@pytest.mark.parametrize(("bands", "expected"), [(1, [64, 64, 64]), (2, [64, 128, 0]), (4, [64, 128, 191])])
def test_other_numbers_of_bands(bands: int, expected: list[int]) -> None:
    unit = np.array([0.25, 0.5, 0.75, 1.0])[:bands, None, None] * np.ones((bands, 2, 2))
    assert composite(unit, np.ones(unit.shape, bool))[0, 0].tolist() == expected


def test_the_frame_of_a_month_is_the_one_next_to_its_middle() -> None:
    times = np.array(
        ["2011-02-27T00", "2011-02-28T00", "2011-04-14T00", "2011-04-15T09", "2011-04-15T15", "2012-01-31T00"],
        "datetime64[s]",
    )
    assert frames_of_months(times) == [(2011, 2, 0), (2011, 4, 3), (2012, 1, 5)]


def test_a_sheet_has_a_row_for_each_year_and_a_column_for_each_month(tmp_path: Path) -> None:
    times = np.array(["2011-03-10T00", "2011-03-16T00", "2013-12-20T21"], "datetime64[s]")
    images = np.zeros((3, 3, 8, 8), np.uint8)
    images[0], images[1, 0], images[2, 2] = 9, 200, 200
    sheet = np.asarray(
        Image.open(io.BytesIO(contact_sheet(FrameStore(write_frames(tmp_path, images, None, times, "abc")))))
    )
    side = THUMBNAIL_PX
    assert sheet.shape == (3 * side, 12 * side, 3)
    assert sheet[5, 2 * side + 5].tolist() == [200, 0, 0]
    assert sheet[2 * side + 5, 11 * side + 5].tolist() == [0, 0, 200]
    assert not sheet[side : 2 * side].any()
