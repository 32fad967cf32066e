"""The scores of a classifier as files: F1 of each class, the confusion matrix, and whether it collapsed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from jobs.lists import csv_bytes
from models.classification_scores import class_rows, classification_scores, collapse, majority

JUDGES = ("test", "validation")
"""Parts that judge, the first that there is."""


def score_files(
    matrices: Mapping[str, np.ndarray], classes: Sequence[str]
) -> tuple[dict[str, bytes], dict[str, Any], dict[str, float]]:
    """Return files by name, the verdict on what judges, and scores of the test part for the card (`test_...`).

    Files: `scores.json` (scores of each part, of always answering the most frequent class, and the verdict),
    `classes.csv` (precision, recall, F1 and support of each class) and `confusion.csv` (a row for each label), of the
    test part, or of validation where there is none.

    Args:
        matrices: confusion matrix of each part that has images.
        classes: names, in their order.
    """
    judged = next((part for part in JUDGES if part in matrices), None)
    if judged is None:
        return {}, {}, {}
    matrix = matrices[judged]
    found = collapse(matrix)
    verdict = {"part": judged, **asdict(found), "most_predicted": classes[found.most_predicted]}
    report = {
        "judged": judged,
        "scores": {part: _plain(classification_scores(counts)) for part, counts in matrices.items()},
        "always_the_most_frequent": _plain(classification_scores(majority(matrix))),
        "collapse": verdict,
    }
    rows = class_rows(matrix, classes)
    numbers = [("label \\ prediction", *classes), *((n, *r) for n, r in zip(classes, matrix.tolist(), strict=True))]
    files = {
        "scores.json": json.dumps(report, indent=1).encode(),
        "classes.csv": csv_bytes(tuple(rows[0]), [tuple(row.values()) for row in rows]),
        "confusion.csv": csv_bytes(numbers[0], numbers[1:]),
    }
    of_test = classification_scores(matrices["test"]) if "test" in matrices else {}
    return files, verdict, {f"test_{name}": value for name, value in of_test.items()}


def told(report: Mapping[str, Any]) -> list[str]:
    """Return the lines that a command prints of a `scores.json`."""
    part = report["judged"]
    scores, baseline = report["scores"][part], report["always_the_most_frequent"]
    names = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "kappa")
    lines = [
        f"{part:<10} " + "  ".join(f"{name} {scores[name]:.4f}" for name in names),
        f"{'baseline':<10} always the most frequent class: accuracy {baseline['accuracy']:.4f}  "
        f"macro_f1 {baseline['macro_f1']:.4f}",
    ]
    found = report["collapse"]
    if found["collapsed"]:
        lines.append(
            f"COLLAPSED  {found['share']:.0%} of the answers are {found['most_predicted']!r}: as if there were "
            f"{found['predicted_classes']:.1f} classes, the labels have {found['labelled_classes']:.1f}"
        )
    return lines


def _plain(scores: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if value == value else None for name, value in scores.items()}
