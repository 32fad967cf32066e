"""The workers of a training run as seen by one of them; alone, every sum is its own.

The process group is made by whoever starts the workers (Ray Train, torchrun, a test). Here it is only
used: if torch.distributed is initialised it is joined, otherwise there is one worker.
"""

import inspect
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Ranks:
    """This worker's number among how many."""

    rank: int = 0
    world_size: int = 1

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the sum of `tensor` over the workers; every worker must call it, in the same order."""
        if self.world_size == 1:
            return tensor
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    def parallel(self, network: nn.Module, device: torch.device) -> nn.Module:
        """Return `network` with its gradients averaged over the workers, all starting as worker 0 did."""
        if self.world_size == 1:
            return network
        options: dict[str, Any] = {"device_ids": [device.index or 0]} if device.type == "cuda" else {}
        # Buffers are averaged once an epoch (average_statistics), not copied from worker 0 at each step.
        # torch renamed the switch, and warns about the old name.
        renamed = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
        options["forward_sync_buffers" if renamed else "broadcast_buffers"] = False
        # Some encoders own weights that segmentation never uses (EfficientNet's last convolution), and
        # DDP would wait for their gradients. That they are the same ones at every step is all it must know.
        return DistributedDataParallel(network, static_graph=True, **options)

    def average_statistics(self, network: nn.Module) -> None:
        """Average the running statistics of batch normalisation over the workers, in place."""
        if self.world_size == 1:
            return
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                for statistic in (module.running_mean, module.running_var):
                    if statistic is not None:
                        statistic.copy_(self.sum(statistic) / self.world_size)


def current_ranks() -> Ranks:
    """Return where this process stands in the initialised process group, or alone."""
    if dist.is_available() and dist.is_initialized():
        return Ranks(dist.get_rank(), dist.get_world_size())
    return Ranks()
