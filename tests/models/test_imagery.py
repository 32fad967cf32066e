"""Imagery: tiles cut from it have what the pixels say, the fill where they are missing, a mask, and what is ready."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.imagery import Imagery

DTYPES = ("uint8", "uint16", "int16", "float32")


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 99),
    bands=st.integers(1, 4),
    more=st.integers(0, 2),
    dtype=st.sampled_from(DTYPES),
    corners=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 18)), max_size=4),
)
def test_a_tile_is_what_lies_there(seed, bands, more, dtype, corners):
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 65535 if dtype in ("uint16", "float32") else 127, (bands, 20, 27)).astype(dtype)
    if dtype == "float32":
        pixels[random.random(pixels.shape) < 0.1] = np.nan  # stores may keep NaN where nothing is valid
    valid = (random.random((20, 27)) > 0.3) & np.isfinite(pixels).all(axis=0)
    fill, ready = random.random(bands), random.random((more, 20, 27)).astype(np.float32)
    imagery = Imagery.of(pixels, valid, fill, ready, "cpu")
    tiles = imagery.tiles(corners, 9)
    assert tiles.dtype == torch.float32
    assert tiles.shape == (len(corners), bands + 1 + more, 9, 9)
    assert imagery.channels == bands + 1 + more
    filled = np.where(valid, pixels.astype(np.float32), fill.astype(np.float32)[:, None, None])
    whole = np.concatenate([filled, ~valid[None], ready])
    for (row, col), tile in zip(corners, tiles.numpy(), strict=True):
        np.testing.assert_array_equal(tile, whole[:, row : row + 9, col : col + 9])


def test_arrays_that_may_not_be_written_are_no_trouble():
    pixels = np.arange(24, dtype=np.uint16).reshape(1, 4, 6)
    pixels.setflags(write=False)
    imagery = Imagery.of(pixels, np.ones((4, 6), bool), np.zeros(1), np.zeros((0, 4, 6), np.float32), "cpu")
    np.testing.assert_array_equal(imagery.tiles([(1, 2)], 2)[0, 0], [[8, 9], [14, 15]])


@pytest.mark.gpu
def test_a_gpu_cuts_the_same_tiles():
    random = np.random.default_rng(0)
    arrays = (
        random.integers(0, 65535, (4, 40, 60)).astype(np.uint16),
        random.random((40, 60)) > 0.3,
        random.random(4),
        random.random((1, 40, 60)).astype(np.float32),
    )
    here, there = (Imagery.of(*arrays, device).tiles([(0, 0), (3, 17)], 32) for device in ("cpu", "cuda"))
    torch.testing.assert_close(here, there.cpu(), rtol=0, atol=0)
