"""Per-pixel and per-image losses of a segmentation, summed and not yet divided by anything.

One output channel is the binary case: logits pass through a sigmoid, label 1 is the foreground. Several output
channels are classes that exclude each other: logits pass through a softmax, label c is channel c. Each function
here serves both, and returns one float32 number, the sum of its losses over the pixels (or images) it was given;
models/losses.py divides by the counts of the whole batch.

All arithmetic is float32, whatever autocast says. Shapes: logits (n, K, h, w) floating point; labels (n, h, w)
uint8 or int64, 0 to max(K, 2) - 1, or 255: ignored, without part in value or gradient, even where its logit is
infinite. `weights`: float32 (max(K, 2),), one per label value.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from models.metrics import IGNORE

SMOOTH = 1.0
"""Added to numerator and denominator of Dice, so that an empty image has loss 0 when it is found empty."""


class _Prepared(NamedTuple):
    logits: Tensor
    """float32 (n, K, h, w); 0 where ignored."""
    target: Tensor
    """int64 (n, h, w); 0 where ignored."""
    valid: Tensor
    """bool (n, h, w)."""

    @property
    def binary(self) -> bool:
        return self.logits.shape[1] == 1


def cross_entropy_sum(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the sum over valid pixels of weight[label] * -log p(label), float32 ()."""
    given = _prepared(logits, labels)
    return (_nll(given) * _pixel_weights(given, weights)).sum()


def focal_sum(logits: Tensor, labels: Tensor, weights: Tensor | None = None, gamma: float = 2.0) -> Tensor:
    """Return the sum over valid pixels of weight[label] * (1 - p(label))^gamma * -log p(label), float32 ().

    Lin et al. 2017, equation 5; `weights` are its alpha. gamma = 0 is the cross-entropy.
    """
    given = _prepared(logits, labels)
    nll = _nll(given)
    # 1 - p = -expm1(-nll); clamped away from 0, where the slope of a power below 1 is infinite
    doubt = (-torch.expm1(-nll)).clamp(min=1e-12)
    return (doubt**gamma * nll * _pixel_weights(given, weights)).sum()


def dice_sum(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the sum over images with a valid pixel of the soft Dice loss, float32 ().

    Per image and class, over its valid pixels, with probability p and y = [label is the class]:
    1 - (2 sum(p y) + smooth) / (sum p + sum y + smooth)   (Milletari et al. 2016, first-power form).
    Binary: the foreground alone. Several classes: the mean, weighted by `weights`, over the classes whose label
    occurs in the image. Per image, not per batch: only then does it not matter which worker holds which image.
    """
    given = _prepared(logits, labels)
    probability, target = _one_against_rest(given)
    common = (probability * target).sum((2, 3))
    total = probability.sum((2, 3)) + target.sum((2, 3))
    return _mean_over_classes(1 - (2 * common + SMOOTH) / (total + SMOOTH), given, weights).sum()


def dice_parts(logits: Tensor, labels: Tensor) -> Tensor:
    """Return what Dice is made of, over all valid pixels of all images: float32 (K, 2).

    Per class, with probability p and y = [label is the class]: sum(p y), and sum p + sum y.
    """
    probability, target = _one_against_rest(_prepared(logits, labels))
    common = (probability * target).sum((0, 2, 3))
    return torch.stack([common, probability.sum((0, 2, 3)) + target.sum((0, 2, 3))], dim=1)


def lovasz_sum(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the sum over images with a valid pixel of the Lovasz extension of 1 - IoU, float32 ().

    Berman et al. 2018, algorithm 1: the hinge of the binary logits, or the softmax probabilities averaged (weighted
    by `weights`) over the classes whose label occurs in the image. Per image, which the paper offers beside per
    batch: the IoU of a batch is not a sum over its images, so workers that share it could not compute it.
    """
    given = _prepared(logits, labels)
    if given.binary:
        target = (given.target == 1).float()[:, None]
        errors = 1 - given.logits * (2 * target - 1)
    else:
        probability, target = _one_against_rest(given)
        errors = (target - probability).abs()
    # Ignored pixels are sorted behind all others, where the clamp below takes their error away.
    errors = torch.where(given.valid[:, None], errors, -torch.inf).flatten(2)
    truth = (target * given.valid[:, None]).flatten(2)
    ordered, order = errors.sort(dim=2, descending=True)
    slopes = _lovasz_slopes(truth.gather(2, order))
    return _mean_over_classes((ordered.clamp(min=0) * slopes).sum(2), given, weights).sum()


def _lovasz_slopes(truth: Tensor) -> Tensor:
    """Return how much each next pixel, in order of falling error, adds to 1 - IoU; (..., pixels) in and out."""
    found = truth.cumsum(2)
    total = truth.sum(2, keepdim=True)
    union = total + (1 - truth).cumsum(2)
    loss = 1 - (total - found) / union
    return torch.cat([loss[..., :1], loss.diff(dim=2)], dim=2)


def _prepared(logits: Tensor, labels: Tensor) -> _Prepared:
    if logits.ndim != 4 or logits.shape[:1] + logits.shape[2:] != labels.shape:
        raise ValueError(
            f"The loss takes logits (n, classes, h, w) and labels (n, h, w), got {tuple(logits.shape)} and "
            f"{tuple(labels.shape)}. Give one label for each pixel of the logits."
        )
    valid = labels != IGNORE
    # where, not a product: a product would let an infinite logit of an ignored pixel through as NaN
    return _Prepared(torch.where(valid[:, None], logits.float(), 0.0), torch.where(valid, labels, 0).long(), valid)


def _nll(given: _Prepared) -> Tensor:
    if given.binary:
        return F.binary_cross_entropy_with_logits(given.logits[:, 0], given.target.float(), reduction="none")
    return F.cross_entropy(given.logits, given.target, reduction="none")


def _one_against_rest(given: _Prepared) -> tuple[Tensor, Tensor]:
    """Return probability and truth (1.0 or 0.0) of each class, (n, K, h, w); both 0 where ignored."""
    valid = given.valid[:, None]
    if given.binary:
        return torch.sigmoid(given.logits) * valid, given.target[:, None].float()
    return torch.softmax(given.logits, 1) * valid, _truth(given).float()


def _truth(given: _Prepared) -> Tensor:
    """Return whether each pixel is of each class, bool (n, K, h, w); a comparison, because one_hot makes int64."""
    classes = torch.arange(given.logits.shape[1], device=given.target.device)
    return (given.target[:, None] == classes[:, None, None]) & given.valid[:, None]


def _pixel_weights(given: _Prepared, weights: Tensor | None) -> Tensor:
    return given.valid.float() if weights is None else weights[given.target] * given.valid


def _mean_over_classes(losses: Tensor, given: _Prepared, weights: Tensor | None) -> Tensor:
    """Return (n,) from (n, K): the weighted mean over the classes that the image holds; 0 without a valid pixel."""
    if given.binary:
        return losses[:, 0] * given.valid.flatten(1).any(1)
    present = _truth(given).flatten(2).any(2).float()
    shares = present if weights is None else present * weights
    return (losses * shares).sum(1) / shares.sum(1).clamp(min=torch.finfo(torch.float32).tiny)
