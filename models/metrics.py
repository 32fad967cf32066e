"""Scores of a segmentation, all computed from one confusion matrix of integers.

Integer counts add up exactly, in any order: the scores are the same for one worker and for many.
Definitions: iou_c = TP / (TP + FP + FN); mIoU = mean over the classes that occur; a prediction is
positive where sigmoid(logit) > 0.5, that is logit > 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # evaluation of a map reads scores in workers that need no torch
    from torch import Tensor

IGNORE = 255


def scores(matrix: np.ndarray | Tensor) -> dict[str, float]:
    """Return the scores of a binary confusion matrix (2, 2): class 0 is background, 1 is foreground.

    Keys: `mIoU` (mean of background and foreground IoU), `iou_fg`, `iou_bg`, `dice`, `precision`,
    `recall` (of the foreground), `accuracy`, and `empty_classes`: how many of the two occur neither in
    labels nor in predictions. Such a class has no IoU (NaN) and is left out of the mean; every other
    ratio of nothing to nothing is NaN too.
    Raises ValueError: the matrix is not (2, 2).
    """
    counts = np.asarray(matrix, dtype=np.int64)
    if counts.shape != (2, 2):
        raise ValueError(f"Binary scores need a (2, 2) confusion matrix, got {counts.shape}. See class_ious.")
    (true_negative, false_positive), (false_negative, true_positive) = counts.tolist()
    wrong = false_positive + false_negative
    ious = class_ious(counts)
    return {
        "mIoU": float(np.nanmean(ious)) if np.isfinite(ious).any() else float("nan"),
        "iou_fg": float(ious[1]),
        "iou_bg": float(ious[0]),
        "dice": _ratio(2 * true_positive, 2 * true_positive + wrong),
        "precision": _ratio(true_positive, true_positive + false_positive),
        "recall": _ratio(true_positive, true_positive + false_negative),
        "accuracy": _ratio(true_positive + true_negative, true_positive + true_negative + wrong),
        "empty_classes": float(np.isnan(ious).sum()),
    }


def class_scores(matrix: np.ndarray | Tensor) -> dict[str, float]:
    """Return the scores of a confusion matrix (K, K) of any number of classes.

    Keys: `mIoU` (mean IoU over the classes that occur in labels or predictions), `macro_f1` (mean over the same
    classes), `accuracy`, `empty_classes`, and `iou_0` to `iou_{K-1}` (NaN for a class that nowhere occurs).
    """
    counts = np.asarray(matrix, dtype=np.int64)
    ious = class_ious(counts)
    present = ious[np.isfinite(ious)]
    return {
        "mIoU": float(present.mean()) if present.size else float("nan"),
        # dice is a function of the IoU, class by class
        "macro_f1": float((2 * present / (1 + present)).mean()) if present.size else float("nan"),
        "accuracy": _ratio(int(np.trace(counts)), int(counts.sum())),
        "empty_classes": float(np.isnan(ious).sum()),
        **{f"iou_{c}": float(iou) for c, iou in enumerate(ious)},
    }


def class_table(matrix: np.ndarray | Tensor, names: Sequence[str]) -> list[dict[str, str | float]]:
    """Return one row per class: class, iou, f1, precision, recall, labelled (pixels), predicted (pixels).

    A ratio of nothing to nothing is NaN. names: of the classes, in the order of the matrix.
    Raises ValueError: not one name per class.
    """
    counts = np.asarray(matrix, dtype=np.int64)
    if counts.shape != (len(names), len(names)):
        raise ValueError(f"A confusion matrix {counts.shape} cannot be named {list(names)}. Give one name per class.")
    rows: list[dict[str, str | float]] = []
    for index, name in enumerate(names):
        hit, labelled, found = int(counts[index, index]), int(counts[index].sum()), int(counts[:, index].sum())
        rows.append(
            {
                "class": name,
                "iou": _ratio(hit, labelled + found - hit),
                "f1": _ratio(2 * hit, labelled + found),
                "precision": _ratio(hit, found),
                "recall": _ratio(hit, labelled),
                "labelled": labelled,
                "predicted": found,
            }
        )
    return rows


def class_ious(matrix: np.ndarray | Tensor) -> np.ndarray:
    """Return the IoU of every class, float64 (classes,); NaN for a class that nowhere occurs."""
    counts = np.asarray(matrix, dtype=np.int64)
    hit = np.diagonal(counts)
    union = counts.sum(0) + counts.sum(1) - hit
    return np.array([_ratio(int(h), int(u)) for h, u in zip(hit, union, strict=True)])


def all_positive(matrix: np.ndarray | Tensor) -> np.ndarray:
    """Return the confusion matrix of a map that calls every pixel foreground: the baseline to beat."""
    background, foreground = np.asarray(matrix, dtype=np.int64).sum(1).tolist()
    return np.array([[0, background], [0, foreground]], dtype=np.int64)


def imagewise_iou_fg(labels: np.ndarray, predictions: np.ndarray, ignore: int = IGNORE) -> np.ndarray:
    """Return the foreground IoU of each image, float64 (n,), for (n, h, w) inputs.

    Nothing to find and nothing found is 1 (the convention of per-image IoU scores).
    """
    seen = labels != ignore
    truth, found = (labels == 1) & seen, (predictions == 1) & seen
    hit, union = (truth & found).sum((1, 2)), (truth | found).sum((1, 2))
    return np.where(union == 0, 1.0, hit / np.maximum(union, 1))


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
