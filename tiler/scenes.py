"""Scenes: one acquisition on its own native grid, perhaps many files.

Headers are read when planning, pixels by workers.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fnmatch import fnmatch
from pathlib import PurePosixPath

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from tiler.coarse import Coarse
from tiler.grids import Box, PixelGrid
from tiler.patterns import expand
from tiler.pieces import Piece, read_pieces
from tiler.placing import box_on, locate
from tiler.quality_rule import QualityBand, QualitySpec, open_quality
from tiler.rasters import ZIPPED, Header, digest, fingerprint, read_header
from tiler.scratch import Scratch
from tiler.sensors import Sensor
from tiler.suspect import check_place

PIXEL_RATIO = 1000
"""How many times smaller or larger than its sensor's a scene's pixels may be."""
DTYPES = ("uint8", "uint16", "int16", "float32")


class SceneSpec(BaseModel):
    """A scene as a user describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)
    """Name of the acquisition; it becomes part of file names."""
    files: str | tuple[str, ...] = ()
    """Paths, globs or a folder: the pieces of the scene, or the files that `bands` chooses from."""
    bands: dict[str, int | str] | None = None
    """Band name to band number (from 1), or to the file that holds it. Default: the sensor's bands are 1, 2, 3..."""
    acquired: datetime | None = None
    """Time of acquisition; without a zone it is UTC."""
    cloud_cover: float | None = Field(default=None, ge=0, le=100)
    """Clouds in percent, as a catalogue tells (`eo:cloud_cover`): which scene is the clearest."""
    nodata: float | None = None
    """Missing value; it counts before what the files declare."""
    crs: str | None = None
    """CRS of files that have a transform but no CRS, or a wrong one."""
    georeference: str | None = None
    """A raster of the same size whose CRS and transform the files take."""
    quality: QualitySpec | None = None
    """Scene classification, quality bits or cloud mask: what it calls unusable is missing."""
    modalities: dict[str, str | tuple[str, ...]] = {}
    """Name of a modality of the run (gems, air ...) to this scene's files of it, in place of the run's pattern."""

    @field_validator("acquired", mode="before")
    @classmethod
    def _dates(cls, value: object) -> object:
        return datetime(value.year, value.month, value.day) if type(value) is date else value

    @field_validator("acquired")
    @classmethod
    def _zone(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


@dataclass(frozen=True)
class Scene:
    """One acquisition: a grid, and the files that fill it. Nothing is read until `read`."""

    id: str
    acquired: datetime | None
    sensor: Sensor
    grid: PixelGrid
    dtype: str
    pieces: tuple[Piece, ...]
    fingerprint: str
    """Digest of what identifies the content of its files."""
    size_bytes: int
    """Bytes of its files (0 where unknown)."""
    quality: QualityBand | None = None
    coarse: tuple[Coarse, ...] = ()
    """Every modality of the run in order, also those that the scene lacks."""
    cloud_cover: float | None = None
    """In percent, where it is known."""

    def read(self, box: Box, scratch: Scratch | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Read a rectangle.

        Where files overlap, the first in name order that holds a measurement wins. A valid pixel is valid in all bands.

        Args:
            box: scene pixels, inside the scene.
            scratch: memory for the image; none: fresh memory.

        Returns:
            image (band, y, x) in the scene's dtype (nodata, else zero, where missing) and valid (y, x) bool.
        """
        image, valid = read_pieces(self.pieces, self.sensor, box, self.dtype, self.fill, scratch)
        if self.quality is not None:  # what lies under a cloud is a measurement still, only not of the ground
            valid &= ~self.quality.missing(self.grid, box)
        return image, valid

    @property
    def fill(self) -> float:
        """What the image array holds where it is missing: readers go by `valid`, this is for other people's tools."""
        declared = next((p.nodata for p in self.pieces if p.nodata is not None), self.sensor.nodata)
        if np.issubdtype(np.dtype(self.dtype), np.floating):
            return float("nan") if declared is None else declared
        info = np.iinfo(self.dtype)
        return declared if declared is not None and info.min <= declared <= info.max else 0


def open_scene(spec: SceneSpec, sensor: Sensor, georeferenced: Sequence[Header] = ()) -> Scene:
    """Read the headers of a scene's files and lay them out on one grid.

    Args:
        spec: the user's description.
        sensor: gives the bands and their order.
        georeferenced: headers of other rasters (labels) that a scene without CRS may take its place from: one of the
            same stem and size, or the only one if it has the same size.

    Raises:
        ValueError: no file, band missing, damaged file, pieces that do not fit together, or no CRS to be found.
    """
    chosen = _choose_files(spec, sensor)
    headers = {path: read_header(path) for path in chosen}
    _check_alike(spec, list(headers.values()), chosen)
    placed = {path: locate(spec.id, h, spec.crs, spec.georeference, georeferenced) for path, h in headers.items()}
    first_path, first = next(iter(placed.items()))
    boxes = {path: box_on(spec.id, path, first, grid) for path, grid in placed.items()}
    top, left = min(b.y0 for b in boxes.values()), min(b.x0 for b in boxes.values())
    bottom, right = max(b.y1 for b in boxes.values()), max(b.x1 for b in boxes.values())
    grid = first.part(Box(top, left, bottom, right))
    check_place(f"scene {spec.id}: {first_path}", grid)
    _check_size(spec, sensor, grid)
    pieces = tuple(
        Piece(path, bands, boxes[path].shift(-top, -left), _nodata(spec, headers[path]), headers[path].form)
        for path, bands in chosen.items()
    )
    quality = None if spec.quality is None else open_quality(spec.id, spec.quality, grid)
    return Scene(
        id=spec.id,
        acquired=spec.acquired or _date_in_name(spec.id),
        sensor=sensor,
        grid=grid,
        dtype=next(iter(headers.values())).dtype,
        pieces=pieces,
        fingerprint=digest([fingerprint(p) for p in chosen] + ([] if quality is None else [quality.fingerprint])),
        size_bytes=sum(h.size_bytes for h in headers.values()),
        quality=quality,
        cloud_cover=spec.cloud_cover,
    )


def check_distinct(scenes: Sequence[Scene]) -> None:
    """Refuse scenes that are the same pixels of the same files, links followed: each would count twice in the map.

    Raises:
        ValueError: names two of them.
    """
    seen: dict[object, Scene] = {}
    for scene in scenes:
        what = frozenset((_identity(piece.path), piece.bands) for piece in scene.pieces)
        other = seen.setdefault(what, scene)
        if other is not scene:
            raise ValueError(
                f"scenes {other.id} and {scene.id} are the same file ({other.pieces[0].path}, {scene.pieces[0].path}): "
                f"every pixel would count twice; take one out"
            )


def _identity(path: str) -> object:
    if "://" in path or path.startswith(ZIPPED):
        return path
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _check_size(spec: SceneSpec, sensor: Sensor, grid: PixelGrid) -> None:
    """Refuse pixels that no such sensor has: a sidecar or a CRS that is wrong by orders of magnitude."""
    side_m = math.sqrt(max(0.0, grid.pixel_area_m2(grid.height / 2)))  # beyond the poles it is negative
    if not sensor.resolution_m / PIXEL_RATIO <= side_m <= sensor.resolution_m * PIXEL_RATIO:
        raise ValueError(
            f"scene {spec.id}: its pixels are {side_m:.3g} m wide on the ground, those of sensor {sensor.name} "
            f"{sensor.resolution_m:g} m; correct its CRS and transform (a world file or .aux.xml may be wrong), set "
            f"`georeference`, or describe the sensor in a YAML file"
        )


def _nodata(spec: SceneSpec, header: Header) -> float | None:
    return header.nodata if spec.nodata is None else spec.nodata


def _choose_files(spec: SceneSpec, sensor: Sensor) -> dict[str, tuple[tuple[int, int], ...]]:
    """Return the files in name order, each with (place, band number) of the bands it gives."""
    bands = spec.bands or {name: i + 1 for i, name in enumerate(sensor.bands)}
    missing = [name for name in sensor.bands if name not in bands]
    if missing:
        raise ValueError(
            f"scene {spec.id}: sensor {sensor.name} needs bands {list(sensor.bands)}, `bands` gives {sorted(bands)}; "
            f"add {missing}"
        )
    unknown = [name for name in bands if name not in sensor.bands]
    if unknown:
        raise ValueError(
            f"scene {spec.id}: `bands` names {unknown}, sensor {sensor.name} has {list(sensor.bands)}; remove"
        )
    files = expand(spec.files)
    if all(isinstance(number, int) for number in bands.values()):
        if not files:
            raise ValueError(
                f"scene {spec.id}: no file matches {spec.files!r}; check the path (it is relative to here)"
            )
        numbers = tuple((place, int(bands[name])) for place, name in enumerate(sensor.bands))
        return {path: numbers for path in files}
    chosen: dict[str, list[tuple[int, int]]] = {}
    for place, name in enumerate(sensor.bands):
        pattern = str(bands[name])
        matches = [f for f in files if fnmatch(PurePosixPath(f).name, pattern) or f.endswith(pattern)] or expand(
            pattern
        )
        if not matches:
            raise ValueError(
                f"scene {spec.id}: band {name} is to come from {pattern!r}, found among {spec.files!r}: nothing; "
                f"give the file's name, a glob, or a band number"
            )
        for path in matches:
            chosen.setdefault(path, []).append((place, 1))
    return {path: tuple(numbers) for path, numbers in sorted(chosen.items())}


def _check_alike(spec: SceneSpec, headers: list[Header], chosen: dict[str, tuple[tuple[int, int], ...]]) -> None:
    first = headers[0]
    for header in headers:
        if header.bands != first.bands:
            raise ValueError(
                f"scene {spec.id}: its files differ in bands: {first.path} has {first.bands}, {header.path} has "
                f"{header.bands}; pieces of one scene must be alike"
            )
        if header.dtype != first.dtype:
            raise ValueError(
                f"scene {spec.id}: its files differ in type: {first.path} is {first.dtype}, {header.path} is "
                f"{header.dtype}; pieces of one scene must be alike"
            )
        beyond = [number for _, number in chosen[header.path] if not 1 <= number <= header.bands]
        if beyond:
            raise ValueError(
                f"scene {spec.id}: band number {beyond[0]} is wanted, {header.path} has 1 to {header.bands}; correct "
                f"`bands`"
            )
    if first.dtype not in DTYPES:
        raise ValueError(
            f"scene {spec.id}: type {first.dtype} of {first.path} is not one of {list(DTYPES)}; convert it"
        )


def _date_in_name(name: str) -> datetime | None:
    """Return the date in a scene's name: eight digits (20210527), else six at the end as in SN10_CHN_00001_230409."""
    for pattern, form in ((r"(?<!\d)((?:19|20)\d{6})(?!\d)", "%Y%m%d"), (r"_(\d{6})$", "%y%m%d")):
        for text in re.findall(pattern, name):
            try:
                return datetime.strptime(text, form).replace(tzinfo=UTC)
            except ValueError:
                continue
    return None
