"""Stages of the evaluation of a map: one cell against the labels of the scenes that reach it, seams and all."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from jobs.cells import CellTask, MosaicPlan
from jobs.config import EvaluateConfig
from jobs.evaluation.doubt import count_doubt
from jobs.evaluation.ground import read_bands, read_labels, read_logits
from jobs.evaluation.objects import pieces_of
from jobs.evaluation.scoring import Ground, Rule, classes_of, count
from jobs.stages import OPEN_STORES, peak_memory_bytes, prepare_worker
from models.pixel_rules import PixelRules, PixelSample
from tiler.grids import Box, Cell, MapGrid, PixelGrid
from tiler.labels import IGNORE
from tiler.map_store import MapStore
from tiler.regions import Regions
from tiler.scene_store import SceneStore
from tiler.split import Split

SAMPLE_PX = 2000
"""Training pixels of a cell that are used to fit the logistic regression."""


@dataclass(frozen=True)
class Sight:
    """Where the labels, the imagery and the map of a run lie, and what judges."""

    scenes: dict[str, str]
    """Logit store name to the address of the scene store."""
    map_url: str
    split: Split
    labels: int
    everywhere: bool

    def opener(self) -> Callable[[CellTask], list[SceneStore]]:
        """Return what opens the scenes of a cell and keeps the last few open."""

        @lru_cache(maxsize=OPEN_STORES)
        def opened(name: str) -> SceneStore:
            return SceneStore(self.scenes[name])

        return lambda task: [opened(name) for name in task.scenes]


@dataclass(frozen=True)
class SampleCells:
    """Draw training pixels of a cell for the rules that the map is compared with."""

    sight: Sight

    def __call__(self) -> Callable[[CellTask], dict]:
        """Prepare a worker."""
        prepare_worker()
        target, opened, sight = MapStore(self.sight.map_url), self.sight.opener(), self.sight

        def work(task: CellTask) -> dict:
            box, scenes = MapGrid.box_of(task.cell), opened(task)
            pixels = target.grid.pixels
            training = read_labels(scenes, pixels, box, sight.split, sight.labels, sight.everywhere).training
            if not (training != IGNORE).any():
                return {"drawn": 0}
            bands, seen = read_bands(scenes, pixels, box)
            known = seen & (training != IGNORE)
            seed = zlib.crc32(task.cell.unit.encode())
            red, nir = red_and_nir(scenes[0].sensor.bands)
            sample = PixelSample.of(bands[:, known], training[known], red, nir, SAMPLE_PX, seed)
            return {"drawn": sample.labels.size, "sample": sample.to_json(), "peak_memory_bytes": peak_memory_bytes()}

        return work


@dataclass(frozen=True)
class ScoreCells:
    """Compare one cell of the map with the labels of its scenes; returns counts only."""

    sight: Sight
    settings: EvaluateConfig
    threshold: float
    rules: PixelRules
    regions: Regions | None

    def __call__(self) -> Callable[[CellTask], dict]:
        """Prepare a worker."""
        prepare_worker()
        target, opened = MapStore(self.sight.map_url), self.sight.opener()
        return lambda task: self._score(task, target, opened(task))

    def _score(self, task: CellTask, target: MapStore, scenes: list[SceneStore]) -> dict[str, Any]:
        sight, tolerance_px = self.sight, self.settings.boundary_tolerance_px
        box, margin = MapGrid.box_of(task.cell), int(tolerance_px) + 1
        wide = Box(box.y0 - margin, box.x0 - margin, box.y1 + margin, box.x1 + margin)
        inner = box.shift(-wide.y0, -wide.x0).slices
        pixels = target.grid.pixels
        truth = read_labels(scenes, pixels, wide, sight.split, sight.labels, sight.everywhere).judging
        if not (truth[inner] != IGNORE).any():
            return {"counted_px": 0}
        logits = read_logits(target, wide)
        ground = Ground(
            truth=truth,
            missing=np.isnan(logits).any(axis=0),
            block_rows=np.arange(wide.y0, wide.y1) // self.settings.block_px,
            block_cols=np.arange(wide.x0, wide.x1) // self.settings.block_px,
            regions=None if self.regions is None else self.regions.at(wide),
            inner=inner,
        )
        rule = Rule(sight.labels, self.threshold, tolerance_px)
        counts = count(ground, {"map": logits}, self._rules(scenes, pixels, wide), rule)
        judged = np.where(ground.missing, np.uint8(IGNORE), truth)[inner]
        regions = None if ground.regions is None else ground.regions[inner]
        found = classes_of(logits, self.threshold)[inner]
        doubt = {"doubt": count_doubt(target, box, judged, found)} if target.uncertainty else {}
        return {
            "counted_px": int((judged != IGNORE).sum()),
            "counts": counts.to_json(),
            **doubt,
            "objects": pieces_of(judged, found, sight.labels, box, regions),
            "peak_memory_bytes": peak_memory_bytes(),
        }

    def _rules(self, scenes: list[SceneStore], pixels: PixelGrid, box: Box) -> dict[str, np.ndarray]:
        if self.rules.ndvi is None:
            return {}
        bands, seen = read_bands(scenes, pixels, box)
        red, nir = red_and_nir(scenes[0].sensor.bands)
        return {name: (found & seen).astype(np.uint8) for name, found in self.rules.predict(bands, red, nir).items()}


def red_and_nir(bands: Sequence[str]) -> tuple[int, int]:
    """Return which bands NDVI is made of."""
    return bands.index("red"), bands.index("nir")


def cell_tasks(plan: MosaicPlan, scenes: Sequence[str], key: str) -> list[CellTask]:
    """Return the cells of a map, each with the scenes of its neighbours too: boundaries look over the border.

    Args:
        plan: the map.
        scenes: names of all logit stores, in order of scene ids.
        key: names the units of work.
    """
    touching = {task.cell: task.scenes for task in plan.tasks}
    order = {name: place for place, name in enumerate(scenes)}

    def around(cell: Cell) -> tuple[str, ...]:
        near = (Cell(cell.row + dy, cell.col + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
        return tuple(sorted({name for c in near for name in touching.get(c, ())}, key=order.__getitem__))

    return [replace(task, map=key, scenes=around(task.cell)) for task in plan.tasks]
