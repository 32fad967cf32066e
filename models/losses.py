"""Losses of the binary segmentation, as pure functions that split into sums and counts.

A mean over a batch is a sum divided by a count. Workers that share a batch hold unequal counts (ignored
pixels), so the mean of their means is not the mean of the batch. Therefore every loss here divides its
*own sums* by the counts of *all workers* and multiplies by their number: DistributedDataParallel's mean of
gradients over the workers is then exactly the gradient of one worker that holds the whole batch.

All arithmetic is float32, whatever autocast says. Labels: uint8 or int64 (n, h, w); 0 is background, 1 is
foreground, 255 is ignored.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from models.metrics import IGNORE

ReduceCount = Callable[[Tensor], Tensor]
"""Adds an int64 tensor over all workers; None where there is one worker."""


def bce_sums(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum over valid pixels of the binary cross-entropy with logits, and their number.

    logits: (n, 1, h, w); returns: float32 (), int64 ().
    """
    logit, target, valid = _prepared(logits, labels)
    losses = F.binary_cross_entropy_with_logits(logit, target, reduction="none")
    return (losses * valid).sum(), valid.sum()


def dice_sums(logits: Tensor, labels: Tensor, smooth: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return the sum over images of the soft Dice loss, and the number of images with a valid pixel.

    Per image, over its valid pixels, with p = sigmoid(logit) and label y:
    1 - (2 sum(p y) + smooth) / (sum p + sum y + smooth)   (Milletari et al. 2016, first-power form).
    Per image, not per batch: only then does it not matter which worker holds which image.
    logits: (n, 1, h, w); returns: float32 (), int64 ().
    """
    logit, target, valid = _prepared(logits, labels)
    probability = torch.sigmoid(logit) * valid
    common = (probability * target).sum((1, 2))
    total = probability.sum((1, 2)) + target.sum((1, 2))
    per_image = 1 - (2 * common + smooth) / (total + smooth)
    seen = valid.any(2).any(1)
    return (per_image * seen).sum(), seen.sum()


def bce_loss(
    logits: Tensor,
    labels: Tensor,
    alpha: float = 0.5,
    reduce_count: ReduceCount | None = None,
    world_size: int = 1,
) -> Tensor:
    """Return the mean binary cross-entropy over the valid pixels of all workers (`alpha` has no part)."""
    total, count = bce_sums(logits, labels)
    return world_size * total / _denominators(reduce_count, count)[0]


def dice_loss(
    logits: Tensor,
    labels: Tensor,
    alpha: float = 0.5,
    reduce_count: ReduceCount | None = None,
    world_size: int = 1,
) -> Tensor:
    """Return the mean soft Dice loss over the images of all workers (`alpha` has no part)."""
    total, count = dice_sums(logits, labels)
    return world_size * total / _denominators(reduce_count, count)[0]


def bce_dice_loss(
    logits: Tensor,
    labels: Tensor,
    alpha: float = 0.5,
    reduce_count: ReduceCount | None = None,
    world_size: int = 1,
) -> Tensor:
    """Return `alpha * BCE + (1 - alpha) * Dice`, float32 ().

    The value is this worker's part times `world_size`: its mean over the workers is the loss of the batch.
    A batch without a valid pixel has loss 0 and gradient 0.
    """
    bce, pixels = bce_sums(logits, labels)
    dice, images = dice_sums(logits, labels)
    pixels, images = _denominators(reduce_count, pixels, images)
    return world_size * (alpha * bce / pixels + (1 - alpha) * dice / images)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "bce": bce_loss,
    "dice": dice_loss,
    "bce_dice": bce_dice_loss,
}


def _prepared(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if logits.ndim != 4 or logits.shape[1] != 1 or logits.shape[:1] + logits.shape[2:] != labels.shape:
        raise ValueError(
            f"The loss takes logits (n, 1, h, w) and labels (n, h, w), got {tuple(logits.shape)} and "
            f"{tuple(labels.shape)}. Build the network with classes=1."
        )
    valid = labels != IGNORE
    # where, not a product: a product would let an infinite logit of an ignored pixel through as NaN
    return torch.where(valid, logits[:, 0].float(), 0.0), torch.where(valid, labels, 0).float(), valid


def _denominators(reduce_count: ReduceCount | None, *counts: Tensor) -> tuple[Tensor, ...]:
    together = torch.stack(counts)  # one message between the workers, not one per count
    if reduce_count is not None:
        together = reduce_count(together)
    return together.clamp(min=1).float().unbind()
