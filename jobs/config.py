"""Configuration: what a run and a recipe may say, as frozen models; jobs/parsing.py reads them.

A *run* maps something (or ingests a data set), a *recipe* trains something. Paths are relative to the working
directory.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cluster.engine import ENGINES, Resources
from jobs.addresses import addresses
from models.card import NAME, Label
from tiler.coarse import CoarseSpec
from tiler.labels import LabelSpec
from tiler.scenes import SceneSpec
from tiler.sources import Sources, check_address
from tiler.split import Split

Output = Literal["cog", "stac", "report"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class GridConfig(_Frozen):
    """The map's grid: a CRS and a pixel size in its own unit."""

    crs: str
    resolution_m: float | None = Field(default=None, gt=0)
    """Pixel size in metres, for a projected CRS."""
    resolution_deg: float | None = Field(default=None, gt=0)
    """Pixel size in degrees, for a geographic CRS."""

    @model_validator(mode="after")
    def _one_resolution(self) -> GridConfig:
        if (self.resolution_m is None) == (self.resolution_deg is None):
            raise ValueError("give one of resolution_m (projected CRS) and resolution_deg (geographic CRS)")
        return self


VIEWS = {"none": 1, "flips4": 4}
"""Forward passes of a network for one window, by `infer.tta`."""


class InferConfig(_Frozen):
    """How networks are run over windows."""

    tile_px: int = 512
    overlap_px: int = 64
    tta: Literal["none", "flips4"] = "flips4"
    """Test-time augmentation: "flips4" averages identity, left-right, up-down and both."""
    average: Literal["logit", "probability"] = "logit"
    """What is averaged over networks and views; a mean probability is kept as its logit."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    batch: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Windows per forward pass (each in all its views)."""
    adaptive: str | None = None
    """Rule that `sandan adapt` wrote: all networks and views only where one network in one view is unsure."""
    compile: Literal["none", "openvino", "default", "reduce-overhead", "max-autotune"] = "none"
    """OpenVINO (CPUs only), or a mode of torch.compile: takes up to minutes before the first window of each worker, for
    maps of hours."""
    tune: bool = True
    """Whether "auto" is measured, once for bundles and machine; else it is what usually suits the kind of device."""


class AdaptConfig(_Frozen):
    """How the rule of adaptive inference is learnt."""

    windows: int = Field(default=256, ge=8)
    """Windows to compare, drawn from all scenes of the run."""
    bound: float = Field(default=0.002, gt=0, lt=1)
    """How far a class of the map may differ from the full map: their Jaccard distance, which no IoU can change by more
    than."""
    seed: int = 0


class FuseConfig(_Frozen):
    """How logits become classes."""

    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Probability from which a pixel is of the class."""


class EngineConfig(_Frozen):
    """Who runs the work."""

    kind: str = "ray"
    workers: int | Literal["auto"] = "auto"
    gpus_per_worker: float | Literal["auto"] = "auto"
    threads_per_worker: int | Literal["auto"] = "auto"
    address: str | None = None
    """Address of a running Ray cluster; default: $RAY_ADDRESS, else workers of this machine alone."""
    price_per_worker_hour: float | None = Field(default=None, ge=0)
    """What one worker costs an hour, in any currency: then the ledger of a run tells its cost."""

    @model_validator(mode="after")
    def _known(self) -> EngineConfig:
        if self.kind not in ENGINES:
            near = difflib.get_close_matches(self.kind, ENGINES, n=1, cutoff=0.0)[0]
            raise ValueError(f"kind {self.kind!r} is unknown: known are {sorted(ENGINES)}; did you mean {near!r}?")
        self.resources()
        return self

    def resources(self) -> Resources:
        """Return what the engine is asked for.

        Raises:
            ValueError: a number that no engine can give.
        """
        return Resources(self.workers, self.gpus_per_worker, self.threads_per_worker)


class RegionsConfig(_Frozen):
    """Polygons by which an evaluation is broken down: districts, provinces."""

    file: str
    """Vector file: GeoJSON, GeoPackage, shapefile ..."""
    name: str
    """Field that holds the name of a region; polygons of one name are one region."""
    crs: str | None = None
    """For a file that does not declare its CRS."""


class EvaluateConfig(_Frozen):
    """How a map is judged."""

    where: Literal["held_back", "all"] = "held_back"
    """Labelled pixels that no network was trained on, or all: for scenes that no network was trained on at all."""
    block_px: int = Field(default=128, ge=1)
    """Side, in map pixels, of the blocks that the bootstrap draws; larger than the reach of likeness on the ground."""
    resamples: int = Field(default=1000, ge=100)
    """Of the bootstrap, for 95 % intervals."""
    boundary_tolerance_px: float = Field(default=2.0, ge=0, le=64)
    """How far apart the outlines of map and labels may run."""
    found_from: float = Field(default=0.5, gt=0, le=1)
    """Share of an object from which it counts as found."""
    part_from: float = Field(default=0.1, gt=0, le=1)
    """Share from which one object is said to meet another; an object that is covered by less is missed, or false."""
    size_edges_ha: tuple[float, ...] = (0, 1, 5, 20, 100)
    """Lower limits of the size classes in hectares, rising; the last class has no upper limit."""
    regions: RegionsConfig | None = None
    """For maps; a data set is broken down by country."""

    @model_validator(mode="after")
    def _rising(self) -> EvaluateConfig:
        edges = self.size_edges_ha
        if not edges or list(edges) != sorted(set(edges)) or edges[0] < 0:
            raise ValueError(f"size_edges_ha must rise from 0 or more, got {list(edges)}")
        if self.part_from > self.found_from:
            raise ValueError(f"part_from {self.part_from} must not exceed found_from {self.found_from}")
        return self


class ModalityConfig(_Frozen):
    """A coarse raster that comes with every tile of a data set."""

    sensor: str
    """GEMS, AIR, or a sensor YAML of one of these names."""
    side_px: int = Field(default=64, ge=1)


class DatasetConfig(_Frozen):
    """A data set of equal tiles, in the layout of AI-Hub 71805."""

    root: str
    """Folder that holds Training/ and Validation/, with zips or extracted folders."""
    tile_px: int = Field(default=512, ge=1)
    codes: dict[int, int] = {10: 1, 90: 0}
    """Label code to class index; other codes are not labelled."""
    modalities: tuple[ModalityConfig, ...] = ()
    missing_limit: float | None = Field(default=None, ge=0, le=1)
    """Largest missing ratio of a tile that is kept; default: the sensor's."""


