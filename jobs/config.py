"""Configuration: YAML plus `--set key=value`, parsed once into frozen models. Unknown keys name the nearest known one.

Two kinds share one language: a *run* maps something, a *recipe* trains something. Paths are relative to the working
directory; `extends: other.yaml` (relative to the file that says it) gives a file its defaults.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

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


Config = TypeVar("Config", bound=BaseModel)


def load(kind: type[Config], path: str, overrides: Sequence[str] = ()) -> Config:
    """Read a configuration file.

    Args:
        kind: `RunConfig` or `RecipeConfig`.
        path: the YAML file.
        overrides: `a.b=value` texts; the value is YAML.

    Raises:
        ValueError: the file is absent, is no YAML mapping, or holds a key or value that does not fit.
    """
    values = _read(Path(path), ())
    for override in overrides:
        _override(values, override)
    return parse(kind, values, path)


def parse(kind: type[Config], values: Mapping[str, Any], source: str) -> Config:
    """Turn plain values into a model.

    Args:
        kind: the model.
        values: its keys and values.
        source: what to call the values in errors: a file, or a section of one.

    Raises:
        ValueError: one sentence for each key or value that does not fit.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        # Of a union, pydantic reports every alternative: those of another shape than the input only confuse.
        told = [e for e in error.errors() if not (e["type"] == "string_type" and isinstance(e["input"], list | dict))]
        raise ValueError(f"{source}: " + "; ".join(_explain(kind, e) for e in told or error.errors())) from error


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in seen:
        raise ValueError(f"{path}: `extends` goes in a circle through {[str(p) for p in seen]}; break it")
    if not path.is_file():
        raise ValueError(f"configuration {path} does not exist (looked in {Path.cwd()}); check the path")
    try:
        values = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} should hold a mapping of keys to values, found {type(values).__name__}")
    parent = values.pop("extends", None)
    return _merge(_read(path.parent / parent, (*seen, path.resolve())), values) if parent else values


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return `below` with `above` laid over it; mappings merge, everything else is replaced."""
    out = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = _merge(out[key], value) if both else value
    return out


def _override(values: dict[str, Any], text: str) -> None:
    key, equals, raw = text.partition("=")
    if not equals or not key:
        raise ValueError(f"--set wants key=value, got {text!r}; for example --set infer.overlap_px=96")
    *parents, last = key.strip().split(".")
    place: Any = values
    for parent in parents:
        place = place.setdefault(parent, {}) if isinstance(place, dict) else place[_index(place, parent, text)]
        if not isinstance(place, dict | list):
            raise ValueError(f"--set {text}: {parent!r} is {place!r}, not a mapping; it has no keys below it")
    try:
        value = yaml.safe_load(raw)
    except yaml.YAMLError as error:
        raise ValueError(f"--set {text}: {raw!r} is not a YAML value; put it in quotes") from error
    if isinstance(place, list):
        place[_index(place, last, text)] = value
    else:
        place[last] = value


def _index(items: Sequence[Any], part: str, text: str) -> int:
    if not part.isdecimal() or int(part) >= len(items):
        raise ValueError(f"--set {text}: {part!r} is no item; the list has items 0 to {len(items) - 1}")
    return int(part)


def _explain(kind: type[BaseModel], error: Any) -> str:
    """Return one sentence for one pydantic error; unknown keys get the nearest known key."""
    where = ".".join(str(part) for part in error["loc"] if not str(part).startswith(("function", "tuple[", "literal[")))
    if error["type"] == "extra_forbidden":
        known = _keys_at(kind, error["loc"][:-1])
        near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"known here are {sorted(known)}"
        return f"unknown key {where!r}; {hint}"
    if error["type"] == "missing":
        return f"{where!r} is required and missing"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where or 'value'}: {message}" + ("" if error["type"] == "value_error" else f", got {error['input']!r}")


def _keys_at(kind: type[BaseModel], path: Sequence[Any]) -> list[str]:
    """Return the known keys of the model at a path of an error."""
    model: type[BaseModel] = kind
    for part in path:
        field = model.model_fields.get(str(part))
        if field is not None:
            model = next(iter(_models_in(field.annotation)), model)
    return list(model.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for inner in getattr(annotation, "__args__", ()) for m in _models_in(inner)]
