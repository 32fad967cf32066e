"""Scores of networks on a data set of tiles: every network alone and their ensemble, with and without more views.

`evaluate_tiles` does all of it in this process; the job `evaluate` does the same, a shard of tiles at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluster.storage import Storage
from jobs.config import EvaluateConfig
from jobs.evaluation.counts import Counts
from jobs.evaluation.files import with_objects, write_evaluation
from jobs.evaluation.lineup import Lineup
from jobs.evaluation.objects import ObjectRow, objects_of, pieces_of
from jobs.evaluation.scoring import Ground, Rule, classes_of, count
from jobs.evaluation.summary import Subject, evaluation_of, region_rows
from jobs.evaluation.text import definitions, tiles_definition
from models.card import read_card
from models.members import Members, load_members
from models.pixel_rules import PixelRules, PixelSample
from tiler.classes import value_names
from tiler.grids import Box
from tiler.labels import IGNORE
from tiler.tile_store import TileStore

RULE_TILES, RULE_PX = 200, 2000
"""Training tiles that the pixel rules learn from, and pixels of each."""


def count_tiles(
    store: TileStore,
    rows: Sequence[int],
    members: Members,
    rules: PixelRules,
    settings: EvaluateConfig,
    threshold: float,
) -> dict[str, Any]:
    """Run every network over some tiles of a store and count; returns plain values."""
    lineup = Lineup(members.names, len(members.views) > 1)
    labels = len(value_names(members.classes))
    regions = regions_of(store)
    names = sorted(set(regions))
    pieces, objects = [], []
    for start in range(0, len(rows), members.batch):
        batch = rows[start : start + members.batch]
        tiles = np.stack([store.network_input(row, members.channels) for row in batch])
        maps = lineup.maps(*members.predict_each(tiles))
        for place, row in enumerate(batch):
            logits = {name: values[place] for name, values in maps.items()}
            region = names.index(regions[row])
            ground = _ground(store, row, labels, region)
            others = _rules(store, row, rules)
            rule = Rule(labels, threshold, settings.boundary_tolerance_px, missing_counts=True)
            pieces.append(count(ground, logits, others, rule))
            found = classes_of(logits[lineup.principal], threshold)
            box = Box(0, 0, *found.shape)
            objects.append([int(row), pieces_of(ground.truth, found, labels, box, ground.regions, alone=True)])
    return {"tiles": len(rows), "counts": Counts.total(pieces).to_json(), "objects": objects}


def _ground(store: TileStore, row: int, labels: int, region: int) -> Ground:
    """Return the ground of one tile: a block, and for scores per image an image, of its own."""
    truth, valid = store.read("label", row), store.read("valid", row)
    if labels == 2:
        truth = np.where(truth == IGNORE, truth, np.uint8(1) * (truth > 0)).astype(np.uint8)
    height, width = truth.shape
    return Ground(truth, ~valid, np.full(height, row), np.zeros(width, np.int64), np.full(truth.shape, region))


def _rules(store: TileStore, row: int, rules: PixelRules) -> dict[str, np.ndarray]:
    if rules.ndvi is None:
        return {}
    bands = store.sensor.bands
    found = rules.predict(store.read("image", row), bands.index("red"), bands.index("nir"))
    valid = store.read("valid", row)
    return {name: (answer & valid).astype(np.uint8) for name, answer in found.items()}


def regions_of(store: TileStore) -> list[str]:
    """Return what a data set is broken down by, of each tile: its source (a country of AI-Hub), else its class."""
    by = "source" if any(tile["source"] for tile in store.tiles) else "label"
    return [tile[by] for tile in store.tiles]


def fit_tile_rules(store: TileStore, rows: Sequence[int]) -> PixelRules:
    """Fit the pixel rules to training tiles, at most `RULE_TILES` of them, evenly spread."""
    bands = store.sensor.bands
    if not {"red", "nir"} <= set(bands) or not len(rows):
        return PixelRules()
    red, nir = bands.index("red"), bands.index("nir")
    chosen = np.asarray(rows)[np.unique(np.linspace(0, len(rows) - 1, RULE_TILES).astype(int))]
    samples = []
    for row in chosen.tolist():
        label = store.read("label", row)
        known = store.read("valid", row) & (label != IGNORE)
        pixels = store.read("image", row)[:, known]
        samples.append(PixelSample.of(pixels, (label[known] > 0).astype(np.uint8), red, nir, RULE_PX, seed=row))
    return PixelRules.fit(samples, red, nir)


@dataclass(frozen=True)
class Judgement:
    """A finished evaluation of a data set."""

    evaluation: dict[str, Any]
    """Plain values: rows, differences, missing, by_class, calibration, objects, regions, definitions."""
    objects: list[ObjectRow]
    regions: tuple[str, ...]
    tiles: list[dict[str, Any]]
    """What each tile is called, by the part of an object."""

    def write(self, storage: Storage) -> None:
        """Write the files below `OUT/evaluation/`."""
        write_evaluation(storage, self.evaluation, self.objects, self.regions, self.tiles)


def judge(
    store: TileStore,
    records: Iterable[Mapping[str, Any]],
    lineup: Lineup,
    classes: Sequence[str],
    rules: PixelRules,
    settings: EvaluateConfig,
    threshold: float,
) -> Judgement:
    """Turn the records of `count_tiles` into an evaluation; classes as the cards name them.

    Raises:
        ValueError: nothing was counted.
    """
    told = list(records)
    counts = Counts.total([Counts.from_json(r["counts"]) for r in told])
    regions = tuple(sorted(set(regions_of(store))))
    subject = Subject(
        classes=value_names(classes),
        principal=lineup.principal,
        missing_counts=True,
        groups=lineup.groups,
        differences=lineup.differences,
        titles=rules.titles,
        first=lineup.order,
        images=True,
        resamples=settings.resamples,
    )
    found = evaluation_of(counts, subject)
    parts = sorted((part for r in told for part in r["objects"]), key=lambda part: part[0])
    rows = [row for row, _ in parts]
    grids = {row: store.grid(row) for row in rows}

    def place(part: int, row: float, col: float) -> tuple[float, float, float | None]:
        grid = grids[rows[part]]
        if grid is None:
            return col, row, None
        x, y = grid.xy(np.array(row), np.array(col))
        return float(x), float(y), grid.pixel_area_m2(row)

    objects = objects_of([pieces for _, pieces in parts], subject.classes[1:], settings, place)
    evaluation = {
        "kind": "dataset",
        "store": store.url.rsplit("/", 1)[-1],
        "tiles": len(rows),
        "threshold": threshold,
        "settings": settings.model_dump(mode="json"),
        "definition": tiles_definition(found, settings),
        "definitions": definitions(found, settings),
        **found,
        "regions": region_rows(counts, regions, subject),
    }
    named = [{"tile": store.tiles[row]["id"], "crs": grid.crs if grid else ""} for row, grid in grids.items()]
    return Judgement(with_objects(evaluation, objects, regions), objects, regions, named)


def evaluate_tiles(
    store: TileStore,
    rows: Sequence[int],
    bundles: Sequence[Mapping[str, bytes]],
    tta: str = "flips4",
    *,
    training_rows: Sequence[int] = (),
    settings: EvaluateConfig | None = None,
    threshold: float = 0.5,
    precision: str = "auto",
    device: str = "cpu",
    batch: int = 8,
) -> Judgement:
    """Judge networks on some tiles: each alone, their mean, their ensemble, with and without test-time augmentation.

    Each network sees each tile once in each view.

    Args:
        store: the tiles.
        rows: those to judge on.
        bundles: files by name of each bundle; they must find the same classes.
        tta: a key of `models.tta.VIEWS`.
        training_rows: tiles that the NDVI rule and the logistic regression are fitted to; none: no such rows.
        settings: how to judge.
        threshold: probability from which a pixel is of the class, where there is one.
        precision: as `models.predict.Ensemble` takes it.
        device: likewise.
        batch: tiles per forward pass.

    Raises:
        ValueError: bundles that do not fit each other or the store, or nothing to judge on.
    """
    settings = settings or EvaluateConfig()
    channels = needed_channels(store, bundles)
    members = load_members(bundles, channels, tta=tta, precision=precision, device=device, batch=batch)
    rules = fit_tile_rules(store, training_rows) if len(members.classes) == 1 else PixelRules()
    record = count_tiles(store, [int(r) for r in rows], members, rules, settings, threshold)
    lineup = Lineup(members.names, len(members.views) > 1)
    return judge(store, [record], lineup, members.classes, rules, settings, threshold)


def needed_channels(store: TileStore, bundles: Iterable[Mapping[str, bytes]]) -> tuple[str, ...]:
    """Return the channels that bundles need between them, in the store's order.

    Raises:
        ValueError: a channel that the store does not offer.
    """
    needed = {channel for files in bundles for channel in read_card(files).channels}
    absent = sorted(needed - set(store.offered))
    if absent:
        raise ValueError(f"the bundles need channels {absent}, the tile store offers {list(store.offered)}; add them")
    return tuple(channel for channel in store.offered if channel in needed)
