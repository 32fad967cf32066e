"""From files to blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from tests.tiler.frames_for_tests import kma_name, plain_area_mean, write_pngs
from tiler.frame_forms import common_header, layout_of
from tiler.frame_index import index_frames, made_of
from tiler.frame_resize import LEAST_SHARE
from tiler.frame_source import FrameBlock, FrameSource
from tiler.frame_spec import FrameSpec
from tiler.frame_store import FrameStore, make_frame_store
from tiler.frame_values import BITS
from tiler.stores import open_group

TIMES = np.datetime64("2011-03-01T00:00") + np.array([0, 3, 9, 12], "timedelta64[h]")
IMAGES = np.random.default_rng(5).integers(0, 256, (4, 3, 10, 13), np.uint8)
BANDS = ("ir1", "swir", "wv")


def ingested(tmp_path: Path, **settings: object) -> tuple[FrameStore, dict]:
    """Ingest all blocks of what lies in `files`, as the job does."""
    index = index_frames(FrameSpec.model_validate({"files": str(tmp_path / "files"), "side_px": 4, **settings}))
    header = common_header(index, index.entries, None)
    source = FrameSource.of(index, header, layout_of(index, header))
    url, blocks = str(tmp_path / "store.zarr"), index.blocks()
    make_frame_store(url, source.layout, max(blocks) + 1, {}, source.drawn(index.entries))
    damaged: dict = {}
    for at, entries in blocks.items():
        record = source.fill(open_group(url), FrameBlock("store", at, made_of(entries), entries))
        damaged |= record["damaged"]  # type: ignore[operator]
    return FrameStore(url), damaged


def test_a_frame_is_its_files_made_small_without_the_title(tmp_path: Path) -> None:
    write_pngs(tmp_path / "files", IMAGES, TIMES, BANDS)
    store, damaged = ingested(tmp_path, burned_in={"top_px": 3, "bottom_px": 1})
    assert not damaged
    assert store.times.tolist() == TIMES.astype("datetime64[s]").tolist()
    seen = np.ones((10, 13), bool)
    seen[:3] = seen[9:] = False
    images, valid = store.read(0, 4)
    for frame in range(4):
        for band in range(3):
            expected, good = plain_area_mean(IMAGES[frame, band], seen, 4, LEAST_SHARE)
            np.testing.assert_array_equal(valid[frame, band], good)
            np.testing.assert_array_equal(images[frame, band], np.where(good, np.rint(expected), 0))


def test_a_number_that_is_no_measurement_is_missing(tmp_path: Path) -> None:
    images = IMAGES.copy()
    images[:, :, 4:, :6] = 0
    write_pngs(tmp_path / "files", images, TIMES, BANDS)
    store, _ = ingested(tmp_path, nodata=0)
    _, valid = store.read(0, 4)
    seen = np.zeros((10, 13))
    _, good = plain_area_mean(seen, images[2, 1] != 0, 4, LEAST_SHARE)
    np.testing.assert_array_equal(valid[2, 1], good)
    assert not good.all()


@pytest.mark.parametrize("keep", ["keep", "drop"])
def test_a_frame_that_lacks_a_band_is_kept_without_it_or_left_out(tmp_path: Path, keep: str) -> None:
    write_pngs(tmp_path / "files", IMAGES, TIMES, BANDS)
    day = tmp_path / "files" / "2011-03-01"
    (day / kma_name("coms", "wv", TIMES[1])).unlink()
    (day / kma_name("coms", "ir1", TIMES[2])).write_bytes(b"\x89PNG\r\n\x1a\n and nothing else")
    store, damaged = ingested(tmp_path, missing_band=keep)
    assert list(damaged) == [str(day / kma_name("coms", "ir1", TIMES[2]))]
    assert "cannot be read" in next(iter(damaged.values()))
    kept = [0, 1, 2, 3] if keep == "keep" else [0, 3]
    assert store.times.tolist() == TIMES[kept].astype("datetime64[s]").tolist()
    if keep == "keep":
        _, valid = store.read(0, 4)
        expected = np.ones((4, 3), bool)
        expected[1, 2] = expected[2, 0] = False
        np.testing.assert_array_equal(valid.all((2, 3)), expected)
        np.testing.assert_array_equal(valid.any((2, 3)), expected)
        np.testing.assert_allclose(store.missing_ratio, [0, 1 / 3, 1 / 3, 0], rtol=1e-6)


def test_counts_of_gk2a_are_kept_and_what_quality_flags_mark_is_missing(tmp_path: Path) -> None:
    counts = IMAGES.astype(np.uint16) * 16
    counts[1, 0, :5] |= 1 << 15
    (tmp_path / "files").mkdir()
    for image, time in zip(counts, TIMES, strict=True):
        for plane, band in zip(image, ("ir105", "sw038", "wv069"), strict=True):
            variable = (("dim_image_y", "dim_image_x"), plane, {BITS: np.uint8(12)})
            path = tmp_path / "files" / kma_name("gk2a", band, time, "nc")
            xr.Dataset({"image_pixel_values": variable}).to_netcdf(path, engine="h5netcdf")
    store, damaged = ingested(tmp_path)
    assert (damaged, store.sensor, store.bands) == ({}, "gk2a", ("ir", "swir", "wv"))
    assert (str(store.dtype), store.scale.tolist()) == ("uint16", [4095] * 3)
    images, valid = store.read(0, 4)
    expected, good = plain_area_mean(counts[1, 0], counts[1, 0] < 4096, 4, LEAST_SHARE)
    np.testing.assert_array_equal(valid[1, 0], good)
    np.testing.assert_array_equal(images[1, 0], np.where(good, np.rint(expected), 0))
    assert (~valid).any((1, 2, 3)).tolist() == [False, True, False, False]


def test_a_file_that_changed_its_size_since_is_damaged(tmp_path: Path) -> None:
    write_pngs(tmp_path / "files", IMAGES, TIMES, BANDS)
    index = index_frames(FrameSpec(files=str(tmp_path / "files"), side_px=4))
    header = common_header(index, index.entries, None)
    source = FrameSource.of(index, header, layout_of(index, header))
    Image.fromarray(IMAGES[0, 0, 1:]).save(str(index.entries[0].where))
    found = dict(source.planes(index.entries))
    assert "is 9 x 13 uint8, the series 10 x 13 uint8" in str(found[index.entries[0]])
    assert not isinstance(found[index.entries[1]], ValueError)


def test_too_few_frames_cannot_tell_what_stands_still(tmp_path: Path) -> None:
    write_pngs(tmp_path / "files", IMAGES, TIMES, BANDS)
    with pytest.raises(ValueError, match="4 frames, of which 4 can be read, are too few"):
        ingested(tmp_path, burned_in={"lines": True})


def test_units_are_named_by_their_files() -> None:
    one, other = FrameBlock("s", 3, 255, ()), FrameBlock("s", 3, 256, ())
    assert one.unit == "s/b00003-00000000000000ff"
    assert one.unit != other.unit
