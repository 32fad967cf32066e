"""Plans: what a run consists of, where everything lies and what identifies it, worked out before any worker starts.

Every stage's arrays live under the hash of what made them, so an unchanged rerun finds them, and a change finds only
what it left untouched. The contract numbers are raised by hand when the meaning of a stage changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyproj

from cluster.storage import Storage
from jobs.config import GridConfig, RunConfig
from models.card import Card, read_card
from tiler.area import area_digest, read_area, touched_blocks
from tiler.grids import Box, Cell, MapGrid, footprint
from tiler.labels import Labels, open_labels
from tiler.lattice import Lattice
from tiler.logit_store import WindowShard, wanted_windows, window_shards
from tiler.rasters import expand
from tiler.scene_store import Shard, shards_of
from tiler.scenes import Scene, SceneSpec, open_scene
from tiler.sensors import Sensor, load_sensor

CONTRACTS = {"ingest": 1, "infer": 1, "mosaic": 1, "publish": 1}


def key_of(*facts: object) -> str:
    """Return a short name for facts: the first 12 hexadecimal digits of the sha256 of their canonical JSON."""
    text = json.dumps(facts, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class ScenePlan:
    """One scene of a run: its source and the name of its store."""

    scene: Scene
    labels: Labels | None
    name: str
    """`<id>-<key>`: the store is `ingest/<name>.zarr`, and units of work begin with it."""

    def shards(self) -> list[Shard]:
        """Return the units of work of Ingest."""
        return list(shards_of(self.name, self.scene.grid))


@dataclass(frozen=True)
class Precision:
    """What was `auto` in `infer`, decided once for the whole run."""

    device: str
    precision: str
    batch: int


@dataclass(frozen=True)
class LogitPlan:
    """The windows of one scene: where their logits go."""

    source: ScenePlan
    name: str
    """`<id>-<key>`: the store is `infer/<name>.zarr`."""
    lattice: Lattice
    wanted: np.ndarray | None
    """bool (rows, cols) or None: `tiler.logit_store.wanted_windows`."""

    def shards(self) -> list[WindowShard]:
        """Return the units of work of Infer."""
        return list(window_shards(self.name, self.lattice))


@dataclass(frozen=True)
class CellTask:
    """One cell of one map with the scenes that touch it: the unit of work of Mosaic."""

    map: str
    cell: Cell
    scenes: tuple[str, ...]
    """Names of logit stores, in order of scene ids."""

    @property
    def unit(self) -> str:
        """The name of the unit of work."""
        return f"{self.map}_{self.cell.unit}"


@dataclass(frozen=True)
class MosaicPlan:
    """The map of a run."""

    name: str
    """Key of the map: the store is `mosaic/<name>.zarr`."""
    grid: MapGrid
    extent: Box
    tasks: tuple[CellTask, ...]


@dataclass(frozen=True)
class Run:
    """A configuration with everything that its headers say; nothing has been written yet."""

    config: RunConfig
    sensor: Sensor
    scenes: tuple[ScenePlan, ...]
    """In order of scene ids."""
    grid: MapGrid
    """Decided once from all scenes that the configuration names: a quarantined scene does not move the map."""
    area: tuple[object, str] | None
    """Geometry and CRS."""

    @cached_property
    def storage(self) -> Storage:
        """Where the run lives."""
        return Storage(self.config.out)

    def url(self, stage: str, name: str) -> str:
        """Return the address of a stage's zarr group."""
        return f"{self.config.out.rstrip('/')}/{stage}/{name}.zarr"

    def without(self, names: Iterable[str]) -> Run:
        """Return the run without some scenes (those that were quarantined)."""
        dropped = set(names)
        return replace(self, scenes=tuple(s for s in self.scenes if s.name not in dropped))

    @cached_property
    def cards(self) -> tuple[Card, ...]:
        """The cards of the run's bundles.

        Raises:
            ValueError: there are none, one is missing, or one does not fit the sensor.
        """
        if not self.config.models:
            raise ValueError("models: the run names no bundle; train one and add its folder to `models`")
        cards = tuple(_fitting_card(path, self.sensor) for path in self.config.models)
        if len({card.classes for card in cards}) > 1:
            found = {path: list(card.classes) for path, card in zip(self.config.models, cards, strict=True)}
            raise ValueError(f"models: bundles of one run must find the same class, found {found}; take out the others")
        names = [card.name for card in cards]
        if len(set(names)) < len(names):  # the catalogue has an item for each, by name
            raise ValueError(f"models: bundles of one run must have names of their own, found {names}; rename one")
        return cards

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that the ensemble maps."""
        return self.cards[0].classes

    def logits(self, precision: Precision) -> tuple[LogitPlan, ...]:
        """Return the plan of Infer."""
        return tuple(self._logit_plan(scene, precision) for scene in self.scenes)

    def _logit_plan(self, plan: ScenePlan, precision: Precision) -> LogitPlan:
        grid, settings = plan.scene.grid, self.config.infer
        lattice = Lattice(grid.height, grid.width, settings.tile_px, settings.overlap_px)
        touched = None if self.area is None else touched_blocks(grid, *self.area)
        area = None if self.config.area is None else area_digest(self.config.area)
        digests = [card.digest() for card in self.cards]
        key = key_of(CONTRACTS["infer"], plan.name, asdict(lattice), settings.tta, asdict(precision), digests, area)
        return LogitPlan(plan, f"{plan.scene.id}-{key}", lattice, wanted_windows(lattice, touched))

    def mosaic(self, logits: Sequence[LogitPlan]) -> MosaicPlan:
        """Return the plan of Mosaic: every cell that a scene may touch, with those scenes."""
        touching: dict[Cell, list[str]] = {}
        boxes = []
        for plan in logits:
            box, cells = footprint(plan.source.scene.grid, self.grid)
            boxes.append(box)
            for cell in cells:
                touching.setdefault(cell, []).append(plan.name)
        extent = Box(
            min(b.y0 for b in boxes), min(b.x0 for b in boxes), max(b.y1 for b in boxes), max(b.x1 for b in boxes)
        )
        name = key_of(CONTRACTS["mosaic"], asdict(self.grid), [p.name for p in logits])
        tasks = tuple(CellTask(name, cell, tuple(names)) for cell, names in sorted(touching.items()))
        return MosaicPlan(name, self.grid, extent, tasks)


def plan_run(config: RunConfig) -> Run:
    """Read the headers of everything a run names and check that it fits together.

    Raises:
        ValueError: anything that could not work; nothing has been started or written.
    """
    if config.dataset is not None:
        raise ValueError("this command works on `scenes`; the run names a `dataset`, which is only ingested")
    sensor = load_sensor(config.sensor)
    labels = None if config.labels is None else open_labels(config.labels)
    specs = _scene_specs(config)
    scenes = [open_scene(spec, sensor, labels.headers if labels else ()) for spec in specs]
    plans = tuple(_scene_plan(scene, labels) for scene in sorted(scenes, key=lambda s: s.id))
    grid = _grid(config.grid, plans[0].scene)
    run = Run(config, sensor, plans, grid, None if config.area is None else read_area(config.area))
    if run.area is not None and not any(touched_blocks(p.scene.grid, *run.area).any() for p in plans):
        raise ValueError(
            f"area: {config.area} touches none of the scenes {[p.scene.id for p in plans][:5]}; choose others"
        )
    _check_writable(run.storage)
    return run


def _scene_specs(config: RunConfig) -> tuple[SceneSpec, ...]:
    if isinstance(config.scenes, str):
        files = expand(config.scenes)
        if not files:
            raise ValueError(f"scenes: no file matches {config.scenes!r}; check the path (it is relative to here)")
        specs = tuple(SceneSpec(id=Path(f).stem, files=f) for f in files)
    else:
        specs = config.scenes
    ids = [spec.id for spec in specs]
    twice = sorted({i for i in ids if ids.count(i) > 1}) if len(set(ids)) < len(ids) else []
    if twice:
        raise ValueError(f"scenes: ids must differ, these repeat: {twice}; rename them")
    return specs


def _scene_plan(scene: Scene, labels: Labels | None) -> ScenePlan:
    near = None if labels is None else labels.near(scene.grid)
    pieces = [(p.bands, asdict(p.box), p.nodata) for p in scene.pieces]
    key = key_of(
        CONTRACTS["ingest"],
        scene.fingerprint,
        scene.sensor.model_dump(mode="json"),
        scene.grid.to_json(),
        pieces,
        str(scene.acquired),
        near.fingerprint if near else None,
    )
    return ScenePlan(scene, near, f"{scene.id}-{key}")


def _fitting_card(path: str, sensor: Sensor) -> Card:
    storage = Storage(path)
    if not storage.exists("card.json"):
        raise ValueError(
            f"models: no bundle at {path} (card.json is missing); train it first: sandan train RECIPE.yaml"
        )
    card = read_card(storage.get("card.json"))
    offered = (*sensor.bands, "mask")
    missing = [channel for channel in card.channels if channel not in offered]
    if missing:
        raise ValueError(
            f"models: the bundle {path} needs channels {list(card.channels)}, sensor {sensor.name} gives "
            f"{list(offered)}; {missing} would be missing: use a bundle trained on this sensor"
        )
    if len(card.classes) != 1:
        raise ValueError(
            f"models: the bundle {path} has classes {list(card.classes)}; maps have one class beside background"
        )
    return card


def _grid(config: str | GridConfig, first: Scene) -> MapGrid:
    """Return the map grid.

    Raises:
        ValueError: the CRS is unknown, or its unit does not fit the resolution.
    """
    if not isinstance(config, GridConfig):
        return MapGrid.like(first.grid)
    try:
        crs = pyproj.CRS.from_user_input(config.crs)
    except pyproj.exceptions.CRSError as error:
        raise ValueError(f"grid: the CRS {config.crs!r} is unknown ({error}); give one like EPSG:5179") from error
    size = config.resolution_deg if crs.is_geographic else config.resolution_m
    if size is None:
        kind, wanted = ("geographic", "resolution_deg") if crs.is_geographic else ("projected", "resolution_m")
        raise ValueError(f"grid: {config.crs} is {kind}; give {wanted}")
    if not crs.is_geographic:
        size /= crs.axis_info[0].unit_conversion_factor  # feet, where a CRS counts in feet
    return MapGrid(crs.to_wkt(), (size, size))


def _check_writable(storage: Storage) -> None:
    """Refuse before the start what could not be written at the end; nothing is created by asking.

    Raises:
        ValueError: the folder, or the first of its parents that exists, is not a folder that may be written to.
    """
    import os

    if not storage.is_local:
        return
    place = Path(storage.url)
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise ValueError(
            f"out: {storage.url} cannot be written ({place} is not a writable folder); choose another folder"
        )
