"""Fusion over time: the sums over all paths of states, which here are few enough to be listed."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiler.temporal import Chain, smoothed

PROBABILITY = st.floats(0.01, 0.99)
CHAINS = st.builds(Chain, PROBABILITY, PROBABILITY, PROBABILITY)
LOGITS = st.lists(st.one_of(st.floats(-8, 8), st.just(float("nan"))), min_size=1, max_size=5)


def by_paths(logits: list[float], chain: Chain) -> np.ndarray:
    """Return the probability of the class at each date: the paths that have it there, of all paths."""
    chances, total = np.zeros(len(logits)), 0.0
    for path in itertools.product((0, 1), repeat=len(logits)):
        chance = chain.prior if path[0] else 1 - chain.prior
        for before, after in itertools.pairwise(path):
            change = chain.loss if before else chain.gain
            chance *= change if before != after else 1 - change
        for state, logit in zip(path, logits, strict=True):
            if not np.isnan(logit):
                p = 1 / (1 + np.exp(-logit))
                chance *= p / chain.prior if state else (1 - p) / (1 - chain.prior)
        total += chance
        chances += chance * np.array(path)
    return chances / total


@given(LOGITS, CHAINS)
@settings(deadline=None)
def test_it_is_the_sum_over_all_paths(logits, chain):
    found = smoothed(np.array(logits)[:, None, None], chain)[:, 0, 0]
    np.testing.assert_allclose(1 / (1 + np.exp(-found)), by_paths(logits, chain), atol=1e-9)


@given(st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=4), st.floats(0.05, 0.95))
@settings(deadline=None)
def test_dates_that_have_nothing_to_do_with_each_other_stay_as_they_are(logits, prior):
    """Where the next state does not depend on this one, no date says anything of another."""
    found = smoothed(np.array(logits)[:, None, None], Chain(gain=prior, loss=1 - prior, prior=prior))
    np.testing.assert_allclose(found[:, 0, 0], logits, atol=1e-6)


def test_a_flicker_goes_and_a_change_that_stays_is_kept():
    flicker, change = [3.0, 2.5, -0.8, 3.0, 2.0], [-3.0, -2.0, 2.0, 3.0, 2.5]
    found = smoothed(np.array([flicker, change], np.float32).T[:, :, None], Chain())[:, :, 0] > 0
    assert found[:, 0].all()
    assert found[:, 1].tolist() == [False, False, True, True, True]


def test_what_a_date_did_not_see_the_others_tell_and_nothing_overflows():
    nothing = np.full((3, 1, 2), np.nan)
    assert np.isfinite(smoothed(nothing, Chain())).all()
    logits = np.array([1e4, np.nan, 1e4, -1e4], np.float32)[:, None, None]
    found = smoothed(logits, Chain())[:, 0, 0]
    assert np.isfinite(found).all()
    assert found[1] > 0
    assert found[3] < 0


@pytest.mark.parametrize("name", ["gain", "loss", "prior"])
@pytest.mark.parametrize("value", [0.0, 1.0, -0.1])
def test_certainties_are_no_probabilities(name, value):
    with pytest.raises(ValueError, match=name):
        Chain(**{name: value})
