"""What the STAC catalogue of a run says, as plain facts: tiler/catalog.py turns them into documents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime as Datetime
from typing import Any

COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
VRT_TYPE = "application/xml"
"""Of a virtual raster over sheets: the format has no media type of its own."""
STATISTICS = ("minimum", "maximum", "mean", "stddev", "valid_percent")


@dataclass(frozen=True)
class ClassFacts:
    """One value of a class map."""

    value: int
    name: str
    color: tuple[int, int, int] | None = None
    """Red, green, blue, 0-255."""


@dataclass(frozen=True)
class BandFacts:
    """One band of a product file."""

    name: str
    statistics: Mapping[str, float] = field(default_factory=dict)
    """Any of `STATISTICS`, over the valid pixels."""
    unit: str = ""


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
    bands: Sequence[BandFacts] = ()
    classes: Sequence[ClassFacts] = ()
    size_bytes: int | None = None
    sha256: str | None = None
    """64 hexadecimal digits."""


@dataclass(frozen=True)
class ModelFacts:
    """One network that took part, from its card."""

    name: str
    architecture: str
    encoder: str | None
    channels: Sequence[str]
    classes: Sequence[str]
    """Names in the order of the network's output; their values are their places."""
    framework_version: str
    """Version of PyTorch, such as 2.10.0."""
    digest: str
    """Identity of the bundle, as the run recorded it."""
    href: str
    """Where the weights lie; a relative path is seen from the catalogue."""
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
    version: str | None = None
    """Of the map: no two maps of a folder have one."""
    predecessor: str | None = None
    """Where the item of the last map lies, seen from the catalogue."""
    sheets: Mapping[str, "CatalogFacts"] = field(default_factory=dict)
    """By name, the parts that a large map is published in: their place, files and scenes."""

    def __post_init__(self) -> None:
        """Refuse facts that STAC cannot hold."""
        if (self.start is None) != (self.end is None):
            raise ValueError(f"run {self.run_id}: start {self.start}, end {self.end}; give both times or neither")
        names = [model.name for model in self.models]
        if len(set(names)) < len(names):
            raise ValueError(f"run {self.run_id}: models {names} share names; give each its own, items are named by it")
