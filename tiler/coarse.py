"""Coarse modalities: rasters of kilometres a pixel (GEMS, AIR, a user's own) that come with a scene.

A modality keeps its own grid from the file to the network's input: only the part around the scene is read, and it is
brought to pixels by geography when a tile is read (tiler/fusion.py). Its name is its sensor's in lower case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from pydantic import BaseModel, ConfigDict, field_validator

from tiler.grids import Box, PixelGrid
from tiler.placing import box_on
from tiler.rasters import Form, Header, digest, fingerprint, read_header, read_window
from tiler.sensors import Sensor
from tiler.warp import Mapping

DATE = "%Y%m%d"
"""How `{date}` is written unless the pattern says otherwise."""
RESERVED = ("band", "image", "label", "mask", "quality", "spatial_ref", "valid", "x", "y")
"""What a scene store calls other things."""
MARGIN_PX = 1
"""Coarse pixels that are kept around a scene: its border pixels lie between the centres of these and of their own."""
NODE_PX = 64
"""Distance between the places of a scene that are looked up to find its footprint on a coarse grid."""
_FIELD = re.compile(r"\{(\w*)(?::([^{}]*))?\}")


class CoarseSpec(BaseModel):
    """A coarse modality of a run as a user describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sensor: str
    """GEMS, AIR, or a sensor YAML."""
    files: str | tuple[str, ...] = ()
    """Paths, globs or folders, in which `{id}` and `{date}` (or `{date:%y%m%d}`) stand for a scene's own."""

    @field_validator("files")
    @classmethod
    def _known_fields(cls, files: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for pattern in (files,) if isinstance(files, str) else files:
            unknown = sorted({m[1] for m in _FIELD.finditer(pattern)} - {"id", "date"})
            if unknown:
                raise ValueError(f"{pattern!r} holds {{{unknown[0]}}}; known are {{id}}, {{date}} and {{date:%y%m%d}}")
        return files

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns as they were written."""
        return (self.files,) if isinstance(self.files, str) else self.files

    def patterns_of(self, scene: str, acquired: datetime | None) -> tuple[str, ...]:
        """Return the patterns of one scene; one that needs a date is left out for a scene that has none."""

        def text(match: re.Match[str]) -> str:
            if match[1] == "id":
                return scene
            assert acquired is not None
            return acquired.strftime(match[2] or DATE)

        dated = [p for p in self.patterns if acquired is not None or "date" not in {m[1] for m in _FIELD.finditer(p)}]
        return tuple(_FIELD.sub(text, pattern) for pattern in dated)

    @property
    def any_patterns(self) -> tuple[str, ...]:
        """The patterns of every scene that could be: what they find beside what scenes found matches none."""
        return tuple(_FIELD.sub("*", pattern) for pattern in self.patterns)


def modality_name(sensor: Sensor) -> str:
    """Return what stores and channels call a modality.

    Raises:
        ValueError: the name cannot be that of an array beside the image.
    """
    name = sensor.name.lower()
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", name) or name in RESERVED:
        raise ValueError(
            f"modalities: the sensor {sensor.name!r} cannot name a modality: letters, digits, _ and - are possible, "
            f"{list(RESERVED)} are taken; rename it in its YAML"
        )
    return name


def mask_name(sensor: Sensor) -> str:
    """Return the channel that is 1 where a modality is missing."""
    return f"{modality_name(sensor)}_mask"


def offered_channels(sensor: Sensor, modalities: Sequence[Sensor]) -> tuple[str, ...]:
    """Return every channel that scenes offer: bands, missing mask, the bands of each modality, then a mask of each.

    Raises:
        ValueError: two of them would have the same name.
    """
    coarse = (band for m in modalities for band in m.bands)
    names = (*sensor.bands, "mask", *coarse, *(mask_name(m) for m in modalities))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"modalities: {[m.name for m in modalities]} beside sensor {sensor.name} would give several channels the "
            f"names {twice}; rename bands in a sensor YAML"
        )
    return names


@dataclass(frozen=True)
class CoarsePiece:
    """The part of one file that lies around a scene."""

    path: str
    box: Box
    """Pixels of the modality's grid."""
    row: int
    """First row of the part in the file."""
    col: int
    nodata: float | None
    form: Form
    """What the file was like when its header was read."""


@dataclass(frozen=True)
class Coarse:
    """A modality of one scene; nothing is read until `read`."""

    sensor: Sensor
    grid: PixelGrid | None = None
    """Coarse pixels around the scene; None where the scene lacks the modality."""
    pieces: tuple[CoarsePiece, ...] = ()
    """In name order."""
    fingerprint: str = ""
    """Digest of what identifies the content of its files."""

    @property
    def name(self) -> str:
        """What the store calls it."""
        return modality_name(self.sensor)

    @property
    def size_bytes(self) -> int:
        """Bytes of its values in a store, before compression."""
        return 0 if self.grid is None else 4 * len(self.sensor.bands) * self.grid.height * self.grid.width

    def read(self) -> np.ndarray:
        """Read the modality around its scene, which must not lack it.

        Where files overlap, the first in name order that holds a measurement wins, in each band on its own.

        Returns:
            float32 (band, y, x) on `grid`, NaN where missing: nodata, or outside the sensor's valid range.

        Raises:
            ValueError: a file is damaged.
        """
        assert self.grid is not None
        numbers = range(1, len(self.sensor.bands) + 1)
        out = np.full((len(numbers), self.grid.height, self.grid.width), np.nan, np.float32)
        for piece in self.pieces:
            height, width = piece.box.height, piece.box.width
            values = read_window(piece.path, numbers, piece.row, piece.col, height, width, form=piece.form)
            here = out[(slice(None), *piece.box.slices)]
            good = self.sensor.valid(values, piece.nodata) & np.isnan(here)
            here[good] = values[good]
        return out


def open_coarse(
    scene: str, grid: PixelGrid, sensor: Sensor, paths: Sequence[str], header_of: Callable[[str], Header] = read_header
) -> Coarse | None:
    """Read the headers of a modality's files and find the part of them that lies around a scene.

    Args:
        scene: id of the scene, for errors.
        grid: of the scene.
        sensor: of the modality.
        paths: in name order; those that do not reach the scene are left out.
        header_of: reads a header (a caller with many scenes keeps them).

    Returns:
        The modality, or None where no file reaches the scene.

    Raises:
        ValueError: a file is damaged, lies nowhere, has other bands than the sensor, or lies between the pixels of
            another file of the same modality and scene.
    """
    headers = [_checked(scene, sensor, header_of(path)) for path in paths]
    touching = [(path, g) for path, g in headers if not _footprint(grid, g).clip(g.box).empty]
    if not touching:
        return None
    first_path, first = touching[0]
    wanted = _footprint(grid, first)
    placed: dict[str, Box] = {}
    for path, own in touching:
        try:
            placed[path] = box_on(scene, path, first, own)
        except ValueError as error:
            raise ValueError(
                f"scene {scene}: files of one modality share a grid, {path} does not lie on the pixels of {first_path} "
                f"({error}); resample it, or leave it out of the pattern"
            ) from error
    kept = {path: box.clip(wanted) for path, box in placed.items() if not box.clip(wanted).empty}
    top, left = min(b.y0 for b in kept.values()), min(b.x0 for b in kept.values())
    bottom, right = max(b.y1 for b in kept.values()), max(b.x1 for b in kept.values())
    pieces = tuple(
        CoarsePiece(
            path,
            box.shift(-top, -left),
            box.y0 - placed[path].y0,
            box.x0 - placed[path].x0,
            header_of(path).nodata,
            header_of(path).form,
        )
        for path, box in kept.items()
    )
    found = digest([fingerprint(path) for path in kept])
    return Coarse(sensor, first.part(Box(top, left, bottom, right)), pieces, found)


def _checked(scene: str, sensor: Sensor, header: Header) -> tuple[str, PixelGrid]:
    if header.bands != len(sensor.bands):
        raise ValueError(
            f"scene {scene}: {header.path} has {header.bands} bands, sensor {sensor.name} has {len(sensor.bands)}; "
            f"give files of this sensor, or describe theirs in a sensor YAML"
        )
    if header.grid is None:
        raise ValueError(
            f"scene {scene}: the {sensor.name} raster {header.path} has no CRS and transform; coarse rasters must say "
            f"where they lie"
        )
    return header.path, header.grid


def _footprint(grid: PixelGrid, coarse: PixelGrid) -> Box:
    """Return the coarse pixels (perhaps beyond the raster) under a scene, with the margin; empty where there are none.

    Rounding noise of the transforms may add a pixel, never take one away: the margin is wider than it.
    """
    step = max(1, min(NODE_PX, max(grid.height, grid.width) // 16))
    rows = np.unique(np.append(np.arange(0, grid.height, step), grid.height))
    cols = np.unique(np.append(np.arange(0, grid.width, step), grid.width))
    r, c = Mapping(grid, coarse).exact(*np.meshgrid(rows, cols, indexing="ij"))
    finite = np.isfinite(r) & np.isfinite(c)
    if not finite.any():
        return Box(0, 0, 0, 0)
    low = np.floor([r[finite].min(), c[finite].min()]).astype(int) - MARGIN_PX
    high = np.ceil([r[finite].max(), c[finite].max()]).astype(int) + MARGIN_PX
    return Box(int(low[0]), int(low[1]), int(high[0]), int(high[1]))
