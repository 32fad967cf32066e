"""Losses between embeddings, as sums over a part of a batch divided by the number of samples in the whole.

    triplet   max(0, d(a, p) - d(a, n) + margin),   d(u, v) = 1 - cos(u, v)
    NT-Xent   -log( exp(s(i, j) / t) / sum over k != i of exp(s(i, k) / t) ),   s = cos
              over both views of all samples, j the other view of i's sample (Chen et al. 2020, arXiv 2002.05709)

NT-Xent compares each view with those of all workers. Views that other workers hold are gathered together with their
gradients: a view that is a negative on another worker is pushed there too, and without that part of the gradient
several workers would train something else than one.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from models.ranks import Ranks


def cosine_distance(first: Tensor, second: Tensor) -> Tensor:
    """Return 1 - cos of vectors (..., d) pair by pair, in [0, 2]; a vector of length 0 is at distance 1 of all."""
    return 1 - F.cosine_similarity(first.float(), second.float(), dim=-1)


def triplet_losses(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """Return the loss of each triplet: (n, d) three times to float32 (n,)."""
    return F.relu(cosine_distance(anchor, positive) - cosine_distance(anchor, negative) + margin)


def triplet_loss(views: Tensor, margin: float, samples: Tensor) -> Tensor:
    """Return this part of the mean over a batch, float32 (). views: (n, 3, d); samples: in the whole batch, ()."""
    anchor, positive, negative = views.unbind(1)
    return triplet_losses(anchor, positive, negative, margin).sum() / samples


def nt_xent_loss(views: Tensor, temperature: float, samples: Tensor, ranks: Ranks) -> Tensor:
    """Return this worker's part of the mean over both views of all samples of all workers, float32 ().

    views: (n, 2, d) of this worker, the same n on each; samples: on all workers, (). Every worker must call it.
    """
    own = F.normalize(views.float(), dim=-1)
    everywhere = gather_with_gradient(own, ranks)
    others = everywhere.transpose(0, 1).flatten(0, 1)  # the first views of all samples, then the second ones
    count, start = len(everywhere), ranks.rank * len(own)
    total = torch.zeros((), device=views.device)
    here = torch.arange(start, start + len(own), device=views.device)
    for view in range(2):
        similarity = own[:, view] @ others.T / temperature
        itself = F.one_hot(here + view * count, 2 * count).bool()
        partner = here + (1 - view) * count
        total = total + F.cross_entropy(similarity.masked_fill(itself, -torch.inf), partner, reduction="sum")
    return total / (2 * samples)


def gather_with_gradient(own: Tensor, ranks: Ranks) -> Tensor:
    """Return the tensors of all workers, (world n, ...) in the order of their ranks.

    The gradient of a worker's tensor is the sum of what all workers' losses say of it.
    """
    if ranks.world_size == 1:
        return own
    gathered: Tensor = _Gather.apply(own, ranks.rank, ranks.world_size)
    return gathered


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, own: Tensor, rank: int, world_size: int) -> Tensor:
        context.place = slice(rank * len(own), (rank + 1) * len(own))
        parts = [torch.empty_like(own) for _ in range(world_size)]
        dist.all_gather(parts, own.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        # a sum over all and a slice: reduce_scatter would send less, but gloo does not have it
        total = gradient.contiguous()
        dist.all_reduce(total)
        return total[context.place], None, None
