import pytest

from models.names import lookup


def test_a_known_name_gives_its_entry():
    assert lookup({"left": 1, "right": 2}, "right", "side") == 2


def test_an_unknown_name_is_answered_with_the_nearest_and_all_known():
    with pytest.raises(ValueError, match=r"Unknown side 'rigth'. Did you mean 'right'\? Known: left, right."):
        lookup({"left": 1, "right": 2}, "rigth", "side")


def test_a_name_near_to_nothing_gets_no_guess():
    with pytest.raises(ValueError, match=r"Unknown side 'zzz'\. Known"):
        lookup({"left": 1}, "zzz", "side")
