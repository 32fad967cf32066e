"""Plans: what a run consists of, where everything lies and what identifies it, worked out before any worker starts.

Every stage's arrays live under the hash of what made them, so an unchanged rerun finds them, and a change finds only
what it left untouched. The contract numbers are raised by hand when the meaning of a stage changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial

import numpy as np

from cluster.storage import Storage
from cluster.units import Units
from jobs.adaptive import rule_of
from jobs.bundles import fitting_card
from jobs.cells import CellTasks, MosaicPlan
from jobs.classes import check_classes
from jobs.config import RunConfig
from jobs.modalities import Modalities, coarse_facts, match_modalities
from jobs.preflight import check_writable, map_grid, open_scenes, scene_specs
from jobs.scene_order import further_layers, in_order, rule_of_fusion
from jobs.window_faults import read_faults
from models.adaptive_rule import Rule
from models.card import Card
from tiler.area import area_digest, read_area, touched_blocks
from tiler.coarse import offered_channels
from tiler.grids import Box, MapGrid, footprint
from tiler.labels import Labels, open_labels
from tiler.lattice import Lattice
from tiler.logit_store import WindowShard, wanted_windows, window_shards
from tiler.scenes import Scene, check_distinct
from tiler.sensors import Sensor, load_sensor
from tiler.shards import Shard, shard_count, shards_of

CONTRACTS = {"ingest": 1, "infer": 2, "mosaic": 1, "publish": 3}


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
    made_of: Mapping[str, str]
    """What the key stands for, by name: digests."""

    def shards(self) -> Units[Shard]:
        """Return the units of work of Ingest."""
        return Units(self.name, shard_count(self.scene.grid), partial(shards_of, self.name, self.scene.grid))


@dataclass(frozen=True)
class Precision:
    """What was `auto` in `infer`, decided once for the whole run."""

    device: str
    precision: str
    batch: int
    compile: str = "none"
    """A mode of torch.compile."""


@dataclass(frozen=True)
class LogitPlan:
    """The windows of one scene: where their logits go."""

    source: ScenePlan
    name: str
    """`<id>-<key>`: the store is `infer/<name>.zarr`."""
    lattice: Lattice
    wanted: np.ndarray | None
    """bool (rows, cols) or None: `tiler.logit_store.wanted_windows`."""
    precision: str
    """Number format of the networks."""
    made_of: Mapping[str, str]
    """What the key stands for, by name: digests."""

    def shards(self) -> Units[WindowShard]:
        """Return the units of work of Infer."""
        count = self.lattice.shard_rows * self.lattice.shard_cols
        return Units(self.name, count, partial(window_shards, self.name, self.lattice))


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
    modalities: Modalities
    """Coarse rasters beside the sensor's bands."""
    footprints: dict[str, tuple[Box, np.ndarray]] = field(default_factory=dict, compare=False, repr=False)
    """What `mosaic` found out, by name of a scene's plan: estimates and the run itself ask for it in turn."""

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
            ValueError: there are none, one is missing, or one needs what sensor and modalities do not offer.
        """
        if not self.config.models:
            raise ValueError("models: the run names no bundle; train one and add its folder to `models`")
        cards = tuple(fitting_card(path, self.sensor, self.offered) for path in self.config.models)
        if len({card.classes for card in cards}) > 1:
            found = {path: list(card.classes) for path, card in zip(self.config.models, cards, strict=True)}
            raise ValueError(f"models: bundles of one run must have equal classes, found {found}; take out the others")
        check_classes(cards[0].classes, self.config.fuse)
        names = [card.name for card in cards]
        if len(set(names)) < len(names):  # the catalogue has an item for each, by name
            raise ValueError(f"models: bundles of one run must have names of their own, found {names}; rename one")
        return cards

    @cached_property
    def rule(self) -> Rule | None:
        """The rule of adaptive inference, if there is one.

        Raises:
            ValueError: it is missing, or was learnt for other networks or settings.
        """
        return rule_of(self.config, self.cards) if self.config.infer.adaptive else None

    @cached_property
    def offered(self) -> tuple[str, ...]:
        """Every channel that the stores of the scenes offer."""
        return offered_channels(self.sensor, self.modalities.sensors)

    @property
    def coarse_channels(self) -> tuple[str, ...]:
        """The channels of coarse modalities that the networks need between them, in the stores' order."""
        needed = {channel for card in self.cards for channel in card.channels} - {*self.sensor.bands, "mask"}
        return tuple(channel for channel in self.offered if channel in needed)

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that Infer reads: bands and missing mask always, and what else networks need."""
        return (*self.sensor.bands, "mask", *self.coarse_channels)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that the ensemble maps."""
        return self.cards[0].classes

    @property
    def unit_windows(self) -> int:
        """Windows of the largest unit of Infer: more than these never share a pass."""
        return max(self._lattice(scene).shard_windows for scene in self.scenes) ** 2

    def _lattice(self, plan: ScenePlan) -> Lattice:
        grid, settings = plan.scene.grid, self.config.infer
        return Lattice(grid.height, grid.width, settings.tile_px, settings.overlap_px)

    def logits(self, precision: Precision) -> tuple[LogitPlan, ...]:
        """Return the plan of Infer."""
        settings = self.config.infer
        area = None if self.config.area is None else area_digest(self.config.area)
        how = {
            "contract": CONTRACTS["infer"],
            "views": settings.tta,
            "average": settings.average,
            "precision and batch": asdict(precision),
            "bundles": [card.digest() for card in self.cards],
            "area": area,
            "adaptive rule": None if self.rule is None else self.rule.digest(),
            **further_layers(self.config),
        }
        digests = {name: key_of(value) for name, value in how.items()}
        return tuple(self._logit_plan(scene, digests, precision.precision) for scene in self.scenes)

    def _logit_plan(self, plan: ScenePlan, how: Mapping[str, str], precision: str) -> LogitPlan:
        lattice = self._lattice(plan)
        touched = None if self.area is None else touched_blocks(plan.scene.grid, *self.area)
        made_of = {"ingested scene": plan.name, "windows": key_of(asdict(lattice)), **how}
        name = f"{plan.scene.id}-{key_of(made_of)}"
        return LogitPlan(plan, name, lattice, wanted_windows(lattice, touched), precision, made_of)

    def mosaic(self, logits: Sequence[LogitPlan]) -> MosaicPlan:
        """Return the plan of Mosaic: every cell that a scene may touch, with those scenes.

        A map that lacks windows, because their logits are not finite, has a name of its own: once they were inferred
        after all, it is another map.
        """
        logits = in_order(self, logits)
        extent, touched = self.touched([plan.source for plan in logits])
        names = [p.name for p in logits]
        faults = read_faults(self.storage, logits)
        what = {
            "contract": CONTRACTS["mosaic"],
            "grid": asdict(self.grid),
            "classes": self.classes,
            "logits": names,
            "quarantined windows": faults.facts,
            **further_layers(self.config),
            **rule_of_fusion(self.config),
        }
        made_of = {word: key_of(value) for word, value in what.items()}
        name = key_of(made_of, faults)
        return MosaicPlan(name, self.grid, extent, CellTasks(name, names, touched), made_of, faults)

    def touched(self, scenes: Sequence[ScenePlan]) -> tuple[Box, np.ndarray]:
        """Return the map pixels around scenes, and the cells that they may touch.

        Returns:
            The extent in absolute map pixels, and int32 (n, 3): row and column of a cell, and the place of a scene that
            touches it.
        """
        found = [self._footprint(scene) for scene in scenes]
        low, high = ([(a.y0, a.x0) for a, _ in found], [(a.y1, a.x1) for a, _ in found])
        extent = Box(*np.min(low, axis=0).tolist(), *np.max(high, axis=0).tolist())
        return extent, np.concatenate([np.insert(cells, 2, place, axis=1) for place, (_, cells) in enumerate(found)])

    def _footprint(self, plan: ScenePlan) -> tuple[Box, np.ndarray]:
        """Return the map pixels around a scene, and the cells that it may touch as int32 (n, 2)."""
        if plan.name not in self.footprints:
            box, cells = footprint(plan.scene.grid, self.grid)
            self.footprints[plan.name] = box, np.array([(cell.row, cell.col) for cell in cells], np.int32)
        return self.footprints[plan.name]


