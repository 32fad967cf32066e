"""The STAC catalogue of a run: which map this is, of what it was made, by which networks, and how to read it.

Layout, all links relative, so the folder can be moved or copied into a bucket as it is:

    catalog.json
    map.json                      the products, with projection, statistics, sizes and checksums
    models/NAME/NAME.json         one item per network (machine learning model extension)

Extension fields are plain data here: pystac's helper classes change between its versions, the fields do not.
"""

import math
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime as Datetime
from pathlib import Path
from typing import Any

import pystac
import pystac.utils
from pystac.layout import CustomLayoutStrategy

SCHEMAS = "https://stac-extensions.github.io"
EXTENSIONS = {
    "projection": "2.0.0",
    "raster": "2.0.0",
    "file": "2.1.0",
    "processing": "1.2.0",
    "classification": "2.0.0",
    "mlm": "1.4.0",
}
COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
WEIGHTS_TYPE = "application/octet-stream; framework=pytorch"
TASKS = ("semantic-segmentation",)
STATISTICS = ("minimum", "maximum", "mean", "stddev", "valid_percent")


@dataclass(frozen=True)
class ClassFacts:
    """One value of a class map."""

    value: int
    name: str
    color: tuple[int, int, int]
    """Red, green, blue, 0-255."""


@dataclass(frozen=True)
class AssetFacts:
    """One product file of the map. The raster fields stay at their defaults for tables and pages."""

    href: str
    """Path relative to the catalogue's folder, or an absolute URL."""
    title: str
    media_type: str = COG_TYPE
    roles: Sequence[str] = ("data",)
    dtype: str | None = None
    """numpy name of the pixel type; None for what is no raster."""
    nodata: float | None = None
    unit: str = ""
    statistics: Mapping[str, float] = field(default_factory=dict)
    """Any of `STATISTICS`, over the valid pixels."""
    classes: Sequence[ClassFacts] = ()
    size_bytes: int | None = None
    sha256: str | None = None
    """64 hexadecimal digits."""


@dataclass(frozen=True)
class ModelFacts:
    """One network that took part, from its card."""

    name: str
    architecture: str
    encoder: str
    channels: Sequence[str]
    classes: Sequence[str]
    """Names in the order of the network's output; their values are their places."""
    framework_version: str
    """Version of PyTorch, such as 2.10.0."""
    digest: str
    """Identity of the bundle, as the run recorded it."""
    href: str
    """Where the weights lie."""
    weights_sha256: str | None = None
    weights_bytes: int | None = None
    tile_px: int = 512
    outputs: int = 1
    """Logits per pixel: 1 for two classes."""
    scaling: Sequence[Mapping[str, float]] = ()
    """`{"mean": ..., "stddev": ...}` per channel, in the order of `channels`."""


@dataclass(frozen=True)
class SceneFacts:
    """One scene that went into the map."""

    id: str
    datetime: Datetime | None = None
    hrefs: Sequence[str] = ()
    """Its source files or its STAC item."""


@dataclass(frozen=True)
class CatalogFacts:
    """Everything that the catalogue says. Times are aware datetimes (UTC)."""

    run_id: str
    title: str
    created: Datetime
    start: Datetime | None
    end: Datetime | None
    """First and last acquisition; both None if no scene knows its time."""
    footprint: Mapping[str, Any]
    """GeoJSON geometry in EPSG:4326, longitude first."""
    bbox: Sequence[float]
    """West, south, east, north in degrees; west > east where the map crosses the antimeridian."""
    crs_wkt: str
    epsg: int | None
    shape: tuple[int, int]
    """(height, width) of the rasters in pixels."""
    transform: Sequence[float]
    """The first six numbers of the affine transform, row by row: map = transform @ (column, row, 1)."""
    resolution_m: float | None
    assets: Mapping[str, AssetFacts]
    models: Sequence[ModelFacts] = ()
    scenes: Sequence[SceneFacts] = ()
    software: Mapping[str, str] = field(default_factory=dict)
    """Name to version of what computed the map."""
    lineage: str = "Semantic segmentation of satellite scenes, blended and fused on one map grid"
    properties: Mapping[str, Any] = field(default_factory=dict)
    """Further properties of the map item."""

    def __post_init__(self) -> None:
        """Refuse facts that STAC cannot hold."""
        if (self.start is None) != (self.end is None):
            raise ValueError(f"run {self.run_id}: start {self.start}, end {self.end}; give both times or neither")
        names = [model.name for model in self.models]
        if len(set(names)) < len(names):
            raise ValueError(f"run {self.run_id}: models {names} share names; give each its own, items are named by it")


