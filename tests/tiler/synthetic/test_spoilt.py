import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiler.synthetic.worlds import CLEAR
from tiler.synthetic.acquisition import RESPONSES
from tiler.synthetic.spoilt import KINDS, Spoilt, spoiling_of

STRENGTHS = st.floats(0, 1)


def image(height: int = 31, width: int = 44) -> np.ndarray:
    random = np.random.default_rng(5)
    out = random.integers(200, 4000, (4, height, width)).astype(np.uint16)
    out[:, :5, :7] = 0
    return out


def test_a_share_of_all_chips_is_spoilt_in_all_ways_alike():
    found = [spoiling_of(3, number, 0.2) for number in range(1, 4001)]
    kinds = [one.kind for one in found if one is not None]
    assert len(kinds) == pytest.approx(800, abs=100)
    for kind in KINDS:
        assert kinds.count(kind) == pytest.approx(len(kinds) / 4, abs=50)
    assert found == [spoiling_of(3, number, 0.2) for number in range(1, 4001)]
    more = [spoiling_of(3, number, 0.4) for number in range(1, 4001)]
    assert all(after == before for before, after in zip(found, more, strict=True) if before is not None)
    assert {spoiling_of(3, number, 0.0) for number in range(1, 100)} == {None}


@given(st.sampled_from(KINDS), STRENGTHS)
@settings(max_examples=40, deadline=None)
def test_what_is_missing_stays_missing_and_nothing_else_becomes_it(kind, strength):
    before = image()
    after = Spoilt(kind, strength).spoil(before)
    assert (after.dtype, after.shape) == (before.dtype, before.shape)
    assert np.array_equal(after == 0, before == 0)
    if kind in ("cloud", "hole"):
        assert after is before, "these are weather"


@given(STRENGTHS)
def test_haze_is_brightest_in_blue_and_flattens_the_ground(strength):
    before = image()
    after = Spoilt("haze", strength).spoil(before).astype(float)
    seen = before[0] > 0
    assert (after[:, seen] >= before[:, seen]).all()
    rise = [(after[band] - before[band])[seen].mean() for band in range(4)]
    assert rise[2] == max(rise)
    assert after[:, seen].std() < before[:, seen].std()


def test_another_sensor_has_its_own_numbers_and_pixels():
    before = image()
    after = Spoilt("sensor", 0.5).spoil(before)
    ratio = RESPONSES["LS30"].gain / RESPONSES["SN10"].gain
    assert after[1, 9:12, 12:15].std() == 0
    assert after[1, 10, 13] == pytest.approx(before[1, 9:12, 12:15].mean() * ratio, abs=0.51)
    assert after[2, -1, -1] == pytest.approx(before[2, 27:, 39:].mean() * ratio, abs=0.51), "the last block is larger"


@given(STRENGTHS)
def test_weather_is_worse_with_strength(strength):
    assert Spoilt("cloud", strength).weather(CLEAR).clouds == pytest.approx(0.45 + 0.5 * strength)
    assert Spoilt("hole", strength).weather(CLEAR).missing == pytest.approx(0.35 + 0.6 * strength)
    assert Spoilt("haze", strength).weather(CLEAR) == Spoilt("sensor", strength).weather(CLEAR) == CLEAR
