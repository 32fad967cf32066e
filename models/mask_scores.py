"""Scores of masks image by image: IoU over all pixels and per image, soft Dice, and whether a network has collapsed.

A network for a thin class can learn to answer the same everywhere, and some of its scores still look like something:
who finds nothing has a perfect IoU on each image that holds nothing. So collapse is told by what was found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.metrics import IGNORE

SMOOTH = 1.0
"""Added to numerator and denominator of soft Dice, as in the loss."""
NOTHING = 0.01
"""A network has collapsed on nothing if it finds fewer pixels than this share of those that are there."""
EVERYTHING = 0.5
"""It has collapsed on everything if it takes more than this share of the background for the class."""
UNINFORMED = 0.02
"""It is a guess if hits are no more likely than false alarms by this much (recall minus false alarm rate)."""


@dataclass(frozen=True)
class ImageCounts:
    """What a network found in one image; pixels without a label do not count."""

    seen_px: int
    truth_px: int
    found_px: int
    """Of probability one half or more."""
    hit_px: int
    probability: float
    """Sum over pixels."""
    common: float
    """Sum of the probability over pixels of the class."""
    cross_entropy: float
    """Sum over pixels."""

    @staticmethod
    def of(label: np.ndarray, logit: np.ndarray) -> ImageCounts:
        """Count an image: label uint8 (y, x), 1 for the class, 255 for none; logit float (y, x), larger is likelier."""
        seen = label != IGNORE
        truth, value = label[seen] == 1, logit[seen].astype(np.float64)
        found = value >= 0
        probability = 1 / (1 + np.exp(-np.clip(value, -700, 700)))
        return ImageCounts(
            int(seen.sum()),
            int(truth.sum()),
            int(found.sum()),
            int((found & truth).sum()),
            float(probability.sum()),
            float(probability[truth].sum()),
            float((np.logaddexp(0, value) - value * truth).sum()),
        )

    @staticmethod
    def of_mask(label: np.ndarray, found: np.ndarray) -> ImageCounts:
        """Count an image whose answer is a mask without probabilities, bool (y, x)."""
        seen = label != IGNORE
        truth, answer = label[seen] == 1, found[seen]
        hit = int((answer & truth).sum())
        wrong = np.inf if hit < max(int(answer.sum()), int(truth.sum())) else 0.0
        return ImageCounts(
            int(seen.sum()), int(truth.sum()), int(answer.sum()), hit, float(answer.sum()), float(hit), float(wrong)
        )


def mask_scores(images: Sequence[ImageCounts]) -> dict[str, float]:
    """Return the scores of a network over images.

    Keys: `iou` (over all pixels of all images), `iou_images` (mean over images; nothing there and nothing found is 1),
    `iou_scratched` (mean over the images that hold the class), `dice_loss` (mean over images of the soft Dice loss with
    smooth 1), `dice_loss_whole` (soft Dice loss of all pixels together), `bce_loss` (mean over pixels), `precision`,
    `recall`, `false_alarms` (share of the background), `truth`, `found` (shares of all pixels), `images`. A ratio of
    nothing to nothing is NaN.
    """
    seen, truth, found, hit = (
        np.array([getattr(i, name) for i in images], np.int64) for name in ("seen_px", "truth_px", "found_px", "hit_px")
    )
    soft, common = (np.array([getattr(i, name) for i in images], float) for name in ("probability", "common"))
    union = truth + found - hit
    each = np.where(union == 0, 1.0, hit / np.maximum(union, 1))
    held = truth > 0
    losses = 1 - (2 * common + SMOOTH) / (soft + truth + SMOOTH)
    whole = 1 - (2 * common.sum() + SMOOTH) / (soft.sum() + truth.sum() + SMOOTH)
    return {
        "iou": _ratio(hit.sum(), union.sum()),
        "iou_images": float(each.mean()) if len(images) else float("nan"),
        "iou_scratched": float(each[held].mean()) if held.any() else float("nan"),
        "dice_loss": float(losses.mean()) if len(images) else float("nan"),
        "dice_loss_whole": float(whole),
        "bce_loss": _ratio(sum(i.cross_entropy for i in images), seen.sum()),
        "precision": _ratio(hit.sum(), found.sum()),
        "recall": _ratio(hit.sum(), truth.sum()),
        "false_alarms": _ratio((found - hit).sum(), (seen - truth).sum()),
        "truth": _ratio(truth.sum(), seen.sum()),
        "found": _ratio(found.sum(), seen.sum()),
        "images": float(len(images)),
    }


def collapse(scores: Mapping[str, float]) -> str:
    """Return how a network has collapsed by its `mask_scores`: nothing, everything, guess; "" if it has not."""
    if not scores["truth"] > 0:
        return ""
    if scores["found"] < NOTHING * scores["truth"]:
        return "nothing"
    if scores["false_alarms"] > EVERYTHING:
        return "everything"
    return "guess" if scores["recall"] - scores["false_alarms"] < UNINFORMED else ""


def iou_of_dice_loss(loss: float) -> float:
    """Return the IoU of a mask whose Dice loss is so much: dice = 1 - loss, IoU = dice / (2 - dice)."""
    return (1 - loss) / (1 + loss)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
