"""Robust scores: odd classes in both directions, lonely images, and what has no spread."""

import numpy as np
import pytest

from models.outliers import class_levels, outlier_scores, robust_scale, robust_z


def test_z_is_that_of_a_normal_distribution_and_a_few_outliers_do_not_move_it():
    values = np.random.default_rng(1).normal(50, 4, 4000)
    values[:400] = 1e6
    z = robust_z(np.append(values, [50.0, 62.0, np.nan]))
    assert z[-3:-1] == pytest.approx([-0.1, 2.6], abs=0.4)
    assert np.isnan(z[-1])
    assert robust_z(np.array([])).shape == (0,)


def test_where_most_are_equal_the_others_still_count():
    assert robust_z(np.array([5.0] * 9 + [6.0]))[-1] > 3.5
    assert robust_z(np.full(4, 3.0)).tolist() == [0, 0, 0, 0]
    assert robust_scale(np.array([[1.0, 7.0], [1.0, 7.0]])).tolist() == [1, 1]


def test_classes_are_flagged_for_low_and_for_high_means():
    labels = np.repeat([f"L2_{i}" for i in range(20)], 30)
    values = np.random.default_rng(2).normal(220, 10, 600)
    for name, level in (("L2_3", 120), ("L2_12", 90), ("L2_7", 254.9)):
        values[labels == name] = level
    levels = class_levels([*labels, ""], np.append(values, 0.0))
    flagged = {one.name: one.z for one in levels if one.flagged}
    assert set(flagged) == {"L2_3", "L2_12", "L2_7"}
    assert flagged["L2_12"] < flagged["L2_3"] < -3.5 < 3.5 < flagged["L2_7"]
    for one in levels:
        assert one.mean == pytest.approx(values[labels == one.name].mean())
        assert one.images == 30


def test_two_classes_have_no_usual_level_and_unread_images_do_not_count():
    assert not any(one.flagged for one in class_levels(["a", "a", "b"], np.array([1.0, 1.0, 99.0])))
    assert [one.mean for one in class_levels(["a", "a", "b"], np.array([1.0, np.nan, np.nan]))] == [1.0]


def test_the_lonely_image_has_the_highest_score():
    rows = np.random.default_rng(3).normal(size=(80, 5))
    rows[17] += 30
    scores = outlier_scores(rows)
    assert scores.argmax() == 17
    assert scores[17] > 10 > np.delete(scores, 17).max()
    distance = np.sort(np.linalg.norm(rows[:, None] - rows, axis=2), axis=1)[:, 5]
    assert scores == pytest.approx(robust_z(distance))
    assert outlier_scores(rows[:2]).tolist() == [0, 0]
    assert len(outlier_scores(rows[:4])) == 4
