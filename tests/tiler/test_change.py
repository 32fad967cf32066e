"""Change between two maps: every pixel is of one kind, and what is sure follows the formula."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tiler.change import (
    BACKGROUND,
    GAINED,
    LOST,
    MOST_SIGNIFICANT,
    NAMES,
    PERHAPS_GAINED,
    PERHAPS_LOST,
    STABLE,
    Doubt,
    Seen,
    change_of,
    log_odds,
)
from tiler.classes import NO_CLASS

NUMBERS = st.one_of(st.floats(-6, 6, width=32), st.just(float("nan")))
LOGITS = arrays(np.float32, (2, 3, 5), elements=NUMBERS)
SPREADS = arrays(np.float32, (2, 3, 5), elements=st.floats(0, 3, width=32))


def seen(logit: np.ndarray, spread: np.ndarray) -> Seen:
    return Seen(logit, np.where(np.isnan(logit), np.nan, spread).astype(np.float32), logit >= 0)


@given(LOGITS, SPREADS, st.floats(0, 4), st.floats(0, 2))
@settings(deadline=None)
def test_kinds_follow_the_formula(logits, spreads, z, least):
    found = change_of(*(seen(*one) for one in zip(logits, spreads, strict=True)), Doubt(z, least))
    for place in np.ndindex(3, 5):
        (before, after), (one, other) = logits[:, *place], spreads[:, *place]
        kind = int(found.kind[place])
        if np.isnan(before) or np.isnan(after):
            assert kind == NO_CLASS
            assert np.isnan(found.difference[place])
            assert np.isnan(found.significance[place])
            continue
        sure = abs(after - before) > max(np.float32(z * np.hypot(one, other)), least)
        expected = {
            (False, False): BACKGROUND,
            (True, True): STABLE,
            (False, True): GAINED if sure else PERHAPS_GAINED,
            (True, False): LOST if sure else PERHAPS_LOST,
        }[bool(before >= 0), bool(after >= 0)]
        assert kind == expected
        assert 0 <= found.significance[place] <= MOST_SIGNIFICANT


@given(LOGITS, SPREADS)
@settings(deadline=None)
def test_backwards_what_was_gained_is_lost(logits, spreads):
    one, other = (seen(*pair) for pair in zip(logits, spreads, strict=True))
    there, back = change_of(one, other, Doubt()), change_of(other, one, Doubt())
    turned = np.arange(256)
    turned[[GAINED, LOST, PERHAPS_GAINED, PERHAPS_LOST]] = LOST, GAINED, PERHAPS_LOST, PERHAPS_GAINED
    np.testing.assert_array_equal(turned[there.kind], back.kind)
    np.testing.assert_array_equal(there.difference, -back.difference)


def test_a_spread_next_to_nothing_is_as_significant_as_can_be():
    tiny, none = np.full((1, 2), 1e-44, np.float32), np.zeros((1, 2), np.float32)
    one, other = (Seen(np.full((1, 2), logit, np.float32), tiny, np.array([[logit >= 0] * 2])) for logit in (-1, 4))
    for before in (one, Seen(one.logit, none, one.inside)):
        assert (change_of(before, other, Doubt()).significance == MOST_SIGNIFICANT).all()


def test_several_classes_are_the_best_one_against_background():
    logits = np.array([[1.0, 4.0], [2.0, 1.0], [-1.0, 3.0]], np.float32)[:, None]
    spread = np.array([[0.3, 0.3], [0.4, 9.0], [9.0, 0.4]], np.float32)[:, None]
    ahead, combined = log_odds(logits, spread)
    np.testing.assert_allclose(ahead, [[1.0, -1.0]])
    np.testing.assert_allclose(combined, [[0.5, 0.5]])
    assert len(NAMES) == 6
