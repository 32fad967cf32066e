"""U-Net 3+: Huang et al., ICASSP 2020 (arXiv:2004.08790), figure 1c and equation 1.

Each step of the way up sees all five scales at once: what lies above it on the way down, pooled, what lies beside it,
and what lies below it, enlarged. Each of the five is brought to 64 channels by a 3 x 3 convolution; together they are
320. The classification-guided module of the paper is not built: it answers for whole images.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 5
WIDTH = 64
"""Filters of the first level, as published; each level below has twice as many."""


class UNet3Plus(nn.Module):
    """The network: 26,971,777 weights from 3 channels to 1 class, 26,989,637 with deep supervision."""

    def __init__(self, in_channels: int, classes: int, width: int = WIDTH, deep_supervision: bool = False) -> None:
        """Draw the weights from torch's global generator.

        deep_supervision: a head on each of the five steps of the way up (17,860 weights more for 1 class), whose
        answers the loss judges beside the last one while the network trains.
        """
        super().__init__()
        widths = [width * 2**level for level in range(LEVELS)]
        self.down = nn.ModuleList(
            nn.Sequential(_convolution(a, b), _convolution(b, b))
            for a, b in zip([in_channels, *widths[:-1]], widths, strict=True)
        )
        together = LEVELS * width
        # of step `level` from source `scale`: below the step they come from the way up, the deepest has no way up
        self.skips = nn.ModuleList(
            nn.ModuleList(
                _convolution(together if level < scale < LEVELS - 1 else widths[scale], width)
                for scale in range(LEVELS)
            )
            for level in range(LEVELS - 1)
        )
        self.fuse = nn.ModuleList(_convolution(together, together) for _ in range(LEVELS - 1))
        self.head = nn.Conv2d(together, classes, 3, padding=1)
        deeper = [*([together] * (LEVELS - 2)), widths[-1]] if deep_supervision else []
        self.deeper_heads = nn.ModuleList(nn.Conv2d(channels, classes, 3, padding=1) for channels in deeper)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits: (n, C, h, w) to (n, classes, h, w), h and w multiples of 16.

        In training mode with deep supervision: those of all five heads, enlarged to (h, w), the last step's first:
        (n, 5, classes, h, w).
        """
        size = x.shape[-2:]
        features = []
        for level, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if level else x)
            features.append(x)
        for level in reversed(range(LEVELS - 1)):  # features[level + 1:] are of the way up by then
            skips = self.skips[level]
            assert isinstance(skips, nn.ModuleList)
            seen = [skip(_resized(features[scale], scale - level)) for scale, skip in enumerate(skips)]
            features[level] = self.fuse[level](torch.cat(seen, dim=1))
        logits: Tensor = self.head(features[0])
        if not (self.training and len(self.deeper_heads)):
            return logits
        deeper = [head(found) for head, found in zip(self.deeper_heads, features[1:], strict=True)]
        return torch.stack([logits, *(_enlarged(found, size) for found in deeper)], dim=1)


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _resized(features: Tensor, levels: int) -> Tensor:
    """Return features of so many levels below (enlarged), or above where it is negative (pooled)."""
    if levels < 0:
        return F.max_pool2d(features, 2**-levels)
    height, width = features.shape[-2:]
    return _enlarged(features, (height * 2**levels, width * 2**levels)) if levels else features


def _enlarged(features: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(features, tuple(size), mode="bilinear", align_corners=False)
