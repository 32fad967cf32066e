"""Configuration: what recipes for whole images may say, `task: classify` and `task: autoencode`."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from jobs.frozen import Frozen
from jobs.recipe_config import Recipe


class ImageSplitConfig(Frozen):
    """Whether the images of a data set are divided anew."""

    validation: float | None = Field(default=None, gt=0, lt=1)
    """Share of what trains and validates in the data set that validates here, rounded up, of each class alike; none: as
    the data set divides them. Its test part stays out, unless `test` says otherwise."""
    test: float | None = Field(default=None, gt=0, lt=1)
    """Share of all images that judges here, drawn first; `validation` is a share of the rest then. None: as the data
    set says."""
    seed: int = 0

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.test is not None and self.validation is None:
            raise ValueError("`test` alone leaves nothing to validate on; say `validation` too, its share of the rest")
        return self

    @model_serializer(mode="wrap")
    def _without_unset(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # keys of recipes that were trained before this option existed stay what they were
        return {name: value for name, value in handler(self).items() if name != "test" or value is not None}


class ImageDataConfig(Frozen):
    """Which images a recipe trains on."""

    run: str
    """Run YAML with a data set (it is ingested if it is not yet)."""
    channels: tuple[str, ...] = ()
    """In the order of the network; none: all bands."""
    scaling: Literal["standard", "range"] = "standard"
    """By mean and standard deviation of what trains; or the valid range to 0..1 (1/255 of photos)."""
    augment: tuple[str | dict[str, dict[str, Any] | None], ...] = ()
    """Operations of `tiler.augment` on what trains; validation is not augmented."""
    augment_validation: bool = False
    """Unless this says so: Keras' `validation_split` in an augmenting generator does, and so does the illustration
    document. It changes which epoch is best; `scores.json`, written at the end, is of plain images."""
    split: ImageSplitConfig = ImageSplitConfig()
    curation: str | None = None
    """OUT/curation/kept.csv, which `sandan curate apply` wrote: other images are left out everywhere. None: as the run
    says."""
    exclude: tuple[str, ...] = ()
    """CSV files with a column id: images that are left out as well."""

    @model_serializer(mode="wrap")
    def _without_unset(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # keys of recipes that were trained before this option existed stay what they were
        return {name: value for name, value in handler(self).items() if name != "augment_validation" or value}


class ClassifierNetworkConfig(Frozen):
    """Which classifier a recipe trains, and from which weights."""

    architecture: str = "cnn"
    weights: str
    """random:SEED, recipe:FOLDER, file:PATH or hub:ID; there is no default on purpose."""
    side_px: int | None = Field(default=None, ge=1)
    """Side of the square that it sees; none: that of the data set's images."""
    widths: tuple[int, ...] = (50, 80, 120)
    """Filters of each block."""
    hidden: int = 50
    """Numbers of the dense layer before the last."""


class ClassifyRecipeConfig(Recipe):
    """A recipe of a classifier of whole images."""

    task: Literal["classify"]
    network: ClassifierNetworkConfig
    data: ImageDataConfig
    class_weights: Literal["none", "balanced"] | dict[str, float] = "none"
    """Of each class in the loss: all 1; by how rare it is among what trains; or by name, 1 where not named."""


class AutoencoderNetworkConfig(Frozen):
    """Which autoencoder a recipe trains, and from which weights."""

    weights: str
    """random:SEED, recipe:FOLDER, file:PATH or hub:ID; there is no default on purpose."""
    side_px: int | None = Field(default=None, ge=16)
    """Side of the square that it sees, a multiple of 16; none: that of the data set's images."""
    width: int = 16
    """Filters of the first convolution."""
    bottleneck: int = 128
    """Numbers of a vector."""
    per_image: bool = False
    """Standardise each image by itself, so that vectors do not tell its brightness and contrast."""

    @model_serializer(mode="wrap")
    def _without_unset(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # keys of recipes that were trained before this option existed stay what they were
        return {name: value for name, value in handler(self).items() if name != "per_image" or value}


class AutoencodeRecipeConfig(Recipe):
    """A recipe of a convolutional autoencoder."""

    task: Literal["autoencode"]
    network: AutoencoderNetworkConfig
    data: ImageDataConfig


ImageRecipe = ClassifyRecipeConfig | AutoencodeRecipeConfig