class RunConfig(_Frozen):
    """A run: which scenes become which map, or which data set becomes a tile store."""

    out: str
    """Folder of everything the run makes: a local path, s3:// or gs://."""
    scenes: str | tuple[SceneSpec, ...] = ()
    """Scenes, or a glob or folder in which each file is a scene."""
    dataset: DatasetConfig | None = None
    """Tiles to ingest instead of scenes."""
    sensor: str = "SN10"
    labels: LabelSpec | None = None
    modalities: tuple[CoarseSpec, ...] = ()
    """Coarse rasters that come with the scenes, in the order of their channels."""
    area: str | None = None
    """Vector file; only windows that touch its polygons are mapped."""
    grid: Literal["auto"] | GridConfig = "auto"
    """Map grid; "auto" takes CRS and resolution of the first scene by id."""
    models: tuple[str, ...] = ()
    """Folders of trained bundles; their logits are averaged."""
    infer: InferConfig = InferConfig()
    adapt: AdaptConfig = AdaptConfig()
    fuse: FuseConfig = FuseConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    outputs: tuple[Output, ...] = ("cog", "stac", "report")
    engine: EngineConfig = EngineConfig()
    sources: Sources = Sources()
    """Which addresses may be opened, besides local paths."""

    @model_validator(mode="after")
    def _permitted(self) -> RunConfig:
        for key, address in addresses(self):
            try:
                check_address(address, self.sources)
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from error
        return self

    @model_validator(mode="after")
    def _supported(self) -> RunConfig:
        if self.modalities and self.dataset is not None:
            raise ValueError("modalities: those of a data set stand in `dataset.modalities`; move them there")
        if self.dataset is None and not self.scenes:
            raise ValueError("scenes: the list is empty; name at least one, or a `dataset`")
        if self.dataset is not None and self.scenes:
            raise ValueError("a run has `scenes` or a `dataset`, not both; make two runs of it")
        return self


class NetworkConfig(_Frozen):
    """Which network a recipe trains, and from which weights."""

    architecture: str
    encoder: str = "efficientnet-b5"
    weights: str
    """file:PATH, hub:ID[@rev], recipe:FOLDER or random:SEED; there is no default on purpose."""
    stem: Literal["auto", "names", "tile", "zero"] = "auto"
    """What to do where the source has other channels: `models.weights.initialise`."""
    scaling: Literal["data", "source"] = "data"
    """Whose offset and scale: those of this recipe's data, or of the source for the channels that it has."""


class SamplingConfig(_Frozen):
    """Which places are drawn to train, and how often."""

    classes: dict[int, float] = {}
    """Class index to the share of tiles that are set on a pixel of it; the rest may lie anywhere."""
    weights: str | None = None
    """CSV with the columns id and weight: how often a scene or tile is drawn (1 where it is not named, 0 for never)."""
    label_fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of the labels that may be used."""


class DataConfig(_Frozen):
    """Which pixels a recipe trains on."""

    run: str
    """Run YAML with scenes and labels, or with a data set (they are ingested if they are not yet)."""
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


class RecipeConfig(_Frozen):
    """A recipe: a network, its data and its training; the result is a bundle."""

    out: str
    """Folder of the bundle."""
    classes: tuple[Label, ...] = Field(default=("industrial",), min_length=1)
    """One name: the class that the network finds (label index 1), beside background. Several: label indices 0, 1, 2...
    by softmax, the first is background."""
    network: NetworkConfig
    data: DataConfig
    train: dict[str, Any] = {}
    """Settings of `models.train.TrainSpec`."""
    engine: EngineConfig = EngineConfig()

    @model_validator(mode="after")
    def _named(self) -> RecipeConfig:
        name = Path(self.out).resolve().name
        if not re.fullmatch(NAME, name):
            raise ValueError(
                f"out: {self.out!r:.200} ends in {name!r:.200}, which cannot name a bundle; choose another folder"
            )
        return self
