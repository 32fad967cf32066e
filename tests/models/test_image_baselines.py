"""Trivial rules: they solve what is trivial, and thresholds are the best of all, found by trying them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.image_baselines import best_threshold_f1, logistic_regression, nearest_centroid, otsu_threshold

numbers = st.lists(st.integers(0, 40), min_size=2, max_size=30)


@pytest.mark.parametrize("rule", [nearest_centroid, logistic_regression])
def test_classes_that_lie_apart_are_told_whatever_the_unit(rule):
    random = np.random.default_rng(0)
    labels = np.repeat([0, 2, 3], 15)
    rows = random.normal(size=(45, 3)) + np.array([[0, 0, 0], [9, 0, 0], [0, 9, 0]])[np.repeat([0, 1, 2], 15)]
    rows[:, 2] = 5.0
    shuffled = random.permutation(45)
    for unit in (1.0, 1000.0):
        found = rule(unit * rows[shuffled], labels[shuffled], unit * rows)
        assert found.tolist() == labels.tolist()


@given(numbers)
def test_otsus_threshold_divides_with_the_largest_variance_between(values):
    column = np.array(values, float)
    threshold = otsu_threshold(column)

    def between(at: float) -> float:
        low, high = column[column < at], column[column >= at]
        return len(low) * len(high) * (low.mean() - high.mean()) ** 2 if len(low) and len(high) else -1.0

    if len(set(values)) == 1:
        assert (column < threshold).all()
    else:
        assert between(threshold) == pytest.approx(max(between(at) for at in np.unique(column)[1:]))


@given(numbers, st.integers(0, 2**30))
def test_no_threshold_is_better_than_the_best(values, bits):
    column = np.array(values, float)
    truth = np.array([bits >> place & 1 == 1 for place in range(len(values))])

    def f1(said: np.ndarray) -> float:
        return 2 * (said & truth).sum() / max(said.sum() + truth.sum(), 1)

    levels = np.append(np.unique(column), column.max() + 1)
    tried = [f1(side) for at in levels for side in (column < at, column >= at)]
    assert best_threshold_f1(column, truth) == pytest.approx(max(tried))
