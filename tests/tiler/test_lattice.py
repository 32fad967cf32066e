"""The lattice: every pixel is seen, nothing hangs over a larger scene, shards partition the windows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiler.grids import Box
from tiler.lattice import Lattice

few = settings(max_examples=80, deadline=None)


@st.composite
def lattices(draw):
    tile = 32 * draw(st.integers(1, 6))
    overlap = 32 * draw(st.integers(0, tile // 64))
    return Lattice(draw(st.integers(1, 900)), draw(st.integers(1, 900)), tile, overlap)


def places(lattice):
    return [(row, col) for row in range(lattice.rows) for col in range(lattice.cols)]


@few
@given(lattices())
def test_every_pixel_is_covered(lattice):
    covered = np.zeros((lattice.height, lattice.width), bool)
    for place in places(lattice):
        covered[lattice.window(*place).clip(Box(0, 0, lattice.height, lattice.width)).slices] = True
    assert covered.all()


@few
@given(lattices())
def test_windows_stay_inside_and_neighbours_overlap_at_least_as_asked(lattice):
    for length, count, starts in (
        (lattice.height, lattice.rows, [lattice.window(r, 0).y0 for r in range(lattice.rows)]),
        (lattice.width, lattice.cols, [lattice.window(0, c).x0 for c in range(lattice.cols)]),
    ):
        assert starts[0] == 0
        assert starts[:-1] == [i * lattice.stride_px for i in range(count - 1)]
        if length <= lattice.tile_px:
            assert count == 1
        else:
            assert starts[-1] + lattice.tile_px == length
            steps = np.diff(starts)
            assert (steps > 0).all()
            assert (steps <= lattice.tile_px - lattice.overlap_px).all()
    for place in places(lattice):
        window = lattice.window(*place)
        assert (window.height, window.width) == (lattice.tile_px, lattice.tile_px)


@few
@given(lattices(), st.data())
def test_touching_equals_brute_force(lattice, data):
    y0, x0 = data.draw(st.integers(-200, 1000)), data.draw(st.integers(-200, 1000))
    box = Box(y0, x0, y0 + data.draw(st.integers(0, 400)), x0 + data.draw(st.integers(0, 400)))
    brute = [p for p in places(lattice) if not box.empty and not lattice.window(*p).clip(box).empty]
    assert list(lattice.touching(box)) == brute


@few
@given(st.integers(1, 9000), st.integers(1, 9000))
def test_shards_partition_the_windows(height, width):
    lattice = Lattice(height, width)
    shards = [list(lattice.shard(row, col)) for row in range(lattice.shard_rows) for col in range(lattice.shard_cols)]
    assert all(shards), "a shard without windows would be a unit of work that does nothing"
    assert sorted(place for shard in shards for place in shard) == places(lattice)
    counts = [lattice.windows_in(row, col) for row in range(lattice.shard_rows) for col in range(lattice.shard_cols)]
    assert counts == [len(shard) for shard in shards]
    side = 1 if lattice.rows * lattice.cols <= 64 else 4
    assert lattice.shard_windows == side
    assert max(len(shard) for shard in shards) <= side**2


def test_a_scene_smaller_than_a_window_has_one_that_hangs_over():
    lattice = Lattice(70, 300, tile_px=320, overlap_px=32)
    assert (lattice.rows, lattice.cols) == (1, 1)
    assert lattice.window(0, 0) == Box(0, 0, 320, 320)


def test_numbers_of_the_usual_lattice():
    # Aberystwyth: 947 x 930 at 512/64 has 2 x 2 windows, the second row shifted back from 448 to 435.
    lattice = Lattice(947, 930)
    assert [lattice.window(r, c) for r, c in places(lattice)] == [
        Box(0, 0, 512, 512),
        Box(0, 418, 512, 930),
        Box(435, 0, 947, 512),
        Box(435, 418, 947, 930),
    ]
    # 512 + 7 * 448 = 3648: the largest scene of 64 windows, and one pixel more.
    assert (Lattice(3648, 3648).shard_windows, Lattice(3648, 3649).shard_windows) == (1, 4)
    assert (Lattice(3648, 3649).shard_rows, Lattice(3648, 3649).shard_cols) == (2, 3)


@few
@given(lattices())
def test_the_own_parts_of_windows_cover_the_scene_once(lattice):
    counts = np.zeros((lattice.height, lattice.width), int)
    for row in range(lattice.rows):
        for col in range(lattice.cols):
            own = lattice.own(row, col)
            assert own.clip(lattice.window(row, col)) == own
            counts[own.slices] += 1
    assert (counts == 1).all()


@pytest.mark.parametrize("place", [(-1, 0), (0, -1), (2, 0), (0, 2)])
def test_a_window_outside_is_an_error(place):
    with pytest.raises(IndexError, match="lattice of 2 x 2"):
        Lattice(947, 930).window(*place)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ((0, 5), "at least 1 x 1 px, got 0 x 5"),
        ((9, 5, 100), "multiple of 32, got 100"),
        ((9, 5, 0), "multiple of 32, got 0"),
        ((9, 5, 512, 40), "from 0 to 256, got 40"),
        ((9, 5, 512, 288), "from 0 to 256, got 288"),
        ((9, 5, 512, -32), "from 0 to 256, got -32"),
    ],
)
def test_impossible_lattices_are_refused(values, says):
    with pytest.raises(ValueError, match=says):
        Lattice(*values)