def plan_run(config: RunConfig, unreadable: dict[str, str] | None = None) -> Run:
    """Read the headers of everything a run names and check that it fits together.

    Args:
        config: the run.
        unreadable: as in `jobs.preflight.open_scenes`.

    Raises:
        ValueError: anything that could not work; nothing has been started or written.
    """
    if config.dataset is not None:
        raise ValueError("this command works on `scenes`; the run names a `dataset`, which is only ingested")
    if config.frames is not None:
        raise ValueError("this command works on `scenes`; the run names `frames`, of which no map is made")
    sensor = load_sensor(config.sensor)
    labels = None if config.labels is None else open_labels(config.labels)
    specs = scene_specs(config)
    opened = open_scenes(specs, sensor, labels.headers if labels else (), unreadable)
    check_distinct(opened)
    scenes, modalities = match_modalities(config.modalities, sensor, specs, opened)
    plans = tuple(_scene_plan(scene, labels) for scene in scenes)
    grid = map_grid(config.grid, plans[0].scene)
    run = Run(config, sensor, plans, grid, None if config.area is None else read_area(config.area), modalities)
    if run.area is not None and not any(touched_blocks(p.scene.grid, *run.area).any() for p in plans):
        raise ValueError(
            f"area: {config.area} touches none of the scenes {[p.scene.id for p in plans][:5]}; choose others"
        )
    check_writable(run.storage)
    return run


def _scene_plan(scene: Scene, labels: Labels | None) -> ScenePlan:
    near = None if labels is None else labels.near(scene.grid)
    what = {
        "contract": CONTRACTS["ingest"],
        "files": scene.fingerprint,
        "sensor": scene.sensor.model_dump(mode="json"),
        "grid": scene.grid.to_json(),
        "arrangement of files": [(p.bands, asdict(p.box), p.nodata) for p in scene.pieces],
        "date": str(scene.acquired),
        "labels": near.fingerprint if near else None,
        "modalities": [coarse_facts(coarse) for coarse in scene.coarse],
    }
    made_of = {word: key_of(value) for word, value in what.items()}
    return ScenePlan(scene, near, f"{scene.id}-{key_of(made_of)}", made_of)
