"""The optimizer and the course of its learning rate."""

from typing import Any

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the trainable parameters: weights of convolutions and matrices decay, all others do not.

    Biases and the scales of normalisation layers (everything with fewer than two axes) do not decay:
    pulling them to zero would shift and silence channels instead of regularising.
    """
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]


def optimizer_and_schedule(
    network: nn.Module, learning_rate: float, weight_decay: float, epochs: int
) -> tuple[AdamW, CosineAnnealingLR]:
    """Return AdamW and the cosine that takes its rate to 0 over `epochs`, stepped once an epoch.

    Rate in epoch t = learning_rate * (1 + cos(pi t / epochs)) / 2   (Loshchilov and Hutter 2017, 2019).
    """
    optimizer = AdamW(parameter_groups(network, weight_decay), lr=learning_rate)
    return optimizer, CosineAnnealingLR(optimizer, T_max=epochs)
