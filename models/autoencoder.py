"""From images to a few numbers and back: the scaling of the inputs, resizing, and a convolutional autoencoder."""

from collections.abc import Sequence

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor, nn

from models.embedder import area_resize
from models.image_networks import HALVINGS, ConvolutionalAutoencoder
from models.networks import scaling_of


class AutoencoderSpec(BaseModel):
    """What must be known to build an autoencoder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    in_channels: int = Field(ge=1)
    side_px: int = Field(default=224, ge=16, le=1024)
    """Side of the square that the network sees, a multiple of 16; other images are resized by area."""
    width: int = Field(default=16, ge=1, le=128)
    """Filters of the first convolution; each one below has twice as many."""
    bottleneck: int = Field(default=128, ge=1, le=2**14)
    """Numbers that are left of an image."""
    per_image: bool = False
    """Each channel of each image is brought to mean 0 and deviation 1 over its valid pixels: then brightness and
    contrast are not what the numbers tell."""

    @field_validator("side_px")
    @classmethod
    def _multiple(cls, side_px: int) -> int:
        step = 2**HALVINGS
        if side_px % step:
            below = side_px // step * step
            raise ValueError(
                f"side_px: {side_px} px cannot be halved {HALVINGS} times. Take {below} or {below + step} px."
            )
        return side_px


class Autoencoder(nn.Module):
    """Scaling, resizing and network in one module; what is not valid counts as the mean of its channel."""

    offset: Tensor
    scale: Tensor

    def __init__(self, spec: AutoencoderSpec, network: ConvolutionalAutoencoder, offset: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.spec = spec
        self.network = network
        self.register_buffer("offset", offset)
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return how wrong each pixel comes back: squared errors float32 (n, C, side, side), in scaled units.

        Each is multiplied by the valid pixels of the image that it stands for (1 or 0 where the image has that side),
        so that their sum, divided by the number of valid values, is the mean over valid pixels.
        x, valid: as for `encode`.
        """
        target, share = self.prepared(x, valid)
        made = self.network(target.to(next(self.network.parameters()).dtype)).float()
        return share * (x.shape[-2] * x.shape[-1] / self.spec.side_px**2) * (made - target) ** 2

    def encode(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return one vector per image: float32 (n, bottleneck).

        x: (n, C, h, w) in the units of the sensor, any h, w >= 1; valid: bool (n, C, h, w) or (n, 1, h, w). What is not
        valid, or not finite, counts as the mean of its channel.
        Raises ValueError: the number of channels is not the network's, or `valid` has another shape.
        """
        target, _ = self.prepared(x, valid)
        return self.network.encode(target.to(next(self.network.parameters()).dtype)).float()

    def reconstruct(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the images that are made of the vectors, in the units of the sensor: float32 (n, C, side, side)."""
        target, _ = self.prepared(x, valid)
        made = self.network(target.to(next(self.network.parameters()).dtype)).float()
        if self.spec.per_image:
            level, spread = _levels(*self._scaled(x, valid))
            made = made * spread + level
        return made * self.scale[:, None, None] + self.offset[:, None, None]

    def prepared(self, x: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return what the network sees, float32 (n, C, side, side), and the valid share of each of its pixels."""
        if x.ndim != 4 or x.shape[1] != self.spec.in_channels:
            raise ValueError(
                f"The autoencoder takes (n, {self.spec.in_channels}, h, w), got {tuple(x.shape)}. "
                "Pick its channels, in its order, before calling it."
            )
        if valid is not None and (valid.shape[0], *valid.shape[2:]) != (x.shape[0], *x.shape[2:]):
            raise ValueError(f"`valid` is {tuple(valid.shape)} for images {tuple(x.shape)}. Cut both alike.")
        with torch.autocast(x.device.type, enabled=False):
            scaled, seen = self._scaled(x, valid)
            if self.spec.per_image:
                level, spread = _levels(scaled, seen)
                scaled = torch.where(seen, (scaled - level) / spread, 0.0)
            return area_resize(scaled, self.spec.side_px), area_resize(seen.float(), self.spec.side_px)

    def _scaled(self, x: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return scaled values, 0 where nothing is known, and where something is: both (n, C, h, w)."""
        seen = x.isfinite() if valid is None else valid.bool() & x.isfinite()
        return torch.where(seen, (x.float() - self.offset[:, None, None]) / self.scale[:, None, None], 0.0), seen


def _levels(scaled: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of each channel over what is seen, (n, C, 1, 1); a deviation of 0 counts as 1."""
    count = seen.sum((2, 3), keepdim=True).clamp(min=1)
    level = scaled.sum((2, 3), keepdim=True) / count
    spread = (torch.where(seen, scaled - level, 0.0).square().sum((2, 3), keepdim=True) / count).sqrt()
    return level, torch.where(spread > 1e-6, spread, 1.0)


def build_autoencoder(
    spec: AutoencoderSpec, offset: Sequence[float] | None = None, scale: Sequence[float] | None = None
) -> Autoencoder:
    """Build an autoencoder whose weights are drawn from torch's global generator (seed it to repeat them).

    offset, scale: one number per channel, in the units of the input; default: 0 and 1 (no scaling).
    Raises ValueError: a wrong number of offsets or scales, or a scale that is not positive and finite.
    """
    offsets, scales = scaling_of(spec.in_channels, offset, scale)
    return Autoencoder(spec, ConvolutionalAutoencoder(**spec.model_dump(exclude={"per_image"})), offsets, scales)
