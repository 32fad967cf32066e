"""The table of networks, and the module that puts the scaling of its inputs in front of one.

Every network is built without weights of its own choosing: nothing here can download (models/weights.py
resolves weights, and only when it is told which).
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import Tensor, nn

from models.classic_unet import ClassicUNet, with_margin
from models.names import lookup, unknown
from models.network_options import WITHOUT_ENCODER, NetworkOption, chosen_options, with_encoder
from models.quick_import import without_compiler
from models.unet3plus import UNet3Plus

with without_compiler():
    import segmentation_models_pytorch as smp
    import timm
    from segmentation_models_pytorch.encoders import encoders as smp_encoders

# Add a network: one entry; tests/models/test_networks.py then runs its whole contract on it.
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "unet": smp.Unet,
    "unetplusplus": smp.UnetPlusPlus,
    "deeplabv3": smp.DeepLabV3,
    "deeplabv3plus": smp.DeepLabV3Plus,
    "unet_classic": ClassicUNet,
    "unet3plus": UNet3Plus,
}

# The encoders halve five times: sides must be multiples of 2 ** 5.
SIDE_MULTIPLE_PX = 32


class NetworkSpec(BaseModel):
    """What must be known to build a network; unknown names are refused when the spec is made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str
    """A key of `NETWORKS`."""
    encoder: str | None = None
    """An encoder of segmentation-models-pytorch, or one of timm as `tu-NAME`; unset: efficientnet-b5, and None for the
    architectures that have none."""
    in_channels: int = Field(ge=1)
    """Channels of the input, masks included."""
    classes: int = Field(default=1, ge=1)
    """Channels of the output; 1 is the binary case (one logit)."""
    width: int | None = Field(default=None, ge=1, le=256)
    """Of unet_classic and unet3plus: filters of the first level; None: 64, as published."""
    padding: Literal["same", "valid"] = "same"
    """Of unet_classic: "valid" loses borders as published; images are then mirrored beyond theirs."""
    batch_norm: bool = False
    """Of unet_classic: normalise behind each 3 x 3 convolution."""
    deep_supervision: bool = False
    """Of unet3plus: the loss judges all five steps of the way up."""

    @field_validator("architecture")
    @classmethod
    def _known_architecture(cls, name: str) -> str:
        lookup(NETWORKS, name, "architecture")
        return name

    @field_validator("encoder")
    @classmethod
    def _known_encoder(cls, name: str | None) -> str | None:
        if name is None:
            return name
        if name.startswith("tu-"):
            if not timm.is_model(name.removeprefix("tu-")):
                known = tuple(f"tu-{model}" for model in timm.list_models())
                raise ValueError(unknown(name, known, "encoder").split(" Known:")[0])  # over a thousand names
        elif name not in smp_encoders:
            raise ValueError(unknown(name, smp_encoders, "encoder"))
        return name

    @model_validator(mode="before")
    @classmethod
    def _own_encoder(cls, values: Any) -> Any:
        return with_encoder(values)

    @model_validator(mode="after")
    def _fitting(self) -> "NetworkSpec":
        known = WITHOUT_ENCODER.get(self.architecture)
        if known is not None and self.encoder is not None:
            raise ValueError(f"{self.architecture} has no encoder, got {self.encoder!r}. Leave encoder out.")
        strangers = sorted(set(self.options()) - set(known or ()))
        if strangers:
            owners = [name for name, settings in WITHOUT_ENCODER.items() if set(strangers) <= set(settings)]
            raise ValueError(
                f"{self.architecture} does not know {strangers}, only {list(known or ['encoder'])}. Leave them out"
                f"{', or choose ' + ' or '.join(owners) if owners else ''}."
            )
        return self

    def options(self) -> dict[NetworkOption, int | str | bool]:
        """Return what was set beside encoder, channels and classes, by field."""
        return chosen_options(self.model_dump())


