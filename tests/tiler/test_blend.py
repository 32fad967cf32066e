"""Blending: one smooth field cut into windows comes back, unlike windows meet in ramps, and no cut shows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tiler.blend import blend
from tiler.grids import Box
from tiler.lattice import Lattice

few = settings(max_examples=40, deadline=None)


@st.composite
def lattices(draw):
    tile = 32 * draw(st.integers(2, 5))
    overlap = 32 * draw(st.integers(1, tile // 64))
    return Lattice(draw(st.integers(1, 3 * tile)), draw(st.integers(1, 3 * tile)), tile, overlap)


def whole(lattice):
    return Box(0, 0, lattice.height, lattice.width)


def field(lattice, layers=2):
    """A smooth, lopsided field that reaches a window beyond the scene (what hangs over must not matter), float16."""
    y, x = np.mgrid[0 : lattice.height + lattice.tile_px, 0 : lattice.width + lattice.tile_px].astype(np.float32)
    return np.stack([np.sin(y / 17 + k) * 4 + np.cos(x / 29) * 3 - k for k in range(layers)]).astype(np.float16)


def by_row(read):
    """Turn what reads one window into what reads a part of a row; None means that it was not wanted."""

    def rows(row, first, last):
        found = [read(row, col) for col in range(first, last)]
        some = next((window for window in found if window is not None), np.zeros((1, 1, 1), np.float16))
        windows = np.stack([np.full_like(some, np.nan) if window is None else window for window in found])
        return windows, np.array([window is not None for window in found])

    return rows


def cut(values, lattice):
    return by_row(lambda row, col: values[(slice(None), *lattice.window(row, col).slices)])


def random_windows(lattice, layers=2):
    def read(row, col):
        rng = np.random.default_rng([row, col])
        return rng.normal(size=(layers, lattice.tile_px, lattice.tile_px)).astype(np.float16)

    return read


@few
@given(lattices())
def test_windows_cut_from_one_field_give_it_back(lattice):
    values = field(lattice)
    out, seen = blend(cut(values, lattice), lattice, whole(lattice), 2)
    assert seen.all()
    assert out.dtype == np.float32
    assert_allclose(out, values[:, : lattice.height, : lattice.width], atol=2e-6, rtol=1e-6)


@few
@given(lattices(), st.integers(0, 2**31))
def test_unlike_neighbours_meet_in_a_ramp(lattice, seed):
    constant = np.random.default_rng(seed).integers(0, 2, (lattice.rows, lattice.cols)).astype(np.float16)
    side = lattice.tile_px
    read = by_row(lambda row, col: np.full((1, side, side), constant[row, col]))
    out, _ = blend(read, lattice, whole(lattice), 1)
    # A shifted last window may begin to rise while its neighbour still does: two ramps at once.
    limit = 2.0 / lattice.overlap_px + 1e-6
    for axis in (1, 2):
        assert np.abs(np.diff(out, axis=axis)).max(initial=0) <= limit
    assert out.min() >= 0
    assert out.max() <= 1 + 1e-6


def test_regular_neighbours_meet_in_a_straight_ramp():
    lattice = Lattice(64, 96, 64, 32)
    out, _ = blend(by_row(lambda row, col: np.full((1, 64, 64), col, np.float16)), lattice, whole(lattice), 1)
    expected = np.concatenate([np.zeros(32), (np.arange(32) + 0.5) / 32, np.ones(32)])
    assert_allclose(out[0], np.broadcast_to(expected, (64, 96)), atol=1e-6)


@few
@given(lattices(), st.data())
def test_a_part_blended_alone_is_the_same_bit_for_bit(lattice, data):
    y0, x0 = data.draw(st.integers(0, lattice.height - 1)), data.draw(st.integers(0, lattice.width - 1))
    y1, x1 = data.draw(st.integers(y0 + 1, lattice.height)), data.draw(st.integers(x0 + 1, lattice.width))
    box, read = Box(y0, x0, y1, x1), random_windows(lattice)
    full, full_seen = blend(by_row(read), lattice, whole(lattice), 2)
    part, part_seen = blend(by_row(read), lattice, box, 2)
    assert_array_equal(part, full[(slice(None), *box.slices)])
    assert_array_equal(part_seen, full_seen[box.slices])


@few
@given(lattices())
def test_a_pixel_that_one_window_covers_keeps_its_value_exactly(lattice):
    read = random_windows(lattice)
    out, _ = blend(by_row(read), lattice, whole(lattice), 2)
    times = np.zeros((lattice.height, lattice.width), int)
    alone = np.zeros((2, lattice.height, lattice.width), np.float32)
    for row in range(lattice.rows):
        for col in range(lattice.cols):
            window = lattice.window(row, col)
            part = window.clip(whole(lattice))
            times[part.slices] += 1
            alone[(slice(None), *part.slices)] = read(row, col)[
                (slice(None), *part.shift(-window.y0, -window.x0).slices)
            ]
    assert (times == 1).any()
    assert_array_equal(out[:, times == 1], alone[:, times == 1])


def test_without_overlap_windows_stand_side_by_side():
    lattice = Lattice(64, 160, 64, 0)
    out, _ = blend(by_row(lambda row, col: np.full((1, 64, 64), col, np.float16)), lattice, whole(lattice), 1)
    assert_array_equal(out[0, :, :64], 0)
    assert_array_equal(out[0, :, 64:96], 1)
    assert_array_equal(out[0, :, 96:128], 1.5)
    assert_array_equal(out[0, :, 128:], 2)


def test_unwanted_windows_are_not_seen_and_weigh_nothing():
    lattice = Lattice(100, 290, 128, 32)  # columns start at 0, 96 and 162
    read = by_row(lambda row, col: None if col == 0 else np.full((1, 128, 128), 3.0 + col, np.float16))
    out, seen = blend(read, lattice, whole(lattice), 1)
    assert not seen[:, :96].any()
    assert seen[:, 96:].all()
    assert_array_equal(out[0, :, :96], 0)
    assert_allclose(out[0, :, 96:162], 4.0, rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_window_that_is_not_finite_is_a_fault_not_a_hole(bad):
    lattice = Lattice(100, 200, 128, 32)

    def read(row, col):
        values = np.zeros((1, 128, 128), np.float16)
        values[0, 5, 100] = bad if col == 1 else 0
        return values

    with pytest.raises(ArithmeticError, match=r"window \(0, 1\)"):
        blend(by_row(read), lattice, whole(lattice), 1)


@few
@given(lattices())
def test_each_row_of_windows_is_read_once(lattice):
    read, asked = by_row(random_windows(lattice)), []

    def counted(row, first, last):
        asked.append(row)
        return read(row, first, last)

    blend(counted, lattice, whole(lattice), 2)
    assert asked == list(range(lattice.rows))
