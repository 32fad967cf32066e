"""Configuration: what a run may say, as frozen models; jobs/parsing.py reads them.

A *run* maps something (or ingests a data set); what trains something is a recipe (`jobs.recipe_config`). Paths are
relative to the working directory.
"""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from cluster.engine import ENGINES, Resources
from jobs.addresses import addresses
from jobs.frozen import Frozen
from jobs.map_config import FuseConfig, PublishConfig
from jobs.polygons_config import PolygonsConfig
from tiler.coarse import CoarseSpec
from tiler.dataset_spec import Dataset
from tiler.frame_spec import FrameSpec
from tiler.image_spec import ImagesSpec
from tiler.labels import LabelSpec
from tiler.scenes import SceneSpec
from tiler.sources import Sources, check_address
from tiler.stac_search import StacSearch

Output = Literal["cog", "stac", "report", "statistics", "polygons"]


class GridConfig(Frozen):
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


class InferConfig(Frozen):
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
    uncertainty: bool = False
    """Whether mean probability and mean entropy are kept beside logit and spread, and mapped (`uncertainty.tif`)."""

    @model_validator(mode="after")
    def _whole(self) -> InferConfig:
        if self.uncertainty and self.adaptive is not None:
            raise ValueError(
                "uncertainty needs every network in every view on every window, which `adaptive` saves; take one out"
            )
        return self


class AdaptConfig(Frozen):
    """How the rule of adaptive inference is learnt."""

    windows: int = Field(default=256, ge=8)
    """Windows to compare, drawn from all scenes of the run."""
    bound: float = Field(default=0.002, gt=0, lt=1)
    """How far a class of the map may differ from the full map: their Jaccard distance, which no IoU can change by more
    than."""
    seed: int = 0


class EngineConfig(Frozen):
    """Who runs the work."""

    kind: str = "ray"
    workers: int | Literal["auto"] = "auto"
    gpus_per_worker: float | Literal["auto"] = "auto"
    threads_per_worker: int | Literal["auto"] = "auto"
    address: str | None = None
    """Address of a running Ray cluster; default: $RAY_ADDRESS, else workers of this machine alone."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels of the nodes that may get workers, as Ray's label selectors: `spot`, `!spot`, `in(a, b)`."""
    autoscaling: bool = False
    """Whether the cluster starts machines when workers wait for them; then `workers`, `gpus_per_worker` and
    `threads_per_worker` must be numbers."""
    unit_minutes: float | None = Field(default=None, gt=0)
    """How long one unit of work may take before its worker is replaced; none: as long as the worker answers."""
    start_minutes: float | None = Field(default=15.0, gt=0)
    """How long a worker may take to load libraries and networks before it is replaced, from when its process runs (to
    wait for a machine does not count); none: without limit."""
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
        unit_s, start_s = (None if m is None else m * 60 for m in (self.unit_minutes, self.start_minutes))
        share = (self.workers, self.gpus_per_worker, self.threads_per_worker)
        place: dict[str, Any] = {"labels": self.labels, "autoscaling": self.autoscaling}
        return Resources(*share, unit_limit_s=unit_s, start_limit_s=start_s, **place)


class LimitsConfig(Frozen):
    """What a run may take; a run that exceeds it ends in good order, and the same command continues."""

    hours: float | None = Field(default=None, gt=0)
    """Of one call; one that is known to need more is refused before it starts."""
    in_parts: bool = False
    """Whether `hours` are those of one call of several: what is left is for the next one, and none is refused."""
    memory_gb: float | None = Field(default=None, gt=0)
    """Of all its processes on the driver's machine together."""
    grace_s: float = Field(default=25.0, ge=0)
    """How long units that were begun may go on when the run is asked to end: Kubernetes kills after 30 s."""


class RegionsConfig(Frozen):
    """Named polygons by which a map is broken down: districts, provinces."""

    file: str
    """Vector file: GeoJSON, GeoPackage, shapefile ..."""
    name: str
    """Field that holds the name of a region; polygons of one name are one region."""
    crs: str | None = None
    """For a file that does not declare its CRS."""


