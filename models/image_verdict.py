"""From the mask of an image to one answer, yes or no: is there anything to see for a reviewer?

The rule has two numbers: a pixel counts from `min_probability` on, and the image is a yes from `min_area_px` such
pixels on. Areas are counted once per image; every other `min_area_px` is then a comparison of integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.metrics import IGNORE


@dataclass(frozen=True)
class VerdictRule:
    """When an image is a yes."""

    min_area_px: int = 1
    min_probability: float = 0.5

    def __post_init__(self) -> None:
        if self.min_area_px < 1 or not 0 <= self.min_probability <= 1:
            raise ValueError(
                f"min_area_px {self.min_area_px} must be 1 or more, and min_probability {self.min_probability} in "
                "[0, 1]. An area of 0 px would make every image a yes."
            )

    def area_px(self, probability: np.ndarray, valid: np.ndarray | None = None) -> int:
        """Return how many pixels of an image count: probability (y, x), valid bool (y, x); NaN never counts."""
        found = probability >= self.min_probability
        return int((found if valid is None else found & valid).sum())

    def verdict(self, probability: np.ndarray, valid: np.ndarray | None = None) -> bool:
        """Return whether an image is a yes."""
        return self.area_px(probability, valid) >= self.min_area_px


def has_class(label: np.ndarray, index: int = 1, min_area_px: int = 1) -> bool | None:
    """Return whether an image holds a class by its label mask; None: nothing of it is labelled (all 255)."""
    if (label == IGNORE).all():
        return None
    return bool((label == index).sum() >= min_area_px)


@dataclass(frozen=True)
class ImageScores:
    """What a rule did to a set of images."""

    hits: int
    false_alarms: int
    misses: int
    rejections: int
    """Images without anything, and called so."""

    @property
    def precision(self) -> float:
        """Share of the yeses that are right; 0 without a yes."""
        return self.hits / max(1, self.hits + self.false_alarms)

    @property
    def recall(self) -> float:
        """Share of the images with something that are a yes; 0 where there are none."""
        return self.hits / max(1, self.hits + self.misses)

    @property
    def f1(self) -> float:
        """Harmonic mean of both; 0 where nothing is there and nothing was found."""
        return 2 * self.hits / max(1, 2 * self.hits + self.false_alarms + self.misses)

    @property
    def accuracy(self) -> float:
        """Share of right answers; NaN without an image."""
        images = self.hits + self.false_alarms + self.misses + self.rejections
        return (self.hits + self.rejections) / images if images else float("nan")

    @property
    def spared(self) -> float:
        """Share of the images that a reviewer who opens the yeses alone need not open; NaN without an image."""
        images = self.hits + self.false_alarms + self.misses + self.rejections
        return (self.misses + self.rejections) / images if images else float("nan")


def image_scores(areas_px: Sequence[int], truths: Sequence[bool], min_area_px: int) -> ImageScores:
    """Compare the areas that a rule found in images with what they hold.

    Raises ValueError: not one truth per image.
    """
    if len(areas_px) != len(truths):
        raise ValueError(f"{len(areas_px)} areas and {len(truths)} truths do not belong together. Give one each.")
    found, there = np.asarray(areas_px, int) >= min_area_px, np.asarray(truths, bool)
    counts = [int((f & t).sum()) for f, t in ((found, there), (found, ~there), (~found, there), (~found, ~there))]
    return ImageScores(*counts)


def choose_min_area_px(areas_px: Sequence[int], truths: Sequence[bool], min_recall: float = 0.95) -> int:
    """Return the largest `min_area_px` at which recall is still `min_recall` or more: it spares the most images.

    To be chosen on images that do not judge it. 1 where no area reaches that recall, or no image holds anything.
    """
    found = np.sort(np.asarray([area for area, truth in zip(areas_px, truths, strict=True) if truth], int))
    allowed = int(np.floor((1 - min_recall) * len(found) + 1e-9))
    return max(1, int(found[allowed])) if len(found) > allowed else 1
