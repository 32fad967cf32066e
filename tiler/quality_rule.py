"""Quality rules: a scene classification, quality bits or a cloud mask turned into "missing".

A quality raster lies on its own grid (Sentinel-2's SCL is at 20 m): each scene pixel takes the quality pixel that holds
its centre.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping as NamedValues
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tiler.grids import Box, PixelGrid
from tiler.patterns import expand
from tiler.rasters import Header, fingerprint, read_header
from tiler.warp import Mapping, nearest


class BitField(BaseModel):
    """Some neighbouring bits of a quality value, read as one number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: int = Field(ge=0, le=63)
    """Position of the lowest bit."""
    count: int = Field(default=1, ge=1, le=8)
    missing: tuple[int, ...] = (1,)
    """Numbers that mean "do not use this pixel"."""


class QualityRule(BaseModel):
    """What in a quality raster means that a pixel is missing: any of the classes, or any of the bit fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: tuple[int, ...] = ()
    fields: tuple[BitField, ...] = ()

    def missing(self, values: np.ndarray) -> np.ndarray:
        """Return bool of the shape of `values` (integers): True where the pixel must not be used."""
        out = np.isin(values, self.classes)
        for field in self.fields:
            number = (values.astype(np.int64) >> field.first) & ((1 << field.count) - 1)
            out |= np.isin(number, field.missing)
        return out


def _confidence(first: int) -> BitField:
    """Return a two-bit confidence of which 2 (medium) and 3 (high) mean missing."""
    return BitField(first=first, count=2, missing=(2, 3))


QUALITY_RULES: dict[str, QualityRule] = {
    # Sentinel-2 level 2A scene classification: no data, saturated, cloud shadow, cloud medium and high, thin cirrus.
    "scl": QualityRule(classes=(0, 1, 3, 8, 9, 10)),
    # Landsat Collection 2 QA_PIXEL: fill, dilated cloud, cirrus, cloud, cloud shadow (bits 0 to 4).
    "landsat_qa_pixel": QualityRule(fields=tuple(BitField(first=bit) for bit in range(5))),
    # Landsat 8 before collections, BQA: fill, dropped frame, cirrus and cloud confidence (bits 12-13 and 14-15); medium
    # cirrus is left, because that product marks nearly every pixel with it.
    "landsat_bqa": QualityRule(
        fields=(BitField(first=0), BitField(first=1), BitField(first=12, count=2, missing=(3,)), _confidence(14))
    ),
    # A mask that somebody supplies: anything but 0 is missing.
    "mask": QualityRule(fields=(BitField(first=0, count=8, missing=tuple(range(1, 256))),)),
}
"""Name to rule; a run may also give a rule of its own."""


class QualitySpec(BaseModel):
    """A scene's quality raster as a user describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: str | tuple[str, ...]
    """Paths, globs or folders."""
    rule: str | QualityRule = "scl"
    """A name of `QUALITY_RULES`, or classes and bit fields."""
    band: int = Field(default=1, ge=1)


@dataclass(frozen=True)
class QualityBand:
    """Quality rasters of one scene with their rule; nothing is read until `missing`."""

    headers: tuple[Header, ...]
    rule: QualityRule
    band: int

    @property
    def fingerprint(self) -> str:
        """What identifies the files' content and the rule."""
        return repr(([fingerprint(h.path) for h in self.headers], self.rule, self.band))

    def missing(self, grid: PixelGrid, box: Box) -> np.ndarray:
        """Return which pixels of a rectangle of a scene are missing: bool (y, x).

        Where rasters overlap, a pixel is missing if any of them says so; where none reaches, nothing speaks against it.
        """
        out = np.zeros((box.height, box.width), bool)
        for header in self.headers:
            assert header.grid is not None  # `open_quality` gave the scene's to those without
            mapping = Mapping(grid, header.grid)
            at = mapping.source_box(box)
            if not at.empty:
                values = header.read([self.band], at)[0]
                out |= nearest(mapping, box, self.rule.missing(values), at, False)
        return out


def named_rule(rule: str | QualityRule, known: NamedValues[str, QualityRule] = QUALITY_RULES) -> QualityRule:
    """Return a rule by name, or the rule itself.

    Raises:
        ValueError: no such name; the nearest one is given.
    """
    if isinstance(rule, QualityRule):
        return rule
    if rule not in known:
        near = difflib.get_close_matches(rule, known, n=1, cutoff=0.3)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"quality: unknown rule {rule!r}: known are {sorted(known)}, or give classes and fields{hint}")
    return known[rule]


def open_quality(scene: str, spec: QualitySpec, grid: PixelGrid) -> QualityBand:
    """Read the headers of a scene's quality rasters.

    Args:
        scene: id of the scene, for errors.
        spec: the user's description.
        grid: the scene's grid: a raster of its size without a georeference of its own lies there.

    Raises:
        ValueError: nothing matches, the rule is unknown, no such band, or a raster lies nowhere.
    """
    from dataclasses import replace

    rule, paths = named_rule(spec.rule), expand(spec.files)
    if not paths:
        raise ValueError(f"scene {scene}: no quality file matches {spec.files!r}; check the path (relative to here)")
    headers = []
    for header in map(read_header, paths):
        if header.bands < spec.band:
            raise ValueError(
                f"scene {scene}: quality band {spec.band} is wanted, {header.path} has {header.bands}; correct it"
            )
        if header.grid is None and (header.height, header.width) == (grid.height, grid.width):
            header = replace(header, grid=grid)
        if header.grid is None:
            raise ValueError(
                f"scene {scene}: the quality raster {header.path} has no CRS and is {header.height} x {header.width} "
                f"px, the scene {grid.height} x {grid.width}; give one that says where it lies"
            )
        headers.append(header)
    return QualityBand(tuple(headers), rule, spec.band)
