"""Configuration: what a run and a recipe may say, as frozen models; jobs/parsing.py reads them.

A *run* maps something (or ingests a data set), a *recipe* trains something. Paths are relative to the working
directory.
"""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cluster.engine import ENGINES, Resources
from tiler.labels import LabelSpec
from tiler.scenes import SceneSpec
from tiler.split import Split

Output = Literal["cog", "stac", "report"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


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


class InferConfig(_Frozen):
    """How networks are run over windows."""

    tile_px: int = 512
    overlap_px: int = 64
    tta: Literal["none", "flips4"] = "flips4"
    """Test-time augmentation: "flips4" averages identity, left-right, up-down and both."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    batch: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Windows per forward pass (each in all its views)."""


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


class ModalityConfig(_Frozen):
    """A coarse raster that comes with every tile of a data set."""

    name: str
    """gems or air."""
    bands: int = Field(ge=1)
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
    modalities: tuple[str, ...] = ()
    """Coarse rasters to fuse (none can be read yet)."""
    area: str | None = None
    """Vector file; only windows that touch its polygons are mapped."""
    grid: Literal["auto"] | GridConfig = "auto"
    """Map grid; "auto" takes CRS and resolution of the first scene by id."""
    models: tuple[str, ...] = ()
    """Folders of trained bundles; their logits are averaged."""
    infer: InferConfig = InferConfig()
    fuse: FuseConfig = FuseConfig()
    outputs: tuple[Output, ...] = ("cog", "stac", "report")
    engine: EngineConfig = EngineConfig()

    @model_validator(mode="after")
    def _supported(self) -> RunConfig:
        if self.modalities:
            raise ValueError(
                f"modalities: coarse rasters cannot be fused yet, got {list(self.modalities)}; leave it []"
            )
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


class DataConfig(_Frozen):
    """Which pixels a recipe trains on."""

    run: str
    """Run YAML whose scenes, sensor and labels are used (they are ingested if they are not yet)."""
    tile_px: int = Field(default=512, ge=32)
    tiles_per_epoch: int = Field(default=1024, ge=1)
    flips: bool = True
    split: Split = Split()


class RecipeConfig(_Frozen):
    """A recipe: a network, its data and its training; the result is a bundle."""

    out: str
    """Folder of the bundle."""
    classes: tuple[str] = ("industrial",)
    """Name of the class that the network finds (label index 1), beside background."""
    network: NetworkConfig
    data: DataConfig
    train: dict[str, Any] = {}
    """Settings of `models.train.TrainSpec`."""
    engine: EngineConfig = EngineConfig()
