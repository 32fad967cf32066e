"""Scores of a classification of whole images, all computed from one confusion matrix of integers.

`matrix[label, prediction]` counts images. Counts add up exactly, in any order: the scores are the same for one worker
and for many, and for any order of the images. A ratio of nothing to nothing is 0, as the field has it, and such ratios
are counted (`undefined`), because 0 for "never predicted" and 0 for "always wrong" are not the same.

    precision_c = n_cc / predicted_c      recall_c = n_cc / support_c      F1_c = 2 n_cc / (predicted_c + support_c)
    macro: mean over all classes    micro: of all counts together, which is the accuracy    weighted: by support
    balanced accuracy: mean recall over the classes that have support
    kappa = (accuracy - chance) / (1 - chance), chance = sum of label share times prediction share   (Cohen 1960)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

COLLAPSE_SHARE = 0.25
"""Below this share of the labels' spread over classes, predictions count as collapsed."""


def classification_scores(matrix: np.ndarray) -> dict[str, float]:
    """Return the scores of a confusion matrix (K, K).

    Keys: `accuracy`, `balanced_accuracy`, `macro_f1`, `micro_f1`, `weighted_f1`, `macro_precision`, `macro_recall`,
    `kappa`, `predicted_entropy` and `label_entropy` (bits), `undefined` (precisions, recalls and F1s of classes that
    are nothing to nothing). All are NaN without an image, `undefined` excepted.
    Raises ValueError: the matrix is not square.
    """
    counts = _checked(matrix)
    precision, recall, f1, undefined = _ratios(counts)
    support, predicted, total = counts.sum(1), counts.sum(0), int(counts.sum())
    if not total:
        names = (*_OF_IMAGES, "predicted_entropy", "label_entropy")
        return {**dict.fromkeys(names, float("nan")), "undefined": float(undefined)}
    accuracy = float(np.trace(counts) / total)
    chance = float((support / total) @ (predicted / total))
    values = (
        *(accuracy, float(recall[support > 0].mean()), float(f1.mean()), accuracy, float(f1 @ support / total)),
        *(float(precision.mean()), float(recall.mean()), (accuracy - chance) / (1 - chance) if chance < 1 else 0.0),
    )
    spread = {"predicted_entropy": entropy_bits(predicted), "label_entropy": entropy_bits(support)}
    return dict(zip(_OF_IMAGES, values, strict=True)) | spread | {"undefined": float(undefined)}


_OF_IMAGES = (
    *("accuracy", "balanced_accuracy", "macro_f1", "micro_f1", "weighted_f1"),
    *("macro_precision", "macro_recall", "kappa"),
)
SCORES = (*_OF_IMAGES, "predicted_entropy", "label_entropy", "undefined")
"""The keys of `classification_scores`."""


def class_rows(matrix: np.ndarray, names: Sequence[str]) -> list[dict[str, str | float]]:
    """Return one row per class: class, precision, recall, f1, support (images), predicted (images).

    names: of the classes, in the order of the matrix.
    Raises ValueError: not one name per class.
    """
    counts = _checked(matrix)
    if len(counts) != len(names):
        raise ValueError(f"A confusion matrix {counts.shape} cannot be named {list(names)}. Give one name per class.")
    precision, recall, f1, _ = _ratios(counts)
    support, predicted = counts.sum(1), counts.sum(0)
    return [
        {
            "class": name,
            "precision": float(precision[place]),
            "recall": float(recall[place]),
            "f1": float(f1[place]),
            "support": int(support[place]),
            "predicted": int(predicted[place]),
        }
        for place, name in enumerate(names)
    ]


@dataclass(frozen=True)
class Collapse:
    """Whether a classifier answers with few classes whatever it sees."""

    collapsed: bool
    predicted_classes: float
    """Effective number of classes that it answers with: 2 to the entropy of its answers."""
    labelled_classes: float
    """That of the labels."""
    most_predicted: int
    """Index of the class that it answers with most often; -1 without an image."""
    share: float
    """Of the answers that are this class."""


def collapse(matrix: np.ndarray, share: float = COLLAPSE_SHARE) -> Collapse:
    """Judge the spread of predictions over classes.

    The rule: with N = 2 ** entropy (bits), the number of equally frequent classes of that entropy, predictions have
    collapsed where N(predictions) - 1 < share * (N(labels) - 1). One class answered for all is 0 < ..., whatever the
    number of classes; labels that are themselves of one class cannot be collapsed upon. The entropy of the answers
    says nothing of their rightness: many classes with kappa near 0 are another fault, often labels in another order.
    """
    counts = _checked(matrix)
    predicted = counts.sum(0)
    answered, labelled = (2 ** entropy_bits(side) for side in (predicted, counts.sum(1)))
    total = int(counts.sum())
    if not total:
        return Collapse(False, float("nan"), float("nan"), -1, float("nan"))
    most = int(predicted.argmax())
    return Collapse(answered - 1 < share * (labelled - 1), answered, labelled, most, float(predicted[most] / total))


def entropy_bits(counts: np.ndarray) -> float:
    """Return the entropy of counts in bits, from 0 to log2 of their number; NaN where all are 0."""
    total = counts.sum()
    if not total:
        return float("nan")
    shares = counts[counts > 0] / total
    return float(max(0.0, -(shares * np.log2(shares)).sum()))


def majority(matrix: np.ndarray) -> np.ndarray:
    """Return the confusion matrix of always answering the most frequent label: the baseline to beat."""
    support = _checked(matrix).sum(1)
    answered = np.zeros_like(np.asarray(matrix, np.int64))
    answered[:, int(support.argmax())] = support
    return answered


def _ratios(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    hit, support, predicted = np.diagonal(counts), counts.sum(1), counts.sum(0)
    pairs = ((hit, predicted), (hit, support), (2 * hit, support + predicted))
    undefined = sum(int((below == 0).sum()) for _, below in pairs)
    precision, recall, f1 = (above / np.maximum(below, 1) for above, below in pairs)
    return precision, recall, f1, undefined


def _checked(matrix: np.ndarray) -> np.ndarray:
    counts = np.asarray(matrix, np.int64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ValueError(f"A confusion matrix is (classes, classes), got {counts.shape}. Count labels by predictions.")
    return counts
