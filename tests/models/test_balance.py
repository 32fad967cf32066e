"""Balance: the counts of the source document, and what is touched and what is not."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.balance import imbalance, undersampled

NAMES = [3, 10, 12, 15, 20, 21, 24, 27, 30, 34, 39, 40, 41, 44, 45, 46, 50, 52]


def document() -> dict[str, int]:
    """Return the counts of the source document: 25,503 images, two classes of 6,189 and 6,206, 18 with 13,108."""
    rest = dict.fromkeys((f"L2_{n}" for n in NAMES), 760)
    rest["L2_40"] = 180
    rest["L2_3"] += 13_108 - sum(rest.values())
    return rest | {"L2_25": 6_189, "L2_33": 6_206}


def test_the_document_keeps_728_of_each_over_full_class():
    counts = document()
    judged = imbalance(counts)
    assert sum(counts.values()) == 25_503
    assert judged.over_full == ("L2_25", "L2_33")
    assert judged.target == 728, "13,108 / 18 = 728.2"
    assert "class imbalance: L2_25 (6189), L2_33 (6206)" in judged.verdict
    labels = np.repeat(list(counts), list(counts.values()))
    removed = undersampled(labels, judged, seed=3)
    left = Counter(np.delete(labels, removed).tolist())
    assert left == counts | {"L2_25": 728, "L2_33": 728}
    assert sum(left.values()) == 14_564
    assert np.array_equal(removed, undersampled(labels, judged, seed=3))
    assert not np.array_equal(removed, undersampled(labels, judged, seed=4))


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 60), max_size=8), st.floats(1.1, 5))
def test_only_over_full_classes_are_touched_and_they_keep_the_mean_of_the_rest(counts, times):
    judged = imbalance(counts, times)
    labels = np.repeat(list(counts), list(counts.values())) if counts else np.array([], str)
    left = Counter(np.delete(labels, undersampled(labels, judged)).tolist())
    rest = [count for name, count in counts.items() if count and name not in judged.over_full]
    for name, count in counts.items():
        wanted = min(count, max(1, round(sum(rest) / len(rest)))) if name in judged.over_full else count
        assert left[name] == wanted
    assert judged.verdict.count("class imbalance") <= 1


def test_even_and_single_and_empty_classes():
    assert imbalance({"a": 10, "b": 12}).verdict.startswith("no class imbalance: 10 to 12 images a class")
    assert "1 class with images: nothing to balance; without any image: b" in imbalance({"a": 10, "b": 0}).verdict
    assert imbalance({}).over_full == ()
    with pytest.raises(ValueError, match="above 1"):
        imbalance({"a": 1}, 1.0)


def test_a_class_without_a_name_may_be_over_full_too():
    assert imbalance({"": 90, "a": 10, "b": 12, "c": 9}).over_full == ("",)
