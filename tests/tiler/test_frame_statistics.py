"""Mean and deviation of bands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiler.frames_for_tests import write_frames
from tiler.frame_statistics import FrameMoments, frame_moments
from tiler.frame_store import FrameStore

TIMES = np.datetime64("2011-03-01T00:00") + 3 * np.arange(70).astype("timedelta64[h]")


def data(seed: int, frames: int, dtype: str = "uint8") -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, np.iinfo(dtype).max, (frames, 3, 3, 5), endpoint=True).astype(dtype)
    return images, rng.random(images.shape) > 0.3


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 6), st.sampled_from(["uint8", "uint16", "int16"]))
def test_parts_add_up_to_the_whole_exactly(seed: int, at: int, dtype: str) -> None:
    images, valid = data(seed, 6, dtype)
    whole = FrameMoments.of(images, valid)
    assert FrameMoments.of(images[:at], valid[:at]) + FrameMoments.of(images[at:], valid[at:]) == whole
    assert FrameMoments.none(3) + whole == whole
    mean, deviation = whole.scaling()
    for band in range(3):
        numbers = images[:, band][valid[:, band]].astype(np.longdouble)
        assert mean[band] == pytest.approx(float(numbers.mean()), rel=1e-12)
        assert deviation[band] == pytest.approx(float(numbers.std()), rel=1e-12)


def test_large_numbers_with_a_small_spread_are_no_trouble() -> None:
    images = np.full((4, 1, 50, 50), 65500, np.uint16)
    images[0, 0, 0, 0] += 1
    _, deviation = FrameMoments.of(images, np.ones(images.shape, bool)).scaling()
    assert deviation[0] == pytest.approx(np.sqrt((1 - 1e-4) * 1e-4), rel=1e-12)


def test_only_the_frames_that_were_chosen_count(tmp_path: Path) -> None:
    images, valid = data(1, 70)
    store = FrameStore(write_frames(tmp_path, images, valid, TIMES, ("ir", "swir", "wv")))
    training = np.array([*range(0, 50), 69, 3])
    mean, deviation = frame_moments(store, training).scaling()
    chosen = np.unique(training)
    some = np.ma.masked_array(images[chosen].astype(float), ~valid[chosen])
    np.testing.assert_allclose(mean, some.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(deviation, some.std((0, 2, 3)), rtol=1e-12)
    assert frame_moments(store, training) != frame_moments(store, np.arange(70))


def test_a_band_that_tells_nothing_cannot_be_scaled() -> None:
    images, valid = data(0, 2)
    valid[:, 1] = False
    with pytest.raises(ValueError, match=r"bands \[1\] have no valid pixel"):
        FrameMoments.of(images, valid).scaling()
    valid[:, 1], images[:, 1] = True, 7
    with pytest.raises(ValueError, match=r"bands \[1\] have one number"):
        FrameMoments.of(images, valid).scaling()
