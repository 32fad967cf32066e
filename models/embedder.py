"""From images to vectors: the scaling of the inputs, a vision transformer, and what is made of its tokens.

The answer is the [CLS] token, or the patch tokens averaged in the cells of a grid, which keeps where things lie. A
linear map may follow that `models/linear_fitting.py` fits.
"""

from collections.abc import Sequence
from math import gcd
from typing import Any, Literal

import timm
import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from models.names import unknown
from models.networks import scaling_of

MOST_FEATURES = 2**14
"""Of a linear map: its weights, and what it is fitted to, must lie in memory."""
SMALLEST_DEVIATION = 1e-6
"""An image that is constant has none of its own to be divided by."""


class EmbedderSpec(BaseModel):
    """What must be known to build an embedder; unknown names are refused when the spec is made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str = "vit_base_patch16_224"
    """A vision transformer of timm."""
    in_channels: int = Field(ge=1)
    side_px: int = Field(default=224, ge=8, le=4096)
    """Side of the square that the transformer sees."""
    grid: int | None = Field(default=None, ge=1, le=64)
    """Cells a side in which patch tokens are averaged, row by row; None: the [CLS] token, behind the final norm."""
    linear: int | None = Field(default=None, ge=2)
    """Numbers to which a linear map takes that; None: no map."""
    depth: int | None = Field(default=None, ge=1, le=200)
    """Blocks; None: those of the architecture."""
    patch_px: int | None = Field(default=None, ge=1, le=4096)
    """Side of a patch; None: that of the architecture."""
    scaling: Literal["set", "image"] = "set"
    """Whose mean and deviation the network sees: of the training set (`offset`, `scale`), or of each image's own."""

    @field_validator("architecture")
    @classmethod
    def _known(cls, name: str) -> str:
        known = tuple(model for model in timm.list_models("vit_*") if "_patch" in model)
        if name not in known:
            raise ValueError(unknown(name, known, "architecture").split(" Known:")[0])  # hundreds of names
        return name


