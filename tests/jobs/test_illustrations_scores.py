"""Removals beside planted truth, and the difference between two networks on the same images."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from jobs.illustrations_scores import oracle_f1, paired_differences, read_kinds, removed_of, threshold_removals

RANDOM = np.random.default_rng(5)


def test_a_removal_is_scored_as_scikit_learn_has_it():
    removed, photo = RANDOM.random(50) > 0.6, RANDOM.random(50) > 0.4
    found = removed_of(removed, photo)
    assert found.f1 == pytest.approx(f1_score(photo, removed))
    assert found.lost == int((removed & ~photo).sum())
    assert found.lost_share == pytest.approx(found.lost / (~photo).sum())
    nothing = removed_of(np.zeros(50, bool), photo)
    assert (nothing.precision, nothing.recall, nothing.f1, nothing.lost_share) == (0, 0, 0, 0)
    assert removed_of(photo, np.zeros(50, bool)).recall == 0


def test_dark_photos_are_found_by_a_threshold_and_no_threshold_beats_the_best():
    photo = np.arange(40) < 15
    pixel = np.where(photo, RANDOM.normal(60, 9, 40), RANDOM.normal(220, 9, 40))
    rules = threshold_removals(pixel, photo)
    assert rules["darker than Otsu's threshold"].f1 == oracle_f1(pixel, photo) == 1
    assert rules["everything"].lost_share == 1
    pixel[0] = 230
    assert rules["everything"].f1 < threshold_removals(pixel, photo)["darker than Otsu's threshold"].f1 < 1
    assert oracle_f1(pixel, photo) >= threshold_removals(pixel, photo)["darker than Otsu's threshold"].f1
    assert np.isnan(oracle_f1(pixel, np.zeros(40, bool)))


def test_the_difference_of_networks_is_paired_and_blind_to_the_order():
    labels = RANDOM.integers(0, 4, 120)
    worse = np.where(RANDOM.random(120) < 0.5, labels, 0)
    better = np.where(RANDOM.random(120) < 0.6, labels, worse)
    found = paired_differences(labels, better, worse, 4, resamples=200)
    assert found["accuracy"].value == pytest.approx((better == labels).mean() - (worse == labels).mean())
    assert found["macro_f1"].value == pytest.approx(
        f1_score(labels, better, average="macro") - f1_score(labels, worse, average="macro")
    )
    assert 0 < found["accuracy"].low < found["accuracy"].value < found["accuracy"].high
    same = paired_differences(labels, better, better, 4, resamples=20)
    assert (same["macro_f1"].low, same["macro_f1"].value, same["macro_f1"].high) == (0, 0, 0)
    order = RANDOM.permutation(120)
    again = paired_differences(labels[order], better[order], worse[order], 4, resamples=200)
    assert {name: one.value for name, one in again.items()} == pytest.approx({n: one.value for n, one in found.items()})


def test_kinds_are_read_by_path_and_must_be_whole(tmp_path):
    path = tmp_path / "truth.csv"
    path.write_text("path,kind\nimages/a/1.png,photo\nb/2.png,illustration\n")
    assert read_kinds(path, ["b/2.png", "a/1.png"]).tolist() == [False, True]
    with pytest.raises(ValueError, match="1 of 3 images have no line"):
        read_kinds(path, ["b/2.png", "a/1.png", "c/3.png"])
    path.write_text("file,label\na,photo\n")
    with pytest.raises(ValueError, match="path and kind are needed"):
        read_kinds(path, ["a"])
    with pytest.raises(ValueError, match="no such file"):
        read_kinds(tmp_path / "none.csv", ["a"])
