import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.confusion import confusion
from models.metrics import all_positive, class_ious, class_scores, class_table, imagewise_iou_fg, scores

SHAPE = (2, 3, 5)
LABELS = arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 255]))
PREDICTIONS = arrays(np.bool_, SHAPE)


@given(LABELS, PREDICTIONS)
def test_scores_equal_sets(labels, predictions):
    seen = labels != 255
    truth, found = (labels == 1) & seen, predictions & seen
    result = scores(confusion(labels, predictions, 2))

    def same(value, part, whole):
        assert math.isnan(value) if whole == 0 else value == pytest.approx(part / whole)

    same(result["iou_fg"], (truth & found).sum(), (truth | found).sum())
    same(result["iou_bg"], (seen & ~truth & ~found).sum(), (seen & ~(truth & found)).sum())
    same(result["dice"], 2 * (truth & found).sum(), truth.sum() + found.sum())
    same(result["precision"], (truth & found).sum(), found.sum())
    same(result["recall"], (truth & found).sum(), truth.sum())
    same(result["accuracy"], (seen & (truth == found)).sum(), seen.sum())


def test_all_positive_baseline_at_the_coverage_of_the_reported_data():
    labels = np.zeros((10, 100), np.uint8)
    labels.ravel()[:825] = 1
    noise = np.random.default_rng(0).random(labels.shape) > 0.5
    baseline = scores(all_positive(confusion(labels, noise, 2)))
    assert baseline == scores(confusion(labels, np.ones_like(labels), 2))
    assert baseline["iou_fg"] == pytest.approx(0.825)
    assert baseline["mIoU"] == pytest.approx(0.4125)
    assert baseline["recall"] == 1


def test_an_empty_class_is_left_out_and_reported():
    result = scores(np.array([[7, 0], [0, 0]]))
    assert result["mIoU"] == 1
    assert result["empty_classes"] == 1
    assert math.isnan(result["iou_fg"])
    nothing = scores(np.zeros((2, 2), int))
    assert math.isnan(nothing["mIoU"])
    assert nothing["empty_classes"] == 2
    np.testing.assert_array_equal(class_ious(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])), [3 / 4, 4 / 5, np.nan])


def test_imagewise_iou_counts_empty_as_right():
    labels = np.array([[[0, 0, 255]], [[1, 1, 0]], [[1, 0, 255]], [[0, 0, 0]]], np.uint8)
    predictions = np.array([[[0, 0, 1]], [[1, 0, 1]], [[1, 0, 1]], [[1, 0, 0]]])
    np.testing.assert_allclose(imagewise_iou_fg(labels, predictions), [1, 1 / 3, 1, 0])


def test_wrong_inputs_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 2\) confusion matrix"):
        scores(np.zeros((3, 3), int))


@given(arrays(np.int64, (3, 3), elements=st.integers(0, 9)))
def test_scores_of_several_classes_equal_sets(matrix):
    pixels = [(t, p) for t in range(3) for p in range(3) for _ in range(matrix[t, p])]
    result, rows = class_scores(matrix), class_table(matrix, ("a", "b", "c"))
    ious, dices = [], []
    for c in range(3):
        both, either = sum(t == p == c for t, p in pixels), sum(c in pair for pair in pixels)
        sizes = sum(t == c for t, _ in pixels), sum(p == c for _, p in pixels)
        row = rows[c]
        assert (row["class"], row["labelled"], row["predicted"]) == ("abc"[c], *sizes)
        for name, whole in (("recall", sizes[0]), ("precision", sizes[1]), ("iou", either)):
            assert math.isnan(row[name]) if whole == 0 else row[name] == pytest.approx(both / whole)
        if either:
            ious.append(both / either)
            dices.append(2 * both / sum(sizes))
            assert result[f"iou_{c}"] == pytest.approx(both / either)
            assert row["f1"] == pytest.approx(dices[-1])
        else:
            assert math.isnan(result[f"iou_{c}"])
            assert math.isnan(row["f1"])
    assert result["empty_classes"] == 3 - len(ious)
    if ious:
        assert result["mIoU"] == pytest.approx(np.mean(ious))
        assert result["macro_f1"] == pytest.approx(np.mean(dices))
        assert result["accuracy"] == pytest.approx(np.mean([t == p for t, p in pixels]))
    else:
        assert math.isnan(result["mIoU"])


def test_two_classes_have_the_mean_iou_of_the_binary_scores():
    matrix = np.array([[70, 5], [9, 16]])
    assert class_scores(matrix)["mIoU"] == scores(matrix)["mIoU"]
    assert class_table(matrix, ("background", "industrial"))[1]["f1"] == pytest.approx(scores(matrix)["dice"])
    with pytest.raises(ValueError, match="Give one name per class"):
        class_table(matrix, ("industrial",))