class SegmentationNetwork(nn.Module):
    """Scaling and network in one module: `network((x - offset) / scale)`.

    The scaling is part of the module so that it is saved, moved and loaded with the weights, and it is
    computed in float32 even where `network` runs in bfloat16: raw satellite numbers of 10,000 have no
    room in 8 bits of mantissa.
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, spec: NetworkSpec, network: nn.Module, offset: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.spec = spec
        self.network = network
        self.register_buffer("offset", offset)
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        """Return raw logits.

        x: (n, C, h, w) floating point, any h, w >= 1, in the units of the sensor.
        returns: (n, classes, h, w) float32; (n, 5, classes, h, w) while a network with deep supervision trains.
        Sides that are not multiples of 32 are padded by repeating the last row and column, and the
        logits are cropped back. A valid-padded network sees the image mirrored beyond its border instead.
        Raises ValueError: the number of channels is not the network's.
        """
        return self.answer(self.scaled(x))

    def scaled(self, x: Tensor) -> Tensor:
        """Return `(x - offset) / scale`, computed in float32, in the number format of the weights.

        Raises ValueError: the number of channels is not the network's.
        """
        if x.ndim != 4 or x.shape[1] != self.spec.in_channels:
            raise ValueError(
                f"The network takes (n, {self.spec.in_channels}, h, w), got {tuple(x.shape)}. "
                "Pick the network's channels, in its order, before calling it."
            )
        scaled = (x.float() - self.offset[:, None, None]) / self.scale[:, None, None]
        return scaled.to(next(self.network.parameters()).dtype)

    def answer(self, scaled: Tensor) -> Tensor:
        """Return raw logits of scaled images: float32 (n, classes, h, w)."""
        height, width = scaled.shape[-2:]
        if self.spec.padding == "valid":
            mirrored: Tensor = self.network(with_margin(scaled))
            return mirrored[..., :height, :width].float()
        down, right = -height % SIDE_MULTIPLE_PX, -width % SIDE_MULTIPLE_PX
        if down or right:
            # replicate, not reflect: reflect cannot pad by more than the side, and h or w may be 1
            scaled = F.pad(scaled, (0, right, 0, down), mode="replicate")
        logits: Tensor = self.network(scaled)
        return logits[..., :height, :width].float()


def build(
    spec: NetworkSpec, offset: Sequence[float] | None = None, scale: Sequence[float] | None = None
) -> SegmentationNetwork:
    """Build a network whose weights are drawn from torch's global generator (seed it to repeat them).

    offset, scale: one number per channel, in the units of the input; default: 0 and 1 (no scaling).
    Raises ValueError: a wrong number of offsets or scales, a scale that is not positive and finite, or an
    encoder that the architecture cannot use.
    """
    offsets, scales = scaling_of(spec.in_channels, offset, scale)
    return SegmentationNetwork(spec, _inner(spec), offsets, scales)


def _inner(spec: NetworkSpec) -> nn.Module:
    options: dict[str, Any] = {"encoder_name": spec.encoder, "encoder_weights": None}
    if spec.architecture in WITHOUT_ENCODER:
        options = {str(name): value for name, value in spec.options().items()}
    try:
        return NETWORKS[spec.architecture](in_channels=spec.in_channels, classes=spec.classes, **options)
    except (TypeError, ValueError, KeyError, NotImplementedError, RuntimeError) as error:
        raise ValueError(
            f"{spec.architecture} cannot be built on the encoder {spec.encoder!r} with {spec.in_channels} "
            f"channels: {error}. Choose another encoder, for example efficientnet-b5 or resnet18."
        ) from error


def scaling_of(channels: int, offset: Sequence[float] | None, scale: Sequence[float] | None) -> tuple[Tensor, Tensor]:
    """Return offset and scale as float32 (channels,), 0 and 1 where they are not given.

    Raises ValueError: a wrong number of them, or a scale that is not positive and finite.
    """
    offsets = per_channel(channels, "offset", [0.0] * channels if offset is None else offset)
    scales = per_channel(channels, "scale", [1.0] * channels if scale is None else scale)
    if not bool((scales > 0).all()):
        raise ValueError(f"Every scale must be above 0, got {scales.tolist()}. Drop constant channels.")
    return offsets, scales


def per_channel(channels: int, what: str, values: Sequence[float]) -> Tensor:
    """Return the numbers of `channels` channels as float32.

    Raises ValueError: not one finite number each; says `what` they were.
    """
    numbers = torch.tensor(list(values), dtype=torch.float32)
    if numbers.shape != (channels,) or not bool(numbers.isfinite().all()):
        raise ValueError(
            f"{what} must hold {channels} finite numbers, one per channel, got {list(values)}. "
            "Give them in the order of the channels."
        )
    return numbers
