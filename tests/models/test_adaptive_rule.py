"""The rule: margins, files that come back as they went, and files that are refused."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.adaptive_rule import BINS, STEP, Rule, bins_of, classes_in, logit_of, read_rule

PROBABILITY = st.floats(0.05, 0.95)


def rule(**changes) -> Rule:
    values = {
        "first": "one",
        "networks": ("a", "b"),
        "tta": "flips4",
        "average": "logit",
        "tile_px": 64,
        "threshold": 0.5,
        "change": tuple(np.linspace(0.5, 0, BINS).tolist()),
        "spread": tuple(np.linspace(1, 0.25, BINS).tolist()),
        "refine_above": 12.5,
        "bound": 0.01,
        "found": {"windows": 7},
    }
    return Rule(**{**values, **changes})


@given(PROBABILITY, st.floats(-14, 14))
def test_a_margin_is_the_distance_to_the_logit_of_the_threshold(probability, away):
    logit = np.full((1, 2, 3), logit_of(probability) + np.float32(away))
    expected = min(int(abs(logit[0, 0, 0] - logit_of(probability)) / np.float32(STEP)), BINS - 1)
    np.testing.assert_array_equal(bins_of(logit, probability), np.full((2, 3), expected))


def test_a_margin_of_several_classes_is_the_lead_of_the_best():
    logits = np.array([0.0, 3.0, 1.9], np.float32)[:, None, None]
    assert bins_of(logits, 0.5).tolist() == [[int(1.1 / STEP)]]
    assert bins_of(logits[::-1], 0.9).tolist() == [[int(1.1 / STEP)]]
    assert bins_of(np.zeros((3, 1, 1)), 0.5).tolist() == [[0]]


def test_the_class_is_where_the_probability_reaches_the_threshold():
    logits = np.array([[[-5.0, float(logit_of(0.7)), 0.9]]], np.float32)
    assert classes_in(logits, 0.7).tolist() == [[[False, True, True]]]
    assert classes_in(logits, 0.75).tolist() == [[[False, False, False]]]


def test_of_several_classes_background_is_left_out():
    logits = np.array([[2.0, 0, 0], [1, 3, 0], [0, 1, 4]], np.float32)[:, None]
    assert classes_in(logits, 0.5).tolist() == [[[False, True, False]], [[False, False, True]]]


def test_a_file_gives_the_rule_back():
    one = rule()
    again = read_rule(one.to_json())
    assert again == one
    assert again.digest() == one.digest()


def test_the_digest_is_of_what_maps_depend_on():
    assert rule(found={}, bound=0.5).digest() == rule().digest()
    for change in ({"first": "two"}, {"refine_above": 12.0}, {"spread": (0.0,) * BINS}, {"networks": ("a",)}):
        assert rule(**change).digest() != rule().digest()


def test_differences_name_what_is_not_as_it_was():
    assert rule().differences(tta="flips4", tile_px=64) == []
    assert rule().differences(tta="none", tile_px=64, threshold=0.4) == [
        "tta was 'flips4', is 'none'",
        "threshold was 0.5, is 0.4",
    ]


@pytest.mark.parametrize("data", [b"no json", b"[]", b"{}", json.dumps({"change": 1}).encode()])
def test_what_is_no_rule_is_refused(data):
    with pytest.raises(ValueError, match="sandan adapt"):
        read_rule(data)


def test_other_bins_are_refused():
    with pytest.raises(ValueError, match="make it anew"):
        read_rule(rule(change=(0.5, 0.25)).to_json())
