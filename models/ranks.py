"""The workers of a training run as seen by one of them; alone, every sum is its own.

The process group is made by whoever starts the workers (Ray Train, torchrun, a test). Here it is only
used: if torch.distributed is initialised it is joined, otherwise there is one worker.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
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

    def start_alike(self, network: nn.Module) -> None:
        """Give the parameters and buffers of `network` the values they have on worker 0, in place."""
        if self.world_size > 1:
            for tensor in network.state_dict().values():
                message = tensor.contiguous()  # channels last is not, and not every backend takes it
                dist.broadcast(message, src=0)
                tensor.copy_(message)

    def average_gradients(self, network: nn.Module) -> None:
        """Average the gradients over the workers in one message, in place.

        For gradients that were added up in several passes. DistributedDataParallel would send each pass, and its
        no_sync() cannot be had together with the static graph that `parallel` needs (torch 2.15: internal assert).
        """
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        if self.world_size == 1 or not gradients:
            return
        together = self.sum(torch.cat([gradient.flatten() for gradient in gradients])).div_(self.world_size)
        for gradient, mean in zip(gradients, together.split_with_sizes([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view(gradient.shape))

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


@contextmanager
def synchronised(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Let batch normalisation use the statistics of all workers' images, for as long as the context lasts.

    The layers are exchanged for SyncBatchNorm, which holds the same tensors, and put back afterwards: a bundle and
    a checkpoint never know.
    Raises ValueError: `device` is not a CUDA device, on which alone torch has SyncBatchNorm.
    """
    if device.type != "cuda":
        raise ValueError(
            f"sync_normalisation was asked for on {device}, but torch has SyncBatchNorm on CUDA devices only. Leave it "
            "out on CPUs: there each worker normalises its own part, and statistics are averaged once an epoch."
        )
    exchanged = [
        (parent, name, child)
        for parent in list(network.modules())
        for name, child in parent.named_children()
        if isinstance(child, nn.modules.batchnorm._BatchNorm)
    ]
    for parent, name, child in exchanged:
        setattr(parent, name, nn.SyncBatchNorm.convert_sync_batchnorm(child))  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for parent, name, child in exchanged:
            setattr(parent, name, child)