def write_catalog(directory: Path, *, facts: CatalogFacts) -> Path:
    """Write `catalog.json` and its items into `directory` (a local folder); return the path of `catalog.json`.

    Written over an earlier catalogue, it replaces it. Raises OSError from the disk.
    """
    map_id = f"{facts.run_id}-map"
    catalog = pystac.Catalog(id=facts.run_id, title=facts.title, description=facts.lineage)
    catalog.add_items([_map_item(map_id, facts), *(_model_item(model, facts) for model in facts.models)])
    folders = CustomLayoutStrategy(
        item_func=lambda item, top: f"{top}/map.json" if item.id == map_id else f"{top}/{_model_path(item.id)}"
    )
    catalog.normalize_hrefs(str(Path(directory).absolute()), strategy=folders)
    catalog.save(catalog_type=pystac.CatalogType.SELF_CONTAINED)
    return Path(directory) / "catalog.json"


def _text(time: Datetime | None) -> str | None:
    return None if time is None else pystac.utils.datetime_to_str(time)


def _model_path(name: str) -> str:
    return f"models/{name}/{name}.json"


def _map_item(map_id: str, facts: CatalogFacts) -> pystac.Item:
    properties = {
        "title": facts.title,
        "created": _text(facts.created),
        "proj:code": f"EPSG:{facts.epsg}" if facts.epsg else None,
        "proj:wkt2": facts.crs_wkt,
        "proj:shape": list(facts.shape),
        "proj:transform": list(facts.transform),
        "processing:level": "L4",  # the level of model output
        "processing:lineage": facts.lineage,
        "processing:software": dict(facts.software),
        "processing:datetime": _text(facts.created),
        "sandan:scenes": [{"id": scene.id, "datetime": _text(scene.datetime)} for scene in facts.scenes],
        **facts.properties,
    }
    used = ("projection", "raster", "file", "processing", "classification")
    item = _item(map_id, facts, properties, used)
    for key, asset in facts.assets.items():
        item.add_asset(key, _asset(key, asset, facts))
    item.add_links(_sources(facts))
    return item


def _item(name: str, facts: CatalogFacts, properties: dict[str, Any], extensions: Iterable[str]) -> pystac.Item:
    """An item over the map's place and time; without acquisition times STAC still wants one: that of the run."""
    return pystac.Item(
        id=name,
        geometry=dict(facts.footprint),
        bbox=list(facts.bbox),
        datetime=facts.created if facts.start is None else None,
        start_datetime=facts.start,
        end_datetime=facts.end,
        properties=properties,
        stac_extensions=[f"{SCHEMAS}/{name}/v{EXTENSIONS[name]}/schema.json" for name in extensions],
    )


def _sources(facts: CatalogFacts) -> list[pystac.Link]:
    """Of what the map was derived: its scenes' files, then the items of its networks."""
    scenes = [pystac.Link("derived_from", href, title=scene.id) for scene in facts.scenes for href in scene.hrefs]
    models = [
        pystac.Link(
            "derived_from",
            f"./{_model_path(model.name)}",
            "application/geo+json",
            extra_fields={"mlm:name": model.name},
        )
        for model in facts.models
    ]
    return scenes + models


