import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from models.classification_scores import (
    SCORES,
    class_rows,
    classification_scores,
    collapse,
    entropy_bits,
    majority,
)

ANSWERS = st.integers(2, 6).flatmap(
    lambda k: st.tuples(st.just(k), st.lists(st.tuples(st.integers(0, k - 1), st.integers(0, k - 1)), min_size=1))
)


def matrix_of(pairs, classes) -> np.ndarray:
    matrix = np.zeros((classes, classes), np.int64)
    for label, answer in pairs:
        matrix[label, answer] += 1
    return matrix


@settings(deadline=None, max_examples=60)
@given(ANSWERS)
def test_scores_equal_scikit_learns(drawn):
    classes, pairs = drawn
    labels, answers = (list(side) for side in zip(*pairs, strict=True))
    scores = classification_scores(matrix_of(pairs, classes))
    named = {"labels": range(classes), "zero_division": 0}
    assert tuple(scores) == SCORES
    for name in ("macro", "micro", "weighted"):
        assert scores[f"{name}_f1"] == pytest.approx(metrics.f1_score(labels, answers, average=name, **named))
    assert scores["accuracy"] == pytest.approx(metrics.accuracy_score(labels, answers))
    assert scores["macro_recall"] == pytest.approx(metrics.recall_score(labels, answers, average="macro", **named))
    precision = metrics.precision_score(labels, answers, average="macro", **named)
    assert scores["macro_precision"] == pytest.approx(precision)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are answered and not there
        assert scores["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(labels, answers))
        kappa = metrics.cohen_kappa_score(labels, answers)
    assert scores["kappa"] == pytest.approx(0.0 if np.isnan(kappa) else kappa, abs=1e-12)
    rows = class_rows(matrix_of(pairs, classes), [f"c{i}" for i in range(classes)])
    table = metrics.precision_recall_fscore_support(labels, answers, **named)
    for name, column in zip(("precision", "recall", "f1", "support"), table, strict=True):
        assert [row[name] for row in rows] == pytest.approx(column.tolist())
    zeros = sum(labels.count(i) == 0 for i in range(classes)) + sum(answers.count(i) == 0 for i in range(classes))
    both = sum(labels.count(i) == answers.count(i) == 0 for i in range(classes))
    assert scores["undefined"] == zeros + both


@given(ANSWERS, st.randoms())
def test_the_order_of_images_does_not_matter(drawn, random):
    classes, pairs = drawn
    shuffled = list(pairs)
    random.shuffle(shuffled)
    first, second = (classification_scores(matrix_of(p, classes)) for p in (pairs, shuffled))
    assert list(first.values()) == list(second.values())


def test_nothing_to_score_is_nan():
    scores = classification_scores(np.zeros((3, 3)))
    assert scores["undefined"] == 9
    assert all(value != value for name, value in scores.items() if name != "undefined")
    with pytest.raises(ValueError, match=r"is \(classes, classes\), got \(2, 3\)"):
        classification_scores(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="one name per class"):
        class_rows(np.eye(2), ["a"])


def test_entropy_is_that_of_equally_frequent_classes():
    assert entropy_bits(np.array([5, 5, 5, 5])) == pytest.approx(2)
    assert entropy_bits(np.array([0, 9, 0])) == 0
    assert np.isnan(entropy_bits(np.zeros(3)))


@pytest.mark.parametrize("classes", [2, 3, 20])
def test_one_answer_for_all_is_a_collapse_for_any_number_of_classes(classes):
    matrix = np.zeros((classes, classes), np.int64)
    matrix[:, 1] = 7
    found = collapse(matrix)
    assert found.collapsed
    assert (found.most_predicted, found.share) == (1, 1.0)
    assert found.predicted_classes == pytest.approx(1)
    assert found.labelled_classes == pytest.approx(classes)
    assert not collapse(np.eye(classes, dtype=int)).collapsed
    assert not collapse(np.roll(np.eye(classes, dtype=int), 1, axis=1)).collapsed  # wrong, but not for this reason


def test_the_documents_table_is_a_collapse():
    # one of 20 classes answered for nearly all of 3,187 images, as its F1 of 0.22 beside zeros says
    labels = np.full(20, 159)
    matrix = np.zeros((20, 20), np.int64)
    matrix[:, 4] = labels - 2
    matrix[np.arange(20), np.arange(20)] += 2
    assert collapse(matrix).collapsed
    assert classification_scores(matrix)["macro_f1"] < 0.05


def test_labels_of_one_class_cannot_be_collapsed_upon():
    assert not collapse(np.array([[9, 0], [0, 0]])).collapsed
    assert not collapse(np.zeros((2, 2))).collapsed


def test_the_majority_answers_the_most_frequent_label():
    matrix = np.array([[3, 1, 0], [2, 5, 1], [0, 1, 0]])
    baseline = majority(matrix)
    assert baseline.tolist() == [[0, 4, 0], [0, 8, 0], [0, 1, 0]]
    assert classification_scores(baseline)["accuracy"] == pytest.approx(8 / 13)
    assert classification_scores(baseline)["kappa"] == 0
