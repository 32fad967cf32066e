"""STAC items as scenes: which assets hold the bands of a sensor, and what the item says of their pixels.

Bands are found by common names: `eo:bands` and `raster:bands` of STAC 1.0, `bands` of 1.1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tiler.quality_rule import QualityRule, QualitySpec
from tiler.rasters import DRIVERS
from tiler.scenes import SceneSpec
from tiler.sensors import Sensor
from tiler.stac_documents import mappings, texts

NOT_PIXELS = {"thumbnail", "overview", "visual", "metadata"}
"""Roles of assets that hold pictures or texts, not measurements."""
ALSO = {"nir": ("nir08",)}
"""Common names that serve where none of a sensor's own name is: Landsat's near infrared is called nir08."""
_SHARED = ("eo:common_name", "nodata", "raster:scale", "raster:offset", "raster:spatial_resolution", "gsd")
"""What STAC 1.1 lets an asset say for all of its bands."""

Address: TypeAlias = Callable[[object], str]
"""The address of an href; raises ValueError where it may not be opened."""


class QualityAsset(BaseModel):
    """Which asset of an item is its quality raster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    asset: str = "scl"
    rule: str | QualityRule = "scl"
    band: int = Field(default=1, ge=1)


class Lacks(ValueError):
    """An item does not have the assets that are asked for."""


@dataclass(frozen=True)
class Wanted:
    """What of an item becomes a scene."""

    sensor: Sensor
    bands: Mapping[str, str | int] | None = None
    """Band to asset key, or to a band number in `asset`."""
    asset: str | None = None
    """The one asset that holds all bands."""
    quality: QualityAsset | None = None


@dataclass(frozen=True)
class ItemScene:
    """An item, read."""

    spec: SceneSpec
    collection: str
    meaning: tuple[float, float]
    """Physical value = digital number * first + second, as the item says; (1, 0) where it says nothing."""


@dataclass(frozen=True)
class _Band:
    """A band of an asset, with what the item says of it."""

    key: str
    """Of the asset."""
    number: int
    """In the asset, from 1."""
    of: int
    """Bands of the asset that the item tells of."""
    href: object
    facts: Mapping[str, Any]

    def is_called(self, name: str) -> bool:
        names = {self.facts.get(word) for word in ("eo:common_name", "common_name")}
        return name in (names if names != {None} else {self.facts.get("name", self.key), self.key})

    def resolution_m(self) -> float | None:
        return _number(*(self.facts.get(word) for word in ("raster:spatial_resolution", "spatial_resolution", "gsd")))


def scene_of(item: Mapping[str, Any], wanted: Wanted, address: Address) -> ItemScene:
    """Return the scene that an item describes.

    Args:
        item: STAC 1.0 or 1.1, as plain data that nobody has checked.
        wanted: what of it is to be read.
        address: resolves and permits hrefs.

    Raises:
        Lacks: an asset or a band is not there.
        ValueError: it is no item, or names a file that may not be opened.
    """
    assets, name = item.get("assets"), item.get("id")
    if not isinstance(name, str):
        raise ValueError("its `id` is no text")
    if not isinstance(assets, dict) or not all(isinstance(asset, dict) for asset in assets.values()):
        raise ValueError("its `assets` are no mapping of keys to assets")
    chosen = _chosen(assets, wanted)
    hrefs = {name: address(band.href) for name, band in chosen.items()}
    several = len(set(hrefs.values())) == 1 and (wanted.asset is not None or chosen[wanted.sensor.bands[0]].of > 1)
    files = hrefs[wanted.sensor.bands[0]] if several else ()
    bands: dict[str, int | str] = {n: b.number for n, b in chosen.items()} if several else dict(hrefs)
    nodata = {repr(_nodata(band.facts.get("nodata"))) for band in chosen.values()}
    value = _nodata(next(iter(chosen.values())).facts.get("nodata")) if len(nodata) == 1 else None
    try:
        spec = SceneSpec.model_validate(
            {
                "id": re.sub("[^A-Za-z0-9._-]+", "-", name).lstrip("._-"),
                "files": files,
                "bands": bands,
                "acquired": time_of(item),
                "cloud_cover": cloud_cover_of(item),
                "nodata": None if value == wanted.sensor.nodata else value,
                "quality": _quality(assets, wanted.quality, address),
            }
        )
    except ValidationError as error:
        raise ValueError(f"{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}") from error
    facts = chosen[wanted.sensor.bands[0]].facts
    scale = _number(facts.get("raster:scale"), facts.get("scale"))
    offset = _number(facts.get("raster:offset"), facts.get("offset"))
    return ItemScene(spec, str(item.get("collection") or ""), (1.0 if scale is None else scale, offset or 0.0))


def time_of(item: Mapping[str, Any]) -> str | None:
    """Return when an item was acquired, as it says: its `datetime`, else the beginning of its interval."""
    properties = item.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    found = properties.get("datetime") or properties.get("start_datetime")
    return found if isinstance(found, str) else None


