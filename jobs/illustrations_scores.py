"""What the reproduction of the illustration document measures: removals beside planted truth, answers beside rules."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.bootstrap import Interval, block_bootstrap
from models.classification_scores import classification_scores
from models.image_baselines import best_threshold_f1, otsu_threshold

PHOTO = "photo"


@dataclass(frozen=True)
class Removed:
    """What a rule removes, beside what is planted."""

    removed: int
    photos: int
    """Removed images that are photos."""
    planted: int
    """Photos among all images that were asked for."""
    asked: int

    @property
    def precision(self) -> float:
        """Share of the removed images that are photos; 0 where nothing is removed."""
        return self.photos / self.removed if self.removed else 0.0

    @property
    def recall(self) -> float:
        """Share of the photos that are removed; 0 where there are none."""
        return self.photos / self.planted if self.planted else 0.0

    @property
    def f1(self) -> float:
        """Their harmonic mean, 2 photos / (removed + planted)."""
        return 2 * self.photos / (self.removed + self.planted) if self.removed + self.planted else 0.0

    @property
    def lost(self) -> int:
        """Illustrations that are removed."""
        return self.removed - self.photos

    @property
    def lost_share(self) -> float:
        """Their share of all illustrations that were asked for."""
        return self.lost / (self.asked - self.planted) if self.asked > self.planted else 0.0


def removed_of(removed: np.ndarray, photo: np.ndarray) -> Removed:
    """Count a removal; removed, photo: bool (n,) of the images that were asked for."""
    return Removed(int(removed.sum()), int((removed & photo).sum()), int(photo.sum()), len(photo))


def threshold_removals(pixel: np.ndarray, photo: np.ndarray) -> dict[str, Removed]:
    """Return what trivial rules remove: darker than Otsu's threshold of the mean pixel, and everything.

    Args:
        pixel: float (n,): mean pixel of each image.
        photo: bool (n,).
    """
    return {
        "darker than Otsu's threshold": removed_of(pixel < otsu_threshold(pixel), photo),
        "everything": removed_of(np.ones(len(photo), bool), photo),
    }


def oracle_f1(pixel: np.ndarray, photo: np.ndarray) -> float:
    """Return the F1 of the best threshold of the mean pixel, which only the truth can choose."""
    return best_threshold_f1(pixel, photo) if photo.any() else float("nan")


def read_kinds(path: Path, ids: Sequence[str]) -> np.ndarray:
    """Return which images are photos, bool (n,).

    Args:
        path: CSV with the columns path (with or without a leading `images/`) and kind; other kinds than `photo` are
            illustrations.
        ids: of the images.

    Raises:
        ValueError: no such file or column, or an image without a line.
    """
    if not path.is_file():
        raise ValueError(f"--truth {path}: no such file; give a CSV with the columns path and kind")
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if not {"path", "kind"} <= set(rows.fieldnames or ()):
            raise ValueError(f"--truth {path}: the columns path and kind are needed, found {rows.fieldnames}")
        kinds = {row["path"].removeprefix("images/"): row["kind"] for row in rows}
    lacking = [one for one in ids if one not in kinds]
    if lacking:
        raise ValueError(f"--truth {path}: {len(lacking)} of {len(ids)} images have no line, such as {lacking[:3]}")
    return np.array([kinds[one] == PHOTO for one in ids], bool)


DIFFERENCES = ("accuracy", "macro_f1", "weighted_f1")


def paired_differences(
    labels: np.ndarray, one: np.ndarray, other: np.ndarray, classes: int, resamples: int = 1000
) -> dict[str, Interval]:
    """Return by how much `one` is better than `other` on the same images, with 95 % intervals by bootstrap over images.

    Args:
        labels: int (n,), n at least 2.
        one: answers, int (n,).
        other: answers, int (n,).
        classes: how many.
        resamples: of the bootstrap.
    """
    counts = np.zeros((len(labels), 2, classes, classes), np.int8)
    for place, answers in enumerate((one, other)):
        counts[np.arange(len(labels)), place, labels, answers] = 1

    def statistic(sums: np.ndarray) -> Mapping[str, float]:
        better, worse = (classification_scores(matrix) for matrix in sums)
        return {name: better[name] - worse[name] for name in DIFFERENCES}

    return block_bootstrap(counts, statistic, resamples)
