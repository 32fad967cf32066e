"""The U-Net as it was published: Ronneberger, Fischer, Brox, MICCAI 2015 (arXiv:1505.04597), figure 1.

Four levels down (two 3 x 3 convolutions with ReLU, then 2 x 2 max-pooling), four up (a 2 x 2 transposed convolution,
the features of the way down cropped at their centre and put beside, two 3 x 3 convolutions with ReLU), one 1 x 1
convolution. There is no encoder of another network in it, hence no weights to begin with but its own.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

LEVELS = 4
STEP_PX = 2**LEVELS
"""What legal sides differ by."""
SMALLEST_OUTPUT_PX = 4
"""Of a valid-padded network, from 188 px."""
MARGIN_PX = 92
"""How much narrower the output of a valid-padded network is on each side: 572 px become 388."""
WIDTH = 64
"""Filters of the first level, as published."""


class ClassicUNet(nn.Module):
    """The network of figure 1, with 31,031,745 weights from 3 channels to 1 class."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        width: int = WIDTH,
        padding: Literal["same", "valid"] = "same",
        batch_norm: bool = False,
    ) -> None:
        """Draw the weights as the paper does: Gaussian with a deviation of sqrt(2 / inputs of a neuron).

        width: filters of the first level; each level below has twice as many.
        padding: "same" keeps sizes; "valid" is the paper's: 3 x 3 convolutions lose their border.
        batch_norm: normalise behind each 3 x 3 convolution, which the paper does not.
        """
        super().__init__()
        widths = [width * 2**level for level in range(LEVELS + 1)]
        border = 1 if padding == "same" else 0
        inputs = [in_channels, *widths[:-1]]
        self.down = nn.ModuleList(_twice(a, b, border, batch_norm) for a, b in zip(inputs, widths, strict=True))
        self.pool = nn.MaxPool2d(2)
        self.widen = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in reversed(widths[:-1]))
        self.up = nn.ModuleList(_twice(2 * w, w, border, batch_norm) for w in reversed(widths[:-1]))
        self.head = nn.Conv2d(width, classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits: (n, C, h, w) to (n, classes, h, w), 184 px less each way where padding is valid.

        h, w: multiples of 16; where padding is valid, 12 more than one, and 188 at least (output 4).
        """
        features = []
        for level, block in enumerate(self.down):
            x = block(self.pool(x) if level else x)
            features.append(x)
        for widen, block, beside in zip(self.widen, self.up, reversed(features[:-1]), strict=True):
            x = widen(x)
            x = block(torch.cat([_centre(beside, x.shape[-2:]), x], dim=1))
        logits: Tensor = self.head(x)
        return logits


def with_margin(x: Tensor) -> Tensor:
    """Return images mirrored beyond their border, so that a valid-padded network answers for each of their pixels.

    The paper's overlap-tile strategy: (n, C, h, w) to (n, C, H, W), H and W legal. The image lies 92 px from the top
    and from the left, so the output of the network begins with the pixels of x. Sides of any length: an image narrower
    than the margin is mirrored again and again, and a single row is repeated.
    """
    for axis in (-2, -1):
        x = x.index_select(axis, _mirrored(x.shape[axis]).to(x.device))
    return x


def valid_side_px(output_px: int) -> int:
    """Return the smallest legal side of a valid-padded network whose output has `output_px` or more: 512 to 700."""
    steps = -(-(max(output_px, SMALLEST_OUTPUT_PX) - SMALLEST_OUTPUT_PX) // STEP_PX)
    return SMALLEST_OUTPUT_PX + steps * STEP_PX + 2 * MARGIN_PX


def _mirrored(length_px: int) -> Tensor:
    """Return which pixel of a side each one of the enlarged side shows, int64; the border itself is not repeated."""
    place = torch.arange(valid_side_px(length_px)) - MARGIN_PX
    period = max(1, 2 * (length_px - 1))
    place = place.remainder(period)
    return torch.minimum(place, period - place)


def _twice(inputs: int, outputs: int, border: int, batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers.append(nn.Conv2d(channels, outputs, 3, padding=border))
        layers += [nn.BatchNorm2d(outputs)] if batch_norm else []
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _centre(features: Tensor, size: Sequence[int]) -> Tensor:
    """Return the middle (h, w) of features; with equal padding they are as large already."""
    top, left = ((features.shape[axis] - size[axis]) // 2 for axis in (-2, -1))
    return features[..., top : top + size[0], left : left + size[1]]
