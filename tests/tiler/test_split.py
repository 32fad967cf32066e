"""Held-back blocks: a function of scene and place alone, about as many as asked, whole blocks only."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from pydantic import ValidationError

from tiler.grids import Box
from tiler.split import Split

few = settings(max_examples=60, deadline=None)
splits = st.builds(Split, block_px=st.integers(1, 130), fraction=st.floats(0, 0.99), seed=st.integers(-(2**70), 2**70))


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.35, 0.9])
@pytest.mark.parametrize("seed", [0, 7, -1])
def test_about_as_many_blocks_as_asked_are_held_back(fraction, seed):
    held = Split(block_px=1, fraction=fraction, seed=seed).held_back("scene", Box(0, 0, 150, 200))
    deviation = np.sqrt(fraction * (1 - fraction) / held.size)
    assert abs(held.mean() - fraction) <= 4.5 * deviation
    # No rows or columns of a pattern: every one of them has about its share.
    for axis in (0, 1):
        assert np.abs(held.mean(axis) - fraction).max() <= 5.5 * np.sqrt(fraction * (1 - fraction) / 150)


@few
@given(splits, st.data())
def test_a_cut_changes_nothing(split, data):
    whole = Box(0, 0, 300, 400)
    full = split.held_back("scene", whole)
    y0, x0 = data.draw(st.integers(0, 299)), data.draw(st.integers(0, 399))
    box = Box(y0, x0, data.draw(st.integers(y0 + 1, 300)), data.draw(st.integers(x0 + 1, 400)))
    assert_array_equal(split.held_back("scene", box), full[box.slices])


@few
@given(splits)
def test_blocks_are_held_back_whole(split):
    n = split.block_px
    held = split.held_back("scene", Box(0, 0, 3 * n, 4 * n)).reshape(3, n, 4, n)
    assert_array_equal(held, np.broadcast_to(held[:, :1, :, :1], held.shape))


def test_places_outside_the_scene_get_an_answer_too():
    held = Split(block_px=10).held_back("scene", Box(-35, -20, 15, 40))
    assert held.shape == (50, 60)
    assert_array_equal(held[35:, 20:], Split(block_px=10).held_back("scene", Box(0, 0, 15, 40)))
    assert_array_equal(held[5:15], np.broadcast_to(held[5:6], (10, 60)))


def test_scenes_and_seeds_are_independent():
    box = Box(0, 0, 100, 120)
    held = [
        Split(block_px=1, fraction=0.5, seed=seed).held_back(scene, box)
        for scene, seed in (("a", 0), ("b", 0), ("a", 1), ("a", 2**64 - 1))
    ]
    for i, one in enumerate(held):
        for other in held[:i]:
            assert 0.45 < (one == other).mean() < 0.55
    assert_array_equal(held[0], Split(block_px=1, fraction=0.5, seed=0).held_back("a", box))


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 0.9), st.floats(0, 0.09))
def test_a_larger_fraction_holds_back_more_of_the_same(fraction, more):
    box = Box(0, 0, 60, 70)
    some = Split(block_px=3, fraction=fraction).held_back("scene", box)
    all_ = Split(block_px=3, fraction=fraction + more).held_back("scene", box)
    assert (some <= all_).all()


@pytest.mark.parametrize("values", [{"fraction": 1}, {"fraction": -0.1}, {"block_px": 0}, {"blocks": 3}])
def test_impossible_splits_are_refused(values):
    with pytest.raises(ValidationError, match=next(iter(values))):
        Split(**values)
