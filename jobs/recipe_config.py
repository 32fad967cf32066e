"""Configuration: what a recipe may say, as frozen models; a *recipe* trains something, its `task` says what."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from jobs.config import EngineConfig, LimitsConfig
from jobs.frozen import Frozen
from jobs.gates_config import NetworkGates, TrainingGates
from models.card import NAME, Label
from models.network_options import UNSET, with_encoder
from tiler.split import Split


class NetworkConfig(Frozen):
    """Which network a recipe trains, and from which weights."""

    architecture: str
    encoder: str | None = None
    """None: efficientnet-b5, for the architectures that have an encoder."""
    weights: str
    """file:PATH, hub:ID[@rev], recipe:FOLDER or random:SEED; there is no default on purpose."""
    stem: Literal["auto", "names", "tile", "zero"] = "auto"
    """What to do where the source has other channels: `models.weights.initialise`."""
    scaling: Literal["data", "source"] = "data"
    """Whose offset and scale: those of this recipe's data, or of the source for the channels that it has."""
    width: int | None = None
    """Of unet_classic and unet3plus: filters of the first level; none: 64, as published."""
    padding: Literal["same", "valid"] = "same"
    """Of unet_classic: "valid" loses borders as published."""
    batch_norm: bool = False
    """Of unet_classic: normalise behind each 3 x 3 convolution."""
    deep_supervision: bool = False
    """Of unet3plus: the loss judges all five steps of the way up."""

    @model_validator(mode="before")
    @classmethod
    def _own_encoder(cls, values: Any) -> Any:
        return with_encoder(values)

    @model_serializer(mode="wrap")
    def _without_unset_options(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # keys of recipes that were trained before these options existed stay what they were
        values = handler(self)
        return {name: value for name, value in values.items() if name not in UNSET or value != UNSET[name]}


class SamplingConfig(Frozen):
    """Which places are drawn to train, and how often."""

    classes: dict[int, float] = Field(default={})
    """Class index to the share of tiles that are set on a pixel of it; the rest may lie anywhere."""
    weights: str | None = None
    """CSV with the columns id and weight: how often a scene or tile is drawn (1 where it is not named, 0 for never)."""
    label_fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of the labels that may be used."""


class DataConfig(Frozen):
    """Which pixels a recipe trains on."""

    run: str
    """Run YAML with scenes and labels, or with a data set (they are ingested if they are not yet)."""
    curation: str | None = None
    """OUT/curation/kept.csv, which `sandan curate apply` wrote; other tiles, or windows of scenes, neither train nor
    validate. None: what the run says."""
    exclude: tuple[str, ...] = ()
    """CSV files with a column id, such as OUT/curation/0003/removed.csv: tiles, or windows of scenes, that are left out
    as well."""
    gates: TrainingGates | None = None
    """What the data must pass before anything is trained on them; else the command ends with 3."""
    channels: tuple[str, ...] = ()
    """Names of the network's input channels, in order; none: the sensor's bands and the missing mask."""
    scaling: Literal["standard", "range"] = "standard"
    """Bands are scaled by mean and standard deviation, or by the sensor's valid range to 0..1."""
    tile_px: int = Field(default=512, ge=32)
    tiles_per_epoch: Annotated[int, Field(ge=1)] | Literal["all"] = "all"
    """"all": as many as cover the ground once; of a data set, each of its tiles once."""
    augment: tuple[str | dict[str, dict[str, Any] | None], ...] = ("HorizontalFlip", "VerticalFlip", "Transpose")
    """Operations of `tiler.augment`, by name or as {name: settings}."""
    modality_dropout: float = Field(default=0.2, ge=0, le=1)
    """Chance that a tile goes without a coarse modality, so that the network learns to do without it."""
    sampling: SamplingConfig = SamplingConfig()
    split: Split = Split()
    """Which blocks of scenes are held back; a data set has a split of its own."""
    validation_tiles: int | None = Field(default=None, ge=1)
    """Validate on so many tiles, evenly spread; none: on all."""


class Recipe(Frozen):
    """What all recipes say; the result is a bundle."""

    out: str
    """Folder of the bundle."""
    train: dict[str, Any] = Field(default={})
    """Settings of `models.train.TrainSpec`."""
    gates: NetworkGates | None = None
    """What the network must reach once it is trained; else the command ends with 3, and the bundle stays."""
    engine: EngineConfig = EngineConfig()
    limits: LimitsConfig = LimitsConfig()

    @model_validator(mode="after")
    def _named(self) -> Self:
        name = Path(self.out).resolve().name
        if not re.fullmatch(NAME, name):
            raise ValueError(
                f"out: {self.out!r:.200} ends in {name!r:.200}, which cannot name a bundle; choose another folder"
            )
        return self


class RecipeConfig(Recipe):
    """A recipe of segmentation: a network, its data and its training."""

    task: Literal["segment"] = "segment"
    classes: tuple[Label, ...] = Field(default=("industrial",), min_length=1)
    """One name: the class that the network finds (label index 1), beside background. Several: label indices 0, 1, 2...
    by softmax, the first is background."""
    network: NetworkConfig
    data: DataConfig
