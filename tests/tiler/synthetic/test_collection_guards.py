"""What needs no context does not solve the image worlds (larger: benchmarks/collection_guards.py)."""

import numpy as np
import pytest

from benchmarks.collection_guards import best_f1, illustration_rows, iou, light_rows, photos_of, scratch_rules
from tiler.synthetic.illustrations import IllustrationWorld

SIDE_PX = 128


def test_thresholds_and_edges_do_not_find_scratches():
    found = scratch_rules(photos_of(1, 8, SIDE_PX), photos_of(2, 10, SIDE_PX))
    ceiling = found.pop("what is truly scratched")
    assert 0.2 < ceiling < 0.7
    assert found.pop("nothing, on photos with scratches") == 0
    assert max(found.values()) < 0.1


def test_light_removal_has_something_to_win():
    found = light_rows(photos_of(2, 14, SIDE_PX))
    assert found["photo and true colour"] < 0.75
    assert found["photo and light"] > 0.3
    # the bluntest removal is nearer to the detail of the true colour than the photo is
    assert found["photo without its wide light, and that detail"] > found["photo and detail of the true colour"] + 0.1


@pytest.mark.slow
def test_the_mean_pixel_tells_neither_photos_nor_classes():
    found = illustration_rows(IllustrationWorld(1, 1000, 4))
    assert 0.5 < found["F1 of photos by the mean, in the five classes"] < 0.9
    assert found["balanced accuracy of a tree of the mean, illustrations alone"] < 0.15
    assert found["balanced accuracy of a tree of the mean, all images"] < 0.15
    assert found["largest two classes over the mean of the rest"] == pytest.approx(8.5, abs=0.2)
    assert found["smallest class, share"] == pytest.approx(180 / 25_503, abs=1e-3)
    assert found["pairs of copies found by hash"] > 0.6
    assert found["pairs found that are none, per image"] < 0.2


def test_scores_are_what_they_are_called():
    one, other = np.array([[True, True, False]]), np.array([[False, True, True]])
    assert iou([one], [other]) == 1 / 3
    assert best_f1(np.array([1.0, 2, 3, 4]), np.array([True, True, False, False])) == 1
    assert best_f1(np.array([1.0, 2, 3, 4]), np.array([False, False, True, True])) == pytest.approx(2 / 3)
