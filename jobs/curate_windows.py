"""The windows of scenes, as what is curated: squares without overlap, the ones that `sandan embed` makes vectors of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

import numpy as np

from cluster.engine import Engine
from cluster.storage import Storage
from cluster.units import Units
from jobs.config import RunConfig
from jobs.curate_facts import BYTES_PER_VALUE, Gathered, window_facts
from jobs.curate_looks import FOLDER, STAGE, WHITE, Looks, look, looks_bytes, looks_left, read_columns
from jobs.estimate import BASE_MEMORY_BYTES
from jobs.ingest import ingest, ingested
from jobs.plan import Run, ScenePlan, key_of
from jobs.runner import markers_of, report_failures, run_stage
from jobs.stages import peak_memory_bytes
from tiler.labels import IGNORE
from tiler.lattice import Lattice
from tiler.logit_store import WindowShard, window_shards
from tiler.scene_store import SceneStore
from tiler.scene_windows import SceneWindows, WindowedScene, windows_of

WINDOWS = 1
"""Raised by hand when the same windows would be told other facts of."""


def tile_px_of(config: RunConfig) -> int:
    """Return the side of the windows: that of `embed`, or else of `infer`."""
    return config.infer.tile_px if config.embed is None else config.embed.tile_px


@dataclass(frozen=True)
class LookAtWindows:
    """Look at a group of windows of a scene, and keep what was seen and what is known of each."""

    scenes: Mapping[str, tuple[str, Lattice]]
    """Name of a scene's units to the address of its store, and its windows."""
    out: str
    """Folder of the files."""

    def __call__(self) -> Callable[[WindowShard], dict]:
        """Prepare a worker."""
        opened, storage = lru_cache(maxsize=2)(SceneStore), Storage(self.out)

        def work(shard: WindowShard) -> dict:
            url, lattice = self.scenes[shard.scene]
            scene, seen, facts = opened(url), [], []
            for row, col in lattice.shard(shard.row, shard.col):
                box = lattice.window(row, col)
                image, valid = scene.read("image", box, 0), scene.read("valid", box, False)
                seen.append(look(image, valid, WHITE * scene.sensor.valid_max))
                inside = box.clip(scene.grid.box).shift(-box.y0, -box.x0).slices
                label = scene.read("label", box, IGNORE) if scene.labelled else np.full(valid.shape, IGNORE, np.uint8)
                facts.append(window_facts(image[(slice(None), *inside)], valid[inside], label[inside]))
            columns = {name: np.stack([one[name] for one in facts]) for name in facts[0]}
            storage.put(f"{shard.unit}.npz", looks_bytes(seen, columns))
            return {"windows": len(seen), "peak_memory_bytes": peak_memory_bytes()}

        return work


@dataclass(frozen=True)
class WindowSubject:
    """The windows of all scenes of a run. Those of a scene that cannot be read are damaged, and named."""

    run: Run

    limit_is_kept = False
    empty_classes = ()

    @property
    def config(self) -> RunConfig:
        """The run's."""
        return self.run.config

    @property
    def storage(self) -> Storage:
        """Where the run lives."""
        return self.run.storage

    @cached_property
    def name(self) -> str:
        """What identifies windows and content."""
        return f"windows-{key_of(WINDOWS, self.tile_px, [plan.name for plan in self.run.scenes])}"

    @property
    def limit(self) -> float:
        """That of the sensor."""
        return self.run.sensor.missing_limit

    @property
    def tile_px(self) -> int:
        """Side of a window."""
        return tile_px_of(self.config)

    @cached_property
    def ids(self) -> list[str]:
        """Names of all windows."""
        return [name for plan in self.run.scenes for name in windows_of(plan.scene.id, self.lattice(plan))]

    def lattice(self, plan: ScenePlan) -> Lattice:
        """Return the windows of a scene."""
        return Lattice(plan.scene.grid.height, plan.scene.grid.width, self.tile_px, 0)

    def units(self, run: Run | None = None) -> list[Units[WindowShard]]:
        """Return the units of work of all scenes, or of those of a part of the run."""
        groups = []
        for plan in (run or self.run).scenes:
            name, lattice = self._unit_name(plan), self.lattice(plan)
            count = lattice.shard_rows * lattice.shard_cols
            groups.append(Units(name, count, partial(window_shards, name, lattice)))
        return groups

    def _unit_name(self, plan: ScenePlan) -> str:
        return f"{plan.name}-{self.tile_px}px-{WINDOWS}"

    def ingest_left(self) -> bool:
        """Return whether scenes are not ingested yet."""
        return len(ingested(self.run).scenes) < len(self.run.scenes)

    def looks_left(self) -> tuple[int, int]:
        """Return how many units were not looked at yet, and how many there are."""
        return looks_left(self.storage, self.units())

    def look(self, engine: Engine) -> bool:
        """Ingest and look; scenes and units that cannot be read are named, and their windows are damaged."""
        outcomes = ingest(self.run, engine) if self.ingest_left() else []
        good = ingested(self.run)
        scenes = {self._unit_name(p): (good.url("ingest", p.name), self.lattice(p)) for p in good.scenes}
        stage = LookAtWindows(scenes, self.storage.child(FOLDER).url)
        memory_bytes = BASE_MEMORY_BYTES + self.tile_px**2 * len(self.run.sensor.bands) * BYTES_PER_VALUE
        outcomes.append(
            run_stage(
                *(engine, self.storage, STAGE, stage, self.units(good), "groups of windows"), memory_bytes=memory_bytes
            )
        )
        report_failures(outcomes)
        if not good.scenes:
            print("no scene could be ingested; nothing can be curated")
        return bool(good.scenes)

    def opened(self) -> tuple[SceneWindows, Looks]:
        """Return the windows, and what was seen of them; small pictures lie in a file until they are asked for."""
        found = Gathered(len(self.ids), len(self.run.sensor.bands), self.tile_px)
        markers, out = markers_of(self.storage, STAGE), self.storage.child(FOLDER)
        scenes, first = [], 0
        for plan, group in zip(self.run.scenes, self.units(), strict=True):
            lattice, done = self.lattice(plan), markers.done(group.folder)
            for shard in group:
                if shard.unit in done:
                    rows = [first + row * lattice.cols + col for row, col in lattice.shard(shard.row, shard.col)]
                    found.put(rows, read_columns(out.get(f"{shard.unit}.npz")))
            first += lattice.rows * lattice.cols
            scene = plan.scene
            when = scene.acquired.isoformat() if scene.acquired else ""
            scenes.append(WindowedScene(scene.id, self.run.url("ingest", plan.name), lattice, when, scene.sensor.name))
        return SceneWindows(scenes, self.run.sensor, self.run.offered, found.facts), found.looks
