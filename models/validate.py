"""Scoring a network on a reader, the same for any number of workers."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from models.confusion import confusion
from models.metrics import class_scores, scores
from models.ranks import Ranks


def score_names(classes: int) -> tuple[str, ...]:
    """Return the keys of what `score` returns for a network of so many output channels."""
    return tuple(_scores(torch.zeros(max(classes, 2), max(classes, 2), dtype=torch.int64)))


def predicted(logits: Tensor) -> Tensor:
    """Return the label that a network names: (n, K, h, w) to int64 (n, h, w); 1 channel: whether it is above 0."""
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)


def filled(images: Tensor, count: int) -> Tensor:
    """Return `count` images: those given, then copies of the last. Shapes, and so kernels, are then always the same."""
    absent = count - len(images)
    if absent == 0:
        return images
    whole = torch.cat([images, images[-1:].expand(absent, -1, -1, -1)])
    return whole.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def score(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    ranks: Ranks,
    device: torch.device,
    classes: int,
    images_per_pass: int,
) -> dict[str, float]:
    """Return the scores of `network` (left in eval mode) over the batches of all workers.

    Each image is computed in a pass of `images_per_pass`, and what workers add up are integers: the same weights
    have the same scores for any number of workers. network: the bare one, because workers may have unequal numbers
    of batches, and DistributedDataParallel would wait.
    """
    network.eval()
    side = max(classes, 2)
    counts = torch.zeros((side, side), dtype=torch.int64, device=device)
    for images, labels in batches:
        logits = network(filled(images, images_per_pass))[: len(images)]
        counts += confusion(labels, predicted(logits), side)
    return _scores(ranks.sum(counts).cpu())


def _scores(counts: Tensor) -> dict[str, float]:
    return scores(counts) if len(counts) == 2 else class_scores(counts)
