"""The frame store: what is written is read, gaps stay gaps, and a store grows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiler.frames_for_tests import write_frames
from tiler.frame_store import (
    BLOCK_SLOTS,
    EMPTY,
    FrameLayout,
    FrameStore,
    blocks_made_of,
    fill_frames,
    make_frame_store,
)
from tiler.stores import open_dataset, open_group

BANDS = ("ir", "swir", "wv")
START = np.datetime64("2011-02-26T03:00")


def series(
    hours: list[int], seed: int = 0, shape: tuple[int, int] = (5, 7)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, validity and times at some multiples of three hours."""
    rng = np.random.default_rng(seed)
    images = rng.integers(1, 256, (len(hours), 3, *shape), np.uint8)
    valid = rng.random(images.shape) > 0.2
    valid[:, 0, 0, 0] = True  # a frame without any valid pixel is none
    return images, valid, START + np.array(hours, "timedelta64[h]")


def layout(**changes: object) -> FrameLayout:
    values = {
        "series": "coms", "sensor": "COMS", "bands": BANDS, "height_px": 5, "width_px": 7, "dtype": "uint8",
        "step_s": 10800, "phase_s": 0, "first_slot": 0, "offset": (0.0,) * 3, "scale": (255.0,) * 3,
    }  # fmt: skip
    return FrameLayout(**(values | changes))  # type: ignore[arg-type]


def test_what_is_written_is_read_and_gaps_stay_gaps(tmp_path: Path) -> None:
    hours = [0, 3, 6, 12, 15, 3 * 150, 3 * 151, 3 * 153]
    images, valid, times = series(hours)
    store = FrameStore(write_frames(tmp_path, images, valid, times, BANDS))
    assert store.times.tolist() == times.astype("datetime64[s]").tolist()
    assert (store.series, store.bands, store.step_s, len(store)) == ("coms", BANDS, 10800, 8)
    read, seen = store.read(2, 7)
    np.testing.assert_array_equal(seen, valid[2:7])
    np.testing.assert_array_equal(read, np.where(valid, images, 0)[2:7])
    np.testing.assert_allclose(store.missing_ratio, 1 - valid.mean((1, 2, 3)), rtol=1e-6)
    some = [7, 0, 0, 3]
    np.testing.assert_array_equal(store.take(some)[0], np.where(valid, images, 0)[some])
    assert store.read(3, 3)[0].shape == (0, 3, 5, 7)


@settings(max_examples=8, deadline=None)
@given(st.sets(st.integers(0, 300), min_size=1, max_size=12), st.integers(0, 3), st.integers(0, 2**31))
def test_any_part_is_that_part_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, slots: set, at: int, seed: int
) -> None:
    images, valid, times = series([3 * s for s in sorted(slots)], seed)
    store = FrameStore(write_frames(tmp_path_factory.mktemp("s"), images, valid, times, BANDS))
    whole, seen = store.read(0, len(store))
    start = min(at, len(store))
    np.testing.assert_array_equal(store.read(start, len(store))[0], whole[start:])
    np.testing.assert_array_equal(whole, np.where(valid, images, 0))
    np.testing.assert_array_equal(seen, valid)


def test_frames_that_are_not_there_are_not_read(tmp_path: Path) -> None:
    store = FrameStore(write_frames(tmp_path, *series([0, 3]), BANDS))
    with pytest.raises(IndexError, match=r"\[1, 3\) were asked for; coms has 2"):
        store.read(1, 3)
    with pytest.raises(IndexError, match="-1"):
        store.take([-1])


def test_a_frame_without_a_valid_pixel_is_absent(tmp_path: Path) -> None:
    images, valid, times = series([0, 3, 6])
    valid[1] = False
    store = FrameStore(write_frames(tmp_path, images, valid, times, BANDS))
    assert store.times.tolist() == times[[0, 2]].astype("datetime64[s]").tolist()


def test_the_digest_names_the_content(tmp_path: Path) -> None:
    images, valid, times = series([0, 3, 6])
    first = FrameStore(write_frames(tmp_path / "a", images, valid, times, BANDS))
    again = FrameStore(write_frames(tmp_path / "b", images, valid, times, BANDS))
    assert first.digest == again.digest
    hidden = np.where(valid, images, images + 1)  # what is missing has no content
    assert FrameStore(write_frames(tmp_path / "c", hidden, valid, times, BANDS)).digest == first.digest
    changed = images.copy()
    changed[1, 0, 0, 0] ^= 1
    other = FrameStore(write_frames(tmp_path / "d", changed, valid, times, BANDS))
    assert other.digest != first.digest
    assert (other.digests != first.digests).tolist() == [False, True, False]
    later = FrameStore(write_frames(tmp_path / "e", images, valid, times + np.timedelta64(3, "h"), BANDS))
    assert later.digest != first.digest