def _file(size_bytes: int | None, sha256: str | None) -> dict[str, Any]:
    """Fields of the file extension; 1220 is the multihash prefix of SHA-256 with its 32 bytes."""
    size = {} if size_bytes is None else {"file:size": size_bytes}
    return size if sha256 is None else size | {"file:checksum": f"1220{sha256}"}


def _asset(key: str, asset: AssetFacts, facts: CatalogFacts) -> pystac.Asset:
    fields = _file(asset.size_bytes, asset.sha256)
    if asset.dtype is not None:
        fields["bands"] = [_band(key, asset, facts)]
    if asset.classes:
        fields["classification:classes"] = [
            {"value": c.value, "name": c.name, "color_hint": "{:02X}{:02X}{:02X}".format(*c.color)}
            for c in asset.classes
        ]
    return pystac.Asset(asset.href, asset.title, None, asset.media_type, list(asset.roles), fields)


def _band(key: str, asset: AssetFacts, facts: CatalogFacts) -> dict[str, Any]:
    """Since STAC 1.1 the values of a band are core fields; JSON has no NaN, so nodata says "nan"."""
    band: dict[str, Any] = {"name": key, "data_type": asset.dtype, "raster:sampling": "area"}
    if asset.nodata is not None:
        band["nodata"] = "nan" if math.isnan(asset.nodata) else asset.nodata
    if asset.unit:
        band["unit"] = asset.unit
    if asset.statistics:
        band["statistics"] = {name: asset.statistics[name] for name in STATISTICS if name in asset.statistics}
    if facts.resolution_m is not None:
        band["raster:spatial_resolution"] = facts.resolution_m
    return band


def _model_item(model: ModelFacts, facts: CatalogFacts) -> pystac.Item:
    bands = [{"name": channel} for channel in model.channels]
    properties: dict[str, Any] = {
        "title": f"{model.architecture} with {model.encoder}",
        "created": _text(facts.created),
        "bands": bands,  # the model extension wants them here, STAC only if an asset has them as well
        "mlm:name": model.name,
        "mlm:architecture": model.architecture,
        "mlm:tasks": list(TASKS),
        "mlm:framework": "PyTorch",
        "mlm:framework_version": model.framework_version,
        "mlm:input": [_input(model)],
        "mlm:output": [_output(model)],
        "mlm:hyperparameters": {"encoder": model.encoder, "bundle_digest": model.digest},
    }
    item = _item(model.name, facts, properties, ("mlm", "file", "classification"))
    local = "://" not in model.href and not model.href.startswith("/")
    href = posixpath.relpath(model.href, posixpath.dirname(_model_path(model.name))) if local else model.href
    fields = _file(model.weights_bytes, model.weights_sha256)
    fields |= {"bands": bands, "mlm:artifact_type": "safetensors.torch.save_file"}
    item.add_asset("weights", pystac.Asset(href, "Weights", None, WEIGHTS_TYPE, ["mlm:model", "mlm:weights"], fields))
    return item


def _input(model: ModelFacts) -> dict[str, Any]:
    scaling = [{"type": "z-score", "mean": one["mean"], "stddev": one["stddev"]} for one in model.scaling] or None
    tensor = _tensor(len(model.channels), model.tile_px)
    return {"name": "tile", "bands": list(model.channels), "input": tensor, "value_scaling": scaling}


def _output(model: ModelFacts) -> dict[str, Any]:
    classes = [{"value": value, "name": name} for value, name in enumerate(model.classes)]
    tensor = _tensor(model.outputs, model.tile_px)
    return {"name": "logits", "tasks": list(TASKS), "result": tensor, "classification:classes": classes}


def _tensor(channels: int, side_px: int) -> dict[str, Any]:
    order = ["batch", "channel", "height", "width"]
    return {"shape": [-1, channels, side_px, side_px], "dim_order": order, "data_type": "float32"}
