"""How much memory the activations of a network take: counted on tensors without data, so nothing is computed."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

SIDE_PX = 512


class _Live(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Counts the bytes of tensors that are made under it and not yet forgotten."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._count, made)
        return made

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._known:  # a view, or changed in place
            return
        size = storage.nbytes()
        self._known.add(storage)
        weakref.finalize(storage, self._forget, size)
        self.now += size
        self.most = max(self.most, self.now)

    def _forget(self, size: int) -> None:
        self.now -= size


def live_bytes_per_pixel(network: nn.Module, channels: int, side_px: int = SIDE_PX) -> float:
    """Return the most bytes of float32 activations that are alive at once in a forward pass, for a pixel of its input.

    What a library needs beside its operands is not in it.

    Args:
        network: takes (n, channels, y, x); is left as it is.
        channels: of its input.
        side_px: of the image that is reckoned with; layers of a few pixels weigh more in a small one.
    """
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    without_data = {name: tensor.detach().to("meta") for name, tensor in state.items()}
    image = torch.empty(1, channels, side_px, side_px, device="meta")
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad(), _Live() as live:
            functional_call(network, without_data, (image,))
    finally:
        for module, training in modes:
            module.training = training
    return live.most / side_px**2