def test_a_store_grows_by_whole_blocks_and_keeps_what_it_has(tmp_path: Path) -> None:
    images, valid, _ = series([0, 3])
    url = str(tmp_path / "s.zarr")
    make_frame_store(url, layout(), 1)
    fill_frames(open_group(url), 0, [1, 63], images, valid, made_of=7)
    before = FrameStore(url)
    make_frame_store(url, layout(), 3)
    assert FrameStore(url).digest == before.digest
    assert blocks_made_of(url).tolist() == [7, EMPTY, EMPTY]
    fill_frames(open_group(url), 2, [0], images[:1], valid[:1], made_of=9)
    make_frame_store(url, layout(), 2)  # never shrinks
    store = FrameStore(url)
    assert store.times.tolist() == layout().times_of(np.array([1, 63, 128])).tolist()
    np.testing.assert_array_equal(store.take([2, 1])[0], np.where(valid, images, 0)[[0, 1]])
    assert blocks_made_of(url).tolist() == [7, EMPTY, 9]


def test_a_block_that_was_being_written_does_not_look_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, valid, _ = series([0])
    url = str(tmp_path / "s.zarr")
    make_frame_store(url, layout(), 1)
    fill_frames(open_group(url), 0, [3], images, valid, made_of=7)
    import tiler.frame_store as module

    plain = module.write_shard

    def killed(array, place, values, past_cache=False):  # type: ignore[no-untyped-def]
        if array.path == "valid":
            raise KeyboardInterrupt
        plain(array, place, values, past_cache)

    monkeypatch.setattr(module, "write_shard", killed)
    with pytest.raises(KeyboardInterrupt):
        fill_frames(open_group(url), 0, [3], images + 1, valid, made_of=8)
    assert blocks_made_of(url).tolist() == [EMPTY]


def test_slots_that_are_named_no_more_become_empty(tmp_path: Path) -> None:
    images, valid, _ = series([0, 3])
    url = str(tmp_path / "s.zarr")
    make_frame_store(url, layout(), 1)
    fill_frames(open_group(url), 0, [1, 2], images, valid, made_of=7)
    fill_frames(open_group(url), 0, [2], images[1:], valid[1:], made_of=8)
    assert FrameStore(url).times.tolist() == layout().times_of(np.array([2])).tolist()
    with pytest.raises(ValueError, match="not within its 64 slots"):
        fill_frames(open_group(url), 0, [BLOCK_SLOTS], images[1:], valid[1:], made_of=8)


@given(st.integers(1, 10**6), st.integers(-5, 5), st.integers(-(10**6), 10**6))
def test_slots_and_times_are_each_others_inverse(step_s: int, phase: int, slot: int) -> None:
    one = layout(step_s=step_s, phase_s=phase % step_s)
    times = one.times_of(np.array([slot]))
    assert one.slots_of(times).tolist() == [slot]
    late = times + np.timedelta64((step_s - 1) // 2, "s")
    assert one.slots_of(late).tolist() == [slot]


def test_xarray_opens_it_with_times(tmp_path: Path) -> None:
    images, valid, times = series([0, 3, 12])
    dataset = open_dataset(write_frames(tmp_path, images, valid, times, BANDS))
    at = dataset.sel(time=times[2]).compute()
    np.testing.assert_array_equal(at["image"], np.where(valid, images, 0)[2])
    assert list(dataset["band"].values) == list(BANDS)


def test_unit_images_lie_between_0_and_1(tmp_path: Path) -> None:
    images, valid, times = series([0, 3])
    unit, _ = FrameStore(write_frames(tmp_path, images, valid, times, BANDS)).unit_images(0, 2)
    np.testing.assert_allclose(unit, np.where(valid, images, 0) / 255, rtol=1e-6)
    assert unit.dtype == np.float32


def test_a_layout_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="no multiple of 64"):
        layout(first_slot=3)
    with pytest.raises(ValueError, match="must differ"):
        layout(bands=("ir", "ir", "wv"))