class EvaluateConfig(Frozen):
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

    @model_validator(mode="after")
    def _rising(self) -> EvaluateConfig:
        edges = self.size_edges_ha
        if not edges or list(edges) != sorted(set(edges)) or edges[0] < 0:
            raise ValueError(f"size_edges_ha must rise from 0 or more, got {list(edges)}")
        if self.part_from > self.found_from:
            raise ValueError(f"part_from {self.part_from} must not exceed found_from {self.found_from}")
        return self


class PredictConfig(Frozen):
    """What becomes of the answers of networks on the images or tiles of a data set (`sandan predict`)."""

    masks: bool = True
    """Whether every image or tile gets a mask of its own size."""
    min_area_px: Annotated[int, Field(ge=1)] | Literal["validation"] = 1
    """Pixels of the image from which it is a yes; or the most that keeps `min_recall` on the validation images."""
    min_recall: float = Field(default=0.95, gt=0, le=1)


class EmbedConfig(Frozen):
    """How windows and frames become vectors (`sandan embed`), which `sandan search` compares."""

    model: str
    """Folder of an embedder's bundle: `sandan train` of a recipe with `task: embed` makes one."""
    tile_px: int = Field(default=512, ge=64, multiple_of=64)
    """Side of the windows of a scene, which do not overlap."""
    quadrants: bool = False
    """Whether the four quarters of every window get a vector each, besides the whole."""
    missing_limit: float = Field(default=0.9, ge=0, lt=1)
    """Largest missing ratio of a window, quarter or frame that gets a vector; the others are never found."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    batch: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Images of a forward pass."""


class RunConfig(Frozen):
    """A run: which scenes become which map, or which data set a tile store, or which frames a frame store."""

    out: str
    """Folder of everything the run makes: a local path, s3:// or gs://."""
    scenes: str | StacSearch | tuple[SceneSpec, ...] = ()
    """Scenes, a glob or folder in which each file is a scene, or a search in a STAC catalogue."""
    dataset: Dataset | None = None
    """Tiles to ingest instead of scenes."""
    curation: str | None = None
    """OUT/curation/kept.csv, which `sandan curate apply` wrote: trainings, and evaluations of a data set, leave other
    tiles or windows of scenes out."""
    frames: FrameSpec | None = None
    """Frames of a weather satellite to ingest instead of scenes."""
    sensor: str = "SN10"
    labels: LabelSpec | None = None
    modalities: tuple[CoarseSpec, ...] = ()
    """Coarse rasters that come with the scenes, in the order of their channels."""
    area: str | None = None
    """Vector file; only windows that touch its polygons are mapped."""
    regions: RegionsConfig | None = None
    """By which statistics, polygons and evaluations of a map are broken down; a data set is by country, images by
    source or class."""
    grid: Literal["auto"] | GridConfig = "auto"
    """Map grid; "auto" takes CRS and resolution of the first scene by id."""
    models: tuple[str, ...] = ()
    """Folders of trained bundles; their logits are averaged."""
    infer: InferConfig = InferConfig()
    adapt: AdaptConfig = AdaptConfig()
    embed: EmbedConfig | None = None
    fuse: FuseConfig = FuseConfig()
    publish: PublishConfig = PublishConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    polygons: PolygonsConfig = PolygonsConfig()
    predict: PredictConfig = PredictConfig()
    outputs: tuple[Output, ...] = ("cog", "stac", "report")
    engine: EngineConfig = EngineConfig()
    limits: LimitsConfig = LimitsConfig()
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
        if isinstance(self.dataset, ImagesSpec) and self.sensor != "RGB" and "sensor" in self.model_fields_set:
            raise ValueError(f"sensor {self.sensor!r}: images have red, green and blue; leave `sensor` out")
        given = [name for name in ("scenes", "dataset", "frames") if getattr(self, name)]
        if not given:
            raise ValueError("scenes: the list is empty; name at least one, or a `dataset`, or `frames`")
        if len(given) > 1:
            raise ValueError(f"a run has `{given[0]}` or `{given[1]}`, not both; make two runs of it")
        if "statistics" in self.outputs and self.regions is None:
            raise ValueError(
                "outputs: statistics are by region, and the run names none; set `regions`, or leave it out"
            )
        return self