def cloud_cover_of(item: Mapping[str, Any]) -> float | None:
    """Return how cloudy an item says it is, in percent; None where it does not say, or nothing that can be."""
    properties = item.get("properties")
    found = _number(properties.get("eo:cloud_cover")) if isinstance(properties, dict) else None
    return found if found is not None and 0 <= found <= 100 else None


def _chosen(assets: Mapping[str, Mapping[str, Any]], wanted: Wanted) -> dict[str, _Band]:
    """Return a band of an asset for each band of the sensor, in its order: all of one asset, or of an asset each."""
    names = wanted.sensor.bands
    if wanted.asset is not None:
        return _of_one_asset(assets, wanted, wanted.asset)
    if wanted.bands is not None:
        absent = sorted({str(key) for key in wanted.bands.values()} - set(assets))
        if absent:
            raise Lacks(f"has no asset {absent}, only {sorted(assets)[:30]}")
        named = {name: _bands_of(str(wanted.bands[name]), assets[str(wanted.bands[name])]) for name in names}
        for key in [bands[0].key for bands in named.values() if len(bands) > 1]:
            raise ValueError(f"its asset {key!r} holds several bands: write `asset: {key}` in place of `bands`")
        return {name: bands[0] for name, bands in named.items()}
    bands = [b for key in sorted(assets) if _is_raster(assets[key]) for b in _bands_of(key, assets[key])]
    single = {name: _best(name, [b for b in bands if b.of == 1], wanted.sensor) for name in names}
    if all(single.values()):
        return {name: band for name, band in single.items() if band is not None}
    for key in sorted({band.key for band in bands if band.of > 1}):
        found = {name: _best(name, [b for b in bands if b.key == key], wanted.sensor) for name in names}
        if all(found.values()):
            return {name: band for name, band in found.items() if band is not None}
    missing = [name for name, band in single.items() if band is None]
    raise Lacks(
        f"has no rasters with the common names {missing} (one a band, or all bands in one), among its assets "
        f"{sorted(assets)[:30]}"
    )


def _of_one_asset(assets: Mapping[str, Mapping[str, Any]], wanted: Wanted, key: str) -> dict[str, _Band]:
    names = wanted.sensor.bands
    if key not in assets:
        raise Lacks(f"has no asset {key!r}, only {sorted(assets)[:30]}")
    bands = _bands_of(key, assets[key])
    if wanted.bands is None:
        found = {name: _best(name, bands, wanted.sensor) for name in names}
        if all(found.values()):
            return {name: band for name, band in found.items() if band is not None}
    numbers = wanted.bands or {name: place + 1 for place, name in enumerate(names)}
    told = {band.number: band.facts for band in bands}
    href = assets[key].get("href")
    return {name: _Band(key, int(n), len(names), href, told.get(int(n), {})) for name, n in numbers.items()}


def _is_raster(asset: Mapping[str, Any]) -> bool:
    path = PurePosixPath(str(asset.get("href")).partition("?")[0])
    return path.suffix.lower() in DRIVERS and not NOT_PIXELS & set(texts(asset.get("roles")))


def _bands_of(key: str, asset: Mapping[str, Any]) -> list[_Band]:
    """Return the bands that an asset tells of; one that tells of none has one."""
    lists = [mappings(asset.get(word)) for word in ("eo:bands", "raster:bands", "bands")]
    count = max(1, *map(len, lists))
    shared = {word: asset[word] for word in _SHARED if word in asset}
    found = []
    for place in range(count):
        facts = dict(shared)
        for one in lists:
            facts |= one[place] if place < len(one) else {}
        found.append(_Band(key, place + 1, count, asset.get("href"), facts))
    return found


def _best(name: str, bands: list[_Band], sensor: Sensor) -> _Band | None:
    """Return the band of that name whose pixels are nearest to the sensor's; then GeoTIFF, then the shortest key."""

    def order(band: _Band) -> tuple[float, int, bool, int, str]:
        found = band.resolution_m()
        away = abs(math.log(found / sensor.resolution_m)) if found and found > 0 else 0.0
        suffix = PurePosixPath(str(band.href).partition("?")[0]).suffix.lower()
        return away, list(DRIVERS).index(suffix) if suffix in DRIVERS else 99, band.key != name, len(band.key), band.key

    for word in (name, *ALSO.get(name, ())):
        named = [band for band in bands if band.is_called(word)]
        if named:
            return min(named, key=order)
    return None


def _quality(
    assets: Mapping[str, Mapping[str, Any]], wanted: QualityAsset | None, address: Address
) -> QualitySpec | None:
    if wanted is None:
        return None
    if wanted.asset not in assets:
        raise Lacks(f"has no asset {wanted.asset!r} for its quality, only {sorted(assets)[:30]}")
    return QualitySpec(files=address(assets[wanted.asset].get("href")), rule=wanted.rule, band=wanted.band)


def _number(*values: object) -> float | None:
    """Return the first that is a finite number."""
    for value in values:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    return None


def _nodata(value: object) -> float | None:
    return math.nan if value == "nan" else _number(value)
