"""What an ensemble averages over its networks and views: logits, or probabilities; and how far they disagree."""

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor


def mean_logit(logits: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Return mean and population standard deviation of logits, each (n, K, h, w), that come one by one."""
    # Welford (1962): sums of squares of large logits would cancel in float32, these sums do not.
    rest = iter(logits)
    mean, count = next(rest).clone(), 1
    squares = torch.zeros_like(mean)
    for count, one in enumerate(rest, start=2):
        difference = one - mean
        mean.add_(difference, alpha=1 / count)
        squares.addcmul_(difference, one - mean)
    return mean, squares.div_(count).clamp_(min=0).sqrt_()


def logit_of_mean_probability(logits: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the logit of the mean probability, and the standard deviation of the logits, as `mean_logit` does.

    One class: log(sum of sigmoid(l)) - log(sum of sigmoid(-l)), which neither 0 nor 1 can spoil. Several: the logarithm
    of the mean softmax, of which the softmax is that mean.
    """
    kept = [one.clone() for one in logits]
    _, spread = mean_logit(kept)
    stacked = torch.stack(kept)
    if stacked.shape[2] == 1:
        sure, unsure = (F.logsigmoid(sign * stacked).logsumexp(dim=0) for sign in (1, -1))
        return sure - unsure, spread
    return F.log_softmax(stacked, dim=2).logsumexp(dim=0) - math.log(len(kept)), spread


AVERAGES = {"logit": mean_logit, "probability": logit_of_mean_probability}
"""Name of what is averaged over networks and views, to its function."""
