"""The table of losses: sums over a part of a batch, divided by the counts of the whole batch.

A mean over a batch is a sum divided by a count. Parts of a batch (one worker's images, one of several
accumulated forward passes) hold unequal counts (ignored pixels), so the mean of their means is not the mean of
the batch. But every denominator here depends on the labels alone: they are counted first, over all parts and all
workers, and each part then contributes its own sum divided by the count of the whole. The parts add up to the loss
and to the gradient of one worker that holds the whole batch, up to rounding. That is so for every entry:

    bce      sum of w[y] * cross-entropy  /  sum of w[y] over valid pixels            softmax for several classes
    focal    the same with (1 - p)^gamma in front
    dice     sum over images              /  images with a valid pixel
    lovasz   sum over images              /  images with a valid pixel                (per image; see lovasz_sum)
    bce_dice alpha * bce + (1 - alpha) * dice

Dice over a batch as if it were one image (`batch_dice`) is no sum over its parts. Workers exchange what it is made of,
and a batch cannot be accumulated. Per image, an image without the class has a slope of 1 / (1 + sum p)^2 towards no
probability at each of its pixels, while a pixel of a thin class has at most 2 / (sum of the class) the other way: where
many images are empty, networks learn to find nothing, and stay there. A batch that holds the class has no such slope.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.loss_sums import SMOOTH, cross_entropy_sum, dice_parts, dice_sum, focal_sum, lovasz_sum
from models.metrics import IGNORE
from models.ranks import Ranks


@dataclass(frozen=True)
class LossOptions:
    """What a loss may be told."""

    alpha: float = 0.5
    """Share of the cross-entropy in bce_dice."""
    gamma: float = 2.0
    """Exponent of focal."""
    class_weights: tuple[float, ...] | None = None
    """One for each label value (two in the binary case); None: all 1."""

    def weights(self, device: torch.device) -> Tensor | None:
        """Return the class weights as float32 on `device`."""
        return None if self.class_weights is None else torch.tensor(self.class_weights, device=device)


@dataclass(frozen=True)
class Denominators:
    """By what the sums of a batch are divided; made from the labels of the whole batch."""

    pixels: Tensor
    """float32 (): the valid pixels, each weighted as its class."""
    images: Tensor
    """float32 (): the images with a valid pixel."""


def label_counts(labels: Tensor, classes: int) -> Tensor:
    """Return int64 (classes + 1,): the pixels of each label value, then the images with a valid pixel.

    Counts of parts add up to those of the whole, so workers exchange one small message.
    labels: (n, h, w), 0 to classes - 1 or 255; classes: label values, 2 in the binary case.
    """
    found = torch.stack([torch.bincount(image.flatten(), minlength=IGNORE + 1) for image in labels])
    valid_images = (found[:, :IGNORE].sum(1) > 0).sum()
    return torch.cat([found[:, :classes].sum(0), valid_images[None]])


def denominators(counts: Tensor, options: LossOptions) -> Denominators:
    """Return what the counts of a whole batch divide by; a batch without a valid pixel has loss 0, not NaN."""
    weights = options.weights(counts.device)
    pixels = counts[:-1].sum().clamp(min=1).float()
    if weights is not None:
        weighted = (counts[:-1] * weights).sum()
        pixels = torch.where(weighted > 0, weighted, 1.0)
    return Denominators(pixels, counts[-1].clamp(min=1).float())


def bce_loss(logits: Tensor, labels: Tensor, whole: Denominators, options: LossOptions) -> Tensor:
    """Return this part of the mean cross-entropy over valid pixels."""
    return cross_entropy_sum(logits, labels, options.weights(logits.device)) / whole.pixels


def focal_loss(logits: Tensor, labels: Tensor, whole: Denominators, options: LossOptions) -> Tensor:
    """Return this part of the mean focal loss over valid pixels."""
    return focal_sum(logits, labels, options.weights(logits.device), options.gamma) / whole.pixels


def dice_loss(logits: Tensor, labels: Tensor, whole: Denominators, options: LossOptions) -> Tensor:
    """Return this part of the mean soft Dice loss over images."""
    return dice_sum(logits, labels, options.weights(logits.device)) / whole.images


def lovasz_loss(logits: Tensor, labels: Tensor, whole: Denominators, options: LossOptions) -> Tensor:
    """Return this part of the mean Lovasz loss over images."""
    return lovasz_sum(logits, labels, options.weights(logits.device)) / whole.images


def bce_dice_loss(logits: Tensor, labels: Tensor, whole: Denominators, options: LossOptions) -> Tensor:
    """Return this part of `alpha * bce + (1 - alpha) * dice`."""
    bce, dice = (loss(logits, labels, whole, options) for loss in (bce_loss, dice_loss))
    return options.alpha * bce + (1 - options.alpha) * dice


Loss = Callable[[Tensor, Tensor, Denominators, LossOptions], Tensor]

# Add a loss: one entry; tests/models/test_losses.py then owes it an oracle for value, gradient and parts.
LOSSES: dict[str, Loss] = {
    "bce": bce_loss,
    "dice": dice_loss,
    "bce_dice": bce_dice_loss,
    "focal": focal_loss,
    "lovasz": lovasz_loss,
}


BATCH_DICE = "batch_dice"
"""The loss that is of a batch as a whole; all others are in `LOSSES`."""
LOSS_NAMES = (*LOSSES, BATCH_DICE)


def batch_dice_loss(logits: Tensor, labels: Tensor, counts: Tensor, options: LossOptions, ranks: Ranks) -> Tensor:
    """Return this worker's part of the soft Dice loss of a whole batch, float32 (): the parts add up to it.

    Its gradient is that of the whole loss by this worker's logits. Binary: the foreground alone. Several classes: the
    mean, weighted by `class_weights`, over those whose label occurs in the batch.
    counts: of the labels of the whole batch, as `label_counts` returns them. Every worker must call it.
    """
    own = dice_parts(logits, labels)
    everyones = own + (ranks.sum(own.detach()) - own.detach())
    losses = 1 - (2 * everyones[:, 0] + SMOOTH) / (everyones[:, 1] + SMOOTH)
    if len(losses) == 1:
        loss = losses[0] * (counts[-1] > 0)
    else:
        weights = options.weights(logits.device)
        shares = (counts[:-1] > 0).float() * (1.0 if weights is None else weights)
        loss = (losses * shares).sum() / shares.sum().clamp(min=torch.finfo(torch.float32).tiny)
    return loss - loss.detach() * (1 - 1 / ranks.world_size)


def batch_loss(name: str, logits: Tensor, labels: Tensor, options: LossOptions | None = None) -> Tensor:
    """Return the loss of a whole batch in one part, float32 (); for one worker, for tests and for reports."""
    chosen = options or LossOptions()
    counts = label_counts(labels, max(logits.shape[1], 2))
    if name == BATCH_DICE:
        return batch_dice_loss(logits, labels, counts, chosen, Ranks())
    return LOSSES[name](logits, labels, denominators(counts, chosen), chosen)