class Embedder(nn.Module):
    """Scaling, resizing and transformer in one module.

    As in `models.networks.SegmentationNetwork`, offset and scale are saved, moved and loaded with the weights, and
    computed in float32 whatever `network` runs in.
    """

    offset: Tensor
    scale: Tensor
    linear_weight: Tensor
    """float32 (dimension, features), fixed while the network trains; zeros until it is fitted. Only with `linear`."""
    linear_bias: Tensor
    """float32 (dimension,). Only with `linear`."""

    def __init__(self, spec: EmbedderSpec, network: VisionTransformer, offset: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.spec = spec
        self.network = network
        self.register_buffer("offset", offset)
        self.register_buffer("scale", scale)
        if spec.linear is not None:
            self.register_buffer("linear_weight", torch.zeros(spec.linear, self.features))
            self.register_buffer("linear_bias", torch.zeros(spec.linear))

    @property
    def features(self) -> int:
        """Numbers before the linear map."""
        return int(self.network.num_features) * (self.spec.grid or 1) ** 2

    @property
    def dimension(self) -> int:
        """Numbers of a vector."""
        return self.spec.linear or self.features

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return one vector per image, not normalised to length 1.

        x: (n, C, h, w) in the units of the sensor, any h, w >= 1 and any real type.
        valid: bool (n, C, h, w) or (n, 1, h, w); what is not valid, or not finite, counts as the mean of its channel.
        returns: float32 (n, dimension).
        Raises ValueError: the number of channels is not the network's, or `valid` has another shape.
        """
        return self.vectors(self.prepared(x, valid))

    def vectors(self, prepared: Tensor) -> Tensor:
        """Return what `forward` does, of what `prepared` returned."""
        pooled = self.pooled(prepared)
        if self.spec.linear is None:
            return pooled
        with torch.autocast(pooled.device.type, enabled=False):
            return nn.functional.linear(pooled, self.linear_weight, self.linear_bias)

    def pooled(self, prepared: Tensor) -> Tensor:
        """Return what the linear map takes, float32 (n, features), of what `prepared` returned."""
        prepared = prepared.to(next(self.network.parameters()).dtype)
        if self.spec.grid is None:
            token: Tensor = self.network(prepared)
            return token.float()
        tokens: Tensor = self.network.forward_features(prepared)[:, self.network.num_prefix_tokens :].float()
        return grid_means(tokens, self.network.patch_embed.grid_size, self.spec.grid)

    def prepared(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return what the transformer sees, float32 (n, C, side, side): scaled, missing as 0, resized by area.

        x, valid: as for `forward`, which raises the same.
        """
        if x.ndim != 4 or x.shape[1] != self.spec.in_channels:
            raise ValueError(
                f"The embedder takes (n, {self.spec.in_channels}, h, w), got {tuple(x.shape)}. "
                "Pick its channels, in its order, before calling it."
            )
        if valid is not None and (valid.shape[0], *valid.shape[2:]) != (x.shape[0], *x.shape[2:]):
            raise ValueError(f"`valid` is {tuple(valid.shape)} for images {tuple(x.shape)}. Cut both alike.")
        # on a CPU one by one: all that is made of an image stays in the cache, a quarter of the time of a batch at once
        pieces = len(x) if x.device.type == "cpu" else 1
        with torch.autocast(x.device.type, enabled=False):
            if pieces < 2:
                return self._prepared(x, valid)
            masks = [None] * pieces if valid is None else valid.chunk(pieces)
            return torch.cat([self._prepared(*piece) for piece in zip(x.chunk(pieces), masks, strict=True)])

    def _prepared(self, x: Tensor, valid: Tensor | None) -> Tensor:
        values = x.to(torch.float32, copy=True)
        seen = torch.ones_like(values, dtype=torch.bool) if valid is None else valid.bool()
        if x.is_floating_point():
            seen = seen & values.isfinite()
        if self.spec.scaling == "image":
            offset, scale = _own_statistics(values, seen)
        else:
            offset, scale = self.offset[:, None, None], self.scale[:, None, None]
        return area_resize(values.sub_(offset).div_(scale).masked_fill_(~seen, 0.0), self.spec.side_px)


def build_embedder(
    spec: EmbedderSpec, offset: Sequence[float] | None = None, scale: Sequence[float] | None = None
) -> Embedder:
    """Build an embedder whose weights are drawn from torch's global generator (seed it to repeat them).

    offset, scale: one number per channel, in the units of the input; default: 0 and 1 (no scaling).
    Raises ValueError: wrong numbers, or an architecture that cannot be built so.
    """
    offsets, scales = scaling_of(spec.in_channels, offset, scale)
    transformer = _transformer(spec)
    _check_grid(spec, transformer)
    return Embedder(spec, transformer, offsets, scales)


def _check_grid(spec: EmbedderSpec, transformer: VisionTransformer) -> None:
    rows, cols = transformer.patch_embed.grid_size
    if spec.grid is not None and (rows % spec.grid or cols % spec.grid):
        raise ValueError(
            f"grid: {spec.grid} x {spec.grid} cells do not divide {rows} x {cols} patches. Choose a divisor of them."
        )
    features = int(transformer.num_features) * (spec.grid or 1) ** 2
    if spec.linear is not None and not spec.linear <= features <= MOST_FEATURES:
        raise ValueError(
            f"linear: {spec.linear} numbers of {features}; a map takes {MOST_FEATURES} at most to no more than they "
            f"are. Choose a smaller {'number' if spec.linear > features else 'grid'}."
        )


def grid_means(tokens: Tensor, patches: tuple[int, int], cells: int) -> Tensor:
    """Return the mean token of each cell of a grid: (n, rows x cols, d) to (n, cells x cells x d), cell by cell.

    patches: rows and cols of the patches; `cells` divides both.
    """
    rows, cols = patches
    split = tokens.reshape(len(tokens), cells, rows // cells, cells, cols // cells, tokens.shape[2])
    return split.mean((2, 4)).flatten(1)


def area_resize(images: Tensor, side_px: int) -> Tensor:
    """Return images whose pixels are the means of the area that they cover: (n, C, h, w) to (n, C, side, side).

    Exact also where h is no multiple of side: a pixel that two share counts in each by its share. Images of that size
    are returned as they are.
    """
    for axis in (-2, -1):  # rows first: what is left of them is less to sort into columns
        length = images.shape[axis]
        if length == side_px:
            continue
        # edges of old and new pixels meet `shared` times: between them the same few weights serve again and again
        shared = gcd(length, side_px)
        weights = area_weights(length // shared, side_px // shared).to(images)
        lead, (height, width) = images.shape[:-2], images.shape[-2:]
        if axis == -2:
            images = (weights @ images.reshape(*lead, shared, height // shared, width)).flatten(-3, -2)
        else:
            images = (images.reshape(*lead, height, shared, width // shared) @ weights.T).flatten(-2)
    return images


def area_weights(length_px: int, side_px: int) -> Tensor:
    """Return float32 (side, length): the share of each pixel in the mean of each new one; rows add up to 1."""
    edges = torch.arange(side_px + 1, dtype=torch.float64) * length_px / side_px
    pixels = torch.arange(length_px, dtype=torch.float64)
    ends = torch.minimum(edges[1:, None], pixels + 1)
    overlap = (ends - torch.maximum(edges[:-1, None], pixels)).clamp(min=0)
    return (overlap * side_px / length_px).float()


def _own_statistics(values: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the seen pixels of each channel of each image, (n, C, 1, 1)."""
    count = seen.sum((-2, -1), keepdim=True).clamp(min=1)
    mean = torch.where(seen, values, 0.0).sum((-2, -1), keepdim=True) / count
    variance = torch.where(seen, (values - mean) ** 2, 0.0).sum((-2, -1), keepdim=True) / count
    return mean, variance.sqrt().clamp(min=SMALLEST_DEVIATION)


def _transformer(spec: EmbedderSpec) -> VisionTransformer:
    chosen: dict[str, Any] = {"depth": spec.depth, "patch_size": spec.patch_px}
    options = {name: value for name, value in chosen.items() if value is not None}
    try:
        made = timm.create_model(
            spec.architecture,
            pretrained=False,
            num_classes=0,
            global_pool="token",
            in_chans=spec.in_channels,
            img_size=spec.side_px,
            **options,
        )
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise ValueError(
            f"{spec.architecture} cannot be built for {spec.in_channels} channels of {spec.side_px} px {options}: "
            f"{error}. Choose another architecture, for example vit_base_patch16_224."
        ) from error
    if not isinstance(made, VisionTransformer) or made.cls_token is None or made.patch_embed.num_patches < 1:
        raise ValueError(
            f"{spec.architecture} at {spec.side_px} px has no [CLS] token, or no whole patch. "
            "Choose vit_base_patch16_224, or a larger side_px."
        )
    return made
