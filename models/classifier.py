"""From images to classes: the scaling of the inputs, resizing, and a network that names a class for the whole image."""

from collections.abc import Callable, Sequence

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import Tensor, nn

from models.embedder import area_resize
from models.image_networks import BlockCnn
from models.names import lookup
from models.networks import scaling_of

# Add a classifier: one entry; tests/models/test_classifier.py then runs its contract on it.
CLASSIFIERS: dict[str, Callable[..., nn.Module]] = {"cnn": BlockCnn}

MOST_WEIGHTS = 2**30
"""Of the first dense layer: what a mistaken side would cost in memory."""


class ClassifierSpec(BaseModel):
    """What must be known to build a classifier; unknown names are refused when the spec is made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str = "cnn"
    """A key of `CLASSIFIERS`."""
    in_channels: int = Field(ge=1)
    classes: int = Field(ge=2)
    side_px: int = Field(default=224, ge=1, le=4096)
    """Side of the square that the network sees; other images are resized by area."""
    widths: tuple[int, ...] = Field(default=(50, 80, 120), min_length=1, max_length=8)
    """Filters of each block; a block halves the image."""
    hidden: int = Field(default=50, ge=1, le=2**14)
    """Numbers of the dense layer before the last."""

    @field_validator("architecture")
    @classmethod
    def _known(cls, name: str) -> str:
        lookup(CLASSIFIERS, name, "architecture of a classifier")
        return name

    @model_validator(mode="after")
    def _large_enough(self) -> "ClassifierSpec":
        if not all(1 <= width <= 4096 for width in self.widths):
            raise ValueError(f"widths: {list(self.widths)} must lie in [1, 4096]. As published: [50, 80, 120].")
        left_px = self.side_px // 2 ** len(self.widths)
        if left_px < 1:
            raise ValueError(
                f"side_px: {self.side_px} px are halved {len(self.widths)} times and nothing is left. Take "
                f"{2 ** len(self.widths)} px or more, or fewer widths."
            )
        if self.widths[-1] * left_px**2 * self.hidden > MOST_WEIGHTS:
            raise ValueError(f"side_px: {self.side_px} px make a dense layer of over {MOST_WEIGHTS} weights. Halve it.")
        return self


class Classifier(nn.Module):
    """Scaling, resizing and network in one module: `network(resized((x - offset) / scale))`.

    As in `models.networks.SegmentationNetwork`, offset and scale are saved, moved and loaded with the weights, and
    computed in float32 whatever `network` runs in.
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, spec: ClassifierSpec, network: nn.Module, offset: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.spec = spec
        self.network = network
        self.register_buffer("offset", offset)
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        """Return raw logits: (n, C, h, w) in the units of the sensor, any h, w >= 1, to float32 (n, classes).

        Raises ValueError: the number of channels is not the network's.
        """
        if x.ndim != 4 or x.shape[1] != self.spec.in_channels:
            raise ValueError(
                f"The classifier takes (n, {self.spec.in_channels}, h, w), got {tuple(x.shape)}. "
                "Pick its channels, in its order, before calling it."
            )
        with torch.autocast(x.device.type, enabled=False):
            scaled = (x.float() - self.offset[:, None, None]) / self.scale[:, None, None]
            resized = area_resize(scaled, self.spec.side_px)
        logits: Tensor = self.network(resized.to(next(self.network.parameters()).dtype))
        return logits.float()


def build_classifier(
    spec: ClassifierSpec, offset: Sequence[float] | None = None, scale: Sequence[float] | None = None
) -> Classifier:
    """Build a classifier whose weights are drawn from torch's global generator (seed it to repeat them).

    offset, scale: one number per channel, in the units of the input; default: 0 and 1 (no scaling).
    Raises ValueError: a wrong number of offsets or scales, or a scale that is not positive and finite.
    """
    offsets, scales = scaling_of(spec.in_channels, offset, scale)
    options = spec.model_dump(exclude={"architecture"})
    return Classifier(spec, CLASSIFIERS[spec.architecture](**options), offsets, scales)
