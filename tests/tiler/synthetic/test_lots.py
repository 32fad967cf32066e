"""Blocks, lots and halls: nothing stands in the street, lots fill their block, covers take their shares."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiler.synthetic.lots import GROUND, METAL, Spots, border_m, choose, hall, lots, plain
from tiler.synthetic.spectra import CODE

WIDTH_M, DEPTH_M, STREET_M = 170.0, 120.0, 9.0


def block(key: int = 77, step_m: float = 1.0) -> tuple[Spots, tuple[int, int]]:
    """Every metre of one block, row by row."""
    a, b = np.meshgrid(np.arange(0.5, WIDTH_M, step_m), np.arange(0.5, DEPTH_M, step_m))
    n = a.size
    even = [np.full(n, value, np.float32) for value in (WIDTH_M, DEPTH_M, 0.5, -0.8)]
    return Spots(
        a.ravel().astype(np.float32), b.ravel().astype(np.float32), *even[:2],
        np.full(n, key, np.uint32), np.zeros(n, np.uint8), *even[2:],
    ), a.shape  # fmt: skip


def test_covers_take_their_shares():
    draw = np.random.default_rng(0).random(60_000)
    found = choose(METAL, draw)
    assert found.dtype == np.uint8
    for name, share in METAL.items():
        assert (found == CODE[name]).mean() == pytest.approx(share / sum(METAL.values()), abs=0.01)


@given(st.dictionaries(st.sampled_from(sorted(GROUND)), st.floats(0.01, 5), min_size=1))
def test_every_draw_is_answered_also_at_the_ends(shares):
    names = list(shares)
    found = choose(shares, np.array([0.0, np.nextafter(1.0, 0.0), 1.0]))
    assert found.tolist() == [CODE[names[0]], CODE[names[-1]], CODE[names[-1]]]


def test_the_border_is_the_nearest_of_four():
    spots, shape = block()
    found = border_m(spots).reshape(shape)
    assert found[0, 0] == 0.5
    assert found[60, 3] == 3.5
    assert found[118, 80] == 1.5
    assert found.max() == pytest.approx(DEPTH_M / 2, abs=0.5)
    np.testing.assert_array_equal(found, found[::-1, ::-1])


def test_what_throws_its_shadow_lies_towards_the_sun():
    spots, _ = block()
    moved = spots.moved(10.0)
    np.testing.assert_allclose(moved.a_m - spots.a_m, 5.0, rtol=1e-5)
    np.testing.assert_allclose(moved.b_m - spots.b_m, -8.0, rtol=1e-5)
    for same in ("w_m", "h_m", "key", "subtype"):
        np.testing.assert_array_equal(getattr(moved, same), getattr(spots, same))


def test_plain_ground_is_lit_and_of_one_cover():
    spots, _ = block(step_m=10)
    paint = plain(spots, "soil")
    assert (paint.cover == CODE["soil"]).all()
    assert (paint.tone == 1).all()
    assert not paint.shade.any()
    paint.cover[0] = 0
    assert plain(spots, "soil").cover[0] == CODE["soil"]


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_lots_fill_their_block_between_the_streets(key, largest):
    spots, shape = block(key, 2.0)
    a, width, depth, lot = (v.reshape(shape) for v in lots(spots, STREET_M, largest))
    built = border_m(spots).reshape(shape) > STREET_M
    numbers = np.unique(lot[built])
    assert 1 <= len(numbers) <= largest
    assert width[0, 0] * len(numbers) == pytest.approx(WIDTH_M - 2 * STREET_M, rel=1e-5)
    assert depth[0, 0] == DEPTH_M - 2 * STREET_M
    assert a[built].min() >= -1e-3
    assert (a[built] <= width[built] + 1e-3).all()
    for col in range(shape[1]):
        assert len(np.unique(lot[:, col])) == 1  # lots are split along the width only


@given(st.integers(0, 2**32 - 1))
def test_a_hall_stands_in_its_lot_and_never_in_the_street(key):
    spots, shape = block(key)
    stands, lot = (v.reshape(shape) for v in hall(spots, STREET_M, 4))
    assert not stands[border_m(spots).reshape(shape) <= STREET_M].any()
    for number in np.unique(lot[stands]):
        rows, cols = np.nonzero(stands & (lot == number))
        a, width, depth, _ = (v.reshape(shape) for v in lots(spots, STREET_M, 4))
        own = stands & (lot == number)
        assert a[own].min() > 3  # the gap to the neighbour
        assert (width[own] - a[own]).min() > 3
        assert rows.max() < STREET_M + depth[0, 0] - 3
        assert len(rows) <= (np.ptp(rows) + 1) * (np.ptp(cols) + 1)


def test_halls_are_of_all_forms():
    """Whole, cut in two by a passage, or without a wing."""
    filled = []
    for key in range(60):
        spots, shape = block(key)
        stands, lot = (v.reshape(shape) for v in hall(spots, STREET_M, 4))
        for number in np.unique(lot[stands]):
            rows, cols = np.nonzero(stands & (lot == number))
            filled.append(len(rows) / ((np.ptp(rows) + 1) * (np.ptp(cols) + 1)))
    assert max(filled) == 1
    assert min(filled) < 0.85
    assert 0.2 < np.mean(np.array(filled) == 1) < 0.6
