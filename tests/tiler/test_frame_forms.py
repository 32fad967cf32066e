"""The one form of all frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tiler.frames_for_tests import write_pngs
from tiler.frame_files import PlaneHeader
from tiler.frame_forms import common_header, layout_of
from tiler.frame_index import FrameIndex, index_frames
from tiler.frame_spec import FrameSpec

TIMES = np.datetime64("2011-03-01T00:00") + np.array([0, 3, 9], "timedelta64[h]")
FORM = PlaneHeader(5, 8, "uint8", (0.0, 255.0))


def series(folder: Path, **settings: object) -> FrameIndex:
    write_pngs(folder, np.zeros((3, 3, 5, 8), np.uint8), TIMES, ("ir1", "swir", "wv"))
    return index_frames(FrameSpec(files=str(folder), **settings))  # type: ignore[arg-type]


def test_all_files_have_one_form(tmp_path: Path) -> None:
    index = series(tmp_path, side_px=4)
    header = common_header(index, index.entries, None)
    assert header == FORM
    layout = layout_of(index, header)
    assert (layout.bands, layout.height_px, layout.dtype) == (("ir", "swir", "wv"), 4, "uint8")
    assert (layout.offset, layout.scale) == ((0, 0, 0), (255, 255, 255))


def test_another_size_is_bad_input_and_named(tmp_path: Path) -> None:
    index = series(tmp_path)
    odd = Path(str(index.entries[4].where))
    write_pngs(tmp_path, np.zeros((1, 1, 6, 8), np.uint8), TIMES[1:2], ("swir",))
    with pytest.raises(
        ValueError, match=f"1 of 9 are not 5 x 8 uint8 as the others; the first, .*{odd.name}, is 6 x 8"
    ):
        common_header(index, index.entries, None)
    with pytest.raises(ValueError, match="8 of 9 are not 6 x 8 uint8 as what is in the store"):
        common_header(index, index.entries, PlaneHeader(6, 8, "uint8", None))


def test_files_that_cannot_be_read_are_left_to_the_workers(tmp_path: Path) -> None:
    index = series(tmp_path)
    for entry in index.entries[1:]:
        Path(str(entry.where)).write_bytes(b"")
    assert common_header(index, index.entries, None) == FORM
    Path(str(index.entries[0].where)).write_bytes(b"")
    with pytest.raises(ValueError, match="not one of 9 files can be read; the first"):
        common_header(index, index.entries, None)
    held = PlaneHeader(5, 8, "uint8", None)
    assert common_header(index, index.entries, held) == held


def test_a_range_that_nobody_tells_must_be_given(tmp_path: Path) -> None:
    header = PlaneHeader(5, 8, "int16", None)
    with pytest.raises(ValueError, match="what range their int16 numbers have; give value_range"):
        layout_of(series(tmp_path), header)
    given = series(tmp_path, value_range={"ir1": (-10, 30), "swir": (0, 5), "wv": (1, 2)})
    layout = layout_of(given, header)
    assert (layout.offset, layout.scale) == ((-10, 0, 1), (40, 5, 1))
