"""The logit store: windows come back to float16, whole shards at a time; a NaN is refused, or quarantined."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tests.windows import window_of
from tiler.lattice import Lattice
from tiler.logit_store import (
    Flag,
    LogitStore,
    WindowShard,
    create_logit_store,
    wanted_windows,
    window_shards,
)

SMALL = Lattice(100, 210, 64, 32)
LARGE = Lattice(9 * 32 + 64, 11 * 32 + 33, 64, 32)  # 10 x 12 windows: shards of 4 x 4, the last ones partly empty


def windows(lattice, layers, scale=9.0):
    return {
        (row, col): np.random.default_rng([row, col]).normal(size=(layers, 64, 64), scale=scale).astype(np.float16)
        for row in range(lattice.rows)
        for col in range(lattice.cols)
    }


def make(url, lattice, classes=("urban", "water"), wanted=None):
    create_logit_store(url, "scene", lattice, classes, wanted)
    return LogitStore(url)


def fill(store, values, order=1):
    for shard in list(window_shards("scene", store.lattice))[::order]:
        places = store.windows_of(shard)
        layers = store.layers, store.lattice.tile_px, store.lattice.tile_px
        store.write(shard, places, np.array([values[place] for place in places], np.float16).reshape(-1, *layers))


@pytest.mark.parametrize("lattice", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("order", [1, -1])
def test_every_window_comes_back(lattice, order, tmp_path):
    store = make(f"{tmp_path}/s", lattice)
    values = windows(lattice, store.layers)
    fill(store, values, order)
    again = LogitStore(f"{tmp_path}/s")
    for place, written in values.items():
        assert_array_equal(window_of(again, *place), written)
    assert again.lattice == lattice
    assert again.classes == ("urban", "water")
    assert again.layers == 4


def test_shards_are_padded_beyond_64_windows(tmp_path):
    assert (LARGE.rows, LARGE.cols) == (10, 12)
    store = make(f"{tmp_path}/s", LARGE, ("urban",))
    array = store.group["logits"]
    assert array.shape == (12, 12, 2, 64, 64)
    assert array.shards == (4, 4, 2, 64, 64)
    assert array.chunks == (1, 1, 2, 64, 64)
    assert len(list(window_shards("scene", LARGE))) == 9
    assert len(store.windows_of(WindowShard("scene", 2, 1))) == 8
    assert store.write(WindowShard("scene", 2, 1), [], np.empty((0, 2, 64, 64), np.float16)) == 16 * 2 * 64 * 64 * 2


def test_a_window_is_a_shard_up_to_64(tmp_path):
    store = make(f"{tmp_path}/s", SMALL, ("urban",))
    assert store.group["logits"].shards is None
    assert store.group["logits"].chunks == (1, 1, 2, 64, 64)
    assert [s.unit for s in window_shards("scene", SMALL)][:2] == ["scene/r0_c0", "scene/r0_c1"]


def test_writing_one_shard_touches_no_other(tmp_path):
    store = make(f"{tmp_path}/s", LARGE)
    values = windows(LARGE, store.layers)
    fill(store, values)
    new = np.full((4, 64, 64), 7.5, np.float16)
    store.write(WindowShard("scene", 1, 0), [(4, 0)], new[None])
    assert_array_equal(window_of(store, 4, 0), new)
    assert not window_of(store, 4, 1).any(), "a window left out of its shard is zero"
    assert_array_equal(window_of(store, 3, 0), values[3, 0])
    assert_array_equal(window_of(store, 4, 4), values[4, 4])


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_and_nothing_is_written(bad, tmp_path):
    store = make(f"{tmp_path}/s", SMALL)
    values = np.ones((4, 64, 64), np.float16)
    values[3, 2, 1] = bad
    with pytest.raises(ArithmeticError, match=r"window \(1, 2\) of scene: the networks gave NaN or infinite"):
        store.write(WindowShard("scene", 1, 2), [(1, 2)], values[None])
    assert not window_of(store, 1, 2).any()


@pytest.mark.parametrize("lattice", [SMALL, LARGE], ids=["small", "large"])
def test_quarantined_windows_are_nan_in_the_store_and_not_among_those_to_be_used(lattice, tmp_path):
    """The others of their shard are written; whatever was flagged before, the last writing of a shard counts."""
    store = make(f"{tmp_path}/s", lattice)
    values = windows(lattice, store.layers)
    said = {
        (1, 1): Flag.NAN,
        (1, 2): Flag.INFINITE | Flag.INFINITE_INPUT,
        (0, 2): Flag.CLAMPED,
        (3 % lattice.rows, 3): Flag(16),
    }
    values[1, 1] = np.full_like(values[1, 1], np.nan)

    def write(flags):
        for shard in window_shards("scene", lattice):
            places = store.windows_of(shard)
            store.write(shard, places, np.stack([values[place] for place in places]), flags)

    write(said)
    again = LogitStore(f"{tmp_path}/s")
    expected = np.zeros((lattice.rows, lattice.cols), np.uint8)
    for place, flag in said.items():
        expected[place] = flag
    assert_array_equal(again.flags, expected)
    assert again.lacks_windows
    for place, written in values.items():
        if place in ((1, 1), (1, 2)):
            assert window_of(again, *place) is None
            assert np.isnan(again.windows(place[0], place[1], place[1] + 1)[0]).all()
        else:
            assert_array_equal(window_of(again, *place), written)
    values[1, 1] = values[0, 0]
    write({(0, 2): Flag.CLAMPED})
    redone = LogitStore(f"{tmp_path}/s")
    assert np.argwhere(redone.flags).tolist() == [[0, 2]]
    assert not redone.lacks_windows
    assert_array_equal(window_of(redone, 1, 1), values[0, 0])


def test_where_nothing_is_to_be_known_nothing_is_written_or_read(tmp_path, monkeypatch):
    store = make(f"{tmp_path}/s", LARGE)
    fill(store, windows(LARGE, store.layers))
    assert [p.name for p in (tmp_path / "s" / "flags").rglob("*")] == ["zarr.json"]
    again = LogitStore(f"{tmp_path}/s")
    read = type(again._flags).__getitem__
    asked = []
    monkeypatch.setattr(type(again._flags), "__getitem__", lambda self, at: asked.append(self.path) or read(self, at))
    assert not again.flags.any()
    assert again.flags.shape == (10, 12)
    assert "flags" not in asked


@pytest.mark.parametrize("value", [65504, -65504, 6e-8, -0.0])
def test_the_ends_of_float16_are_no_faults(value, tmp_path):
    store = make(f"{tmp_path}/s", SMALL)
    values = np.full((4, 64, 64), value, np.float16)
    store.write(WindowShard("scene", 1, 2), [(1, 2)], values[None])
    assert_array_equal(window_of(store, 1, 2), values)


def test_unwanted_windows_are_none(tmp_path):
    wanted = np.zeros((LARGE.rows, LARGE.cols), bool)
    wanted[1, 2] = wanted[9, 11] = True
    store = make(f"{tmp_path}/s", LARGE, wanted=wanted)
    assert store.windows_of(WindowShard("scene", 0, 0)) == [(1, 2)]
    assert store.windows_of(WindowShard("scene", 1, 1)) == []
    values = windows(LARGE, store.layers)
    fill(store, values)
    seen = {place for place in values if window_of(store, *place) is not None}
    assert seen == {(1, 2), (9, 11)}
    assert_array_equal(window_of(store, 9, 11), values[9, 11].astype(np.float16))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 99))
def test_a_window_is_wanted_where_it_holds_a_touched_block(height, width, seed):
    lattice = Lattice(height, width, 64, 32)
    blocks = np.random.default_rng(seed).random((-(-height // 32), -(-width // 32))) > 0.85
    pixels = blocks.repeat(32, 0).repeat(32, 1)[:height, :width]
    found = wanted_windows(lattice, blocks)
    for row in range(lattice.rows):
        for col in range(lattice.cols):
            window = lattice.window(row, col)
            # A shifted window may begin inside a block: the whole block counts then.
            whole = blocks[window.y0 // 32 : -(-window.y1 // 32), window.x0 // 32 : -(-window.x1 // 32)].any()
            assert found[row, col] == whole
            assert found[row, col] >= pixels[window.slices].any()
    assert wanted_windows(lattice, None) is None
