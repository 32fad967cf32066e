"""What is decided or refused before a run starts, from its settings alone: scenes, the map's grid, the folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyproj
from pydantic import ValidationError

from cluster.storage import Storage
from cluster.units import THREADS
from jobs.config import GridConfig, RunConfig
from tiler.grids import MapGrid
from tiler.patterns import expand
from tiler.rasters import Header
from tiler.scenes import Scene, SceneSpec, open_scene
from tiler.sensors import Sensor, load_sensor
from tiler.stac_scenes import find_scenes
from tiler.stac_search import StacSearch

logger = logging.getLogger(__name__)


def scene_specs(config: RunConfig) -> tuple[SceneSpec, ...]:
    """Return the scenes of a run as they were described; a catalogue is asked anew each time.

    Raises:
        ValueError: a pattern matches nothing, a catalogue cannot be read or has nothing, or two scenes have one id.
    """
    if isinstance(config.scenes, StacSearch):
        try:
            specs, notes = find_scenes(config.scenes, load_sensor(config.sensor), config.sources)
        except ValueError as error:
            raise ValueError(f"scenes: {error}") from error
        for note in notes:
            logger.warning("scenes: %s", note)
    elif isinstance(config.scenes, str):
        files = expand(config.scenes)
        if not files:
            raise ValueError(f"scenes: no file matches {config.scenes!r}; check the path (it is relative to here)")
        specs = tuple(_named_by(f) for f in files)
    else:
        specs = config.scenes
    ids = [spec.id for spec in specs]
    twice = sorted({i for i in ids if ids.count(i) > 1}) if len(set(ids)) < len(ids) else []
    if twice:
        raise ValueError(f"scenes: ids must differ, these repeat: {twice}; rename them")
    return specs


def _named_by(file: str) -> SceneSpec:
    try:
        return SceneSpec(id=Path(file).stem, files=file)
    except ValidationError as error:
        raise ValueError(
            f"scenes: the name of {file!r} cannot be a scene's id (at most 200 letters, digits, '.', '_', '-', the "
            f"first a letter or digit); rename the file, or list the scenes with ids of their own"
        ) from error


def open_scenes(
    specs: Sequence[SceneSpec], sensor: Sensor, headers: Sequence[Header], unreadable: dict[str, str] | None = None
) -> list[Scene]:
    """Open scenes, in order of their ids.

    Args:
        specs: of the scenes.
        sensor: of the run.
        headers: of rasters that tell a place, for scenes that tell none.
        unreadable: gets id and reason of the scenes whose files cannot be understood, and the others are returned;
            None: one such scene is bad input.

    Raises:
        ValueError: a scene cannot be opened, or not one of them.
    """

    def opened(spec: SceneSpec) -> Scene | ValueError:
        try:
            return open_scene(spec, sensor, headers)
        except ValueError as error:
            return error

    ordered = sorted(specs, key=lambda spec: spec.id)
    with ThreadPoolExecutor(THREADS, "headers") as pool:  # opening a file waits for its storage
        found = list(pool.map(opened, ordered))
    scenes = [scene for scene in found if isinstance(scene, Scene)]
    failed = {spec.id: error for spec, error in zip(ordered, found, strict=True) if isinstance(error, ValueError)}
    if failed and (unreadable is None or not scenes):
        raise next(iter(failed.values()))
    if unreadable is not None:
        unreadable.update((name, " ".join(str(error).split())) for name, error in failed.items())
    return scenes


def map_grid(config: str | GridConfig, first: Scene) -> MapGrid:
    """Return the map grid; "auto" is that of the first scene.

    Raises:
        ValueError: the CRS is unknown, or its unit does not fit the resolution.
    """
    if not isinstance(config, GridConfig):
        return MapGrid.like(first.grid)
    try:
        crs = pyproj.CRS.from_user_input(config.crs)
    except pyproj.exceptions.CRSError as error:
        raise ValueError(f"grid: the CRS {config.crs!r} is unknown ({error}); give one like EPSG:5179") from error
    if not (crs.is_geographic or crs.is_projected):
        raise ValueError(f"grid: the CRS {crs.name!r} is neither projected nor geographic; give one like EPSG:5179")
    size = config.resolution_deg if crs.is_geographic else config.resolution_m
    if size is None:
        kind, wanted = ("geographic", "resolution_deg") if crs.is_geographic else ("projected", "resolution_m")
        raise ValueError(f"grid: {config.crs} is {kind}; give {wanted}")
    if not crs.is_geographic:
        size /= crs.axis_info[0].unit_conversion_factor  # feet, where a CRS counts in feet
    return MapGrid(crs.to_wkt(), (size, size))


def check_writable(storage: Storage) -> None:
    """Refuse before the start what could not be written at the end; nothing is created by asking.

    Raises:
        ValueError: the folder, or the first of its parents that exists, is not a folder that may be written to.
    """
    if not storage.is_local:
        return
    place = Path(storage.url)
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise ValueError(
            f"out: {storage.url} cannot be written ({place} is not a writable folder); choose another folder"
        )
