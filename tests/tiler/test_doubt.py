"""Entropies: the textbook's formula in float64, bounds, and what members that agree or contradict each other give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tiler.doubt import doubts_of, entropy_of

SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(5, 7))


@st.composite
def members(draw) -> np.ndarray:
    """Probabilities (member, class, y, x): one class beside background, or several that add up to 1."""
    count, (classes, height, width) = draw(st.integers(1, 5)), draw(SHAPES)
    values = draw(arrays(np.float64, (count, classes, height, width), elements=st.floats(0, 1)))
    return values if classes == 1 else (values + 1e-9) / (values + 1e-9).sum(axis=1, keepdims=True)


def exact(p: np.ndarray) -> np.ndarray:
    """Entropy of (class, y, x) in float64."""
    p = np.concatenate([p, 1 - p]) if len(p) == 1 else p
    return -np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0), axis=0)


@given(members())
def test_total_is_what_each_is_unsure_of_and_what_they_contradict_each_other_in(answers):
    mean, alone = answers.mean(axis=0), np.mean([exact(one) for one in answers], axis=0)
    spread = np.arange(mean.size, dtype=np.float32).reshape(mean.shape)
    found = doubts_of(mean.astype(np.float32), alone.astype(np.float32), spread)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], exact(mean), atol=2e-6)
    np.testing.assert_allclose(found[1], exact(mean) - alone, atol=4e-6)
    assert found[1].min() >= 0
    assert found[0].max() <= np.log(max(2, answers.shape[1])) + 1e-6
    np.testing.assert_array_equal(found[2], spread[-1])
    if len(answers) == 1:
        assert found[1].max() < 4e-6


def test_contradiction_is_epistemic_and_ambiguity_is_not():
    contradict = doubts_of(np.full((1, 1, 1), 0.5, "f4"), np.zeros((1, 1), "f4"), np.zeros((1, 1, 1), "f4"))
    ambiguous = doubts_of(np.full((1, 1, 1), 0.5, "f4"), np.full((1, 1), np.log(2), "f4"), np.zeros((1, 1, 1), "f4"))
    np.testing.assert_allclose(contradict[:, 0, 0], [np.log(2), np.log(2), 0], rtol=1e-6)
    np.testing.assert_allclose(ambiguous[:, 0, 0], [np.log(2), 0, 0], atol=1e-6)


@pytest.mark.parametrize("classes", [1, 4])
def test_what_nobody_saw_is_unknown(classes):
    nothing = np.full((classes, 2, 3), np.nan, np.float32)
    assert np.isnan(doubts_of(nothing, nothing[0], nothing)).all()
    assert np.isnan(entropy_of(nothing)).all()
