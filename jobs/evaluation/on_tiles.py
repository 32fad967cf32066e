"""The evaluation of networks on a data set, a shard of the store at a time.

Tiles are those of the official validation; images those of the test part, or of validation where the run says so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from cluster.engine import Engine
from cluster.storage import Storage
from cluster.units import grouped
from jobs.bundles import check_prepared, read_bundles
from jobs.config import VIEWS, EvaluateConfig, RunConfig
from jobs.datasets import PlannedDataset, plan_dataset
from jobs.decisions import WINDOWS_PER_BATCH, decide
from jobs.estimate import Estimate, activation_bytes, infer_memory
from jobs.evaluation.lineup import Lineup
from jobs.evaluation.text import table
from jobs.evaluation.tile_scores import count_tiles, fit_tile_rules, judge, needed_channels
from jobs.pace import Work
from jobs.plan import Precision, key_of
from jobs.room import crew_here
from jobs.runner import Outcome, engine_of, markers_of, report_failures, run_stage
from jobs.shell import DONE, INCOMPLETE
from jobs.stages import peak_memory_bytes, prepare_worker
from jobs.tile_tasks import TileTask, tile_tasks
from jobs.time_left import Rest
from models.card import Card, read_card
from models.members import load_members
from models.pixel_rules import PixelRules
from tiler.lattice import Lattice
from tiler.tile_store import TileStore

CONTRACT = 1
"""Raised by hand when the same networks and tiles would get other counts."""


@dataclass(frozen=True)
class ScoreTiles:
    """Run every network in every view over the tiles of a shard; returns counts only."""

    url: str
    bundles: tuple[str, ...]
    tta: str
    precision: Precision
    rules: PixelRules
    settings: EvaluateConfig
    threshold: float

    def __call__(self) -> Callable[[TileTask], dict]:
        """Prepare a worker: load the networks once."""
        prepare_worker()
        store = TileStore(self.url)
        files = read_bundles(self.bundles)
        members = load_members(
            files,
            needed_channels(store, files),
            tta=self.tta,
            precision=self.precision.precision,
            device=self.precision.device,
            batch=self.precision.batch,
            compile=self.precision.compile,
        )

        def work(task: TileTask) -> dict:
            found = count_tiles(store, task.rows, members, self.rules, self.settings, self.threshold)
            return {**found, "peak_memory_bytes": peak_memory_bytes()}

        return work


@dataclass(frozen=True)
class PlannedTileEvaluation:
    """The evaluation on a data set, checked."""

    dataset: PlannedDataset
    cards: tuple[Card, ...]
    rows: tuple[int, ...]
    """Kept tiles of the split that judges."""

    def estimates(self) -> list[Estimate]:
        """Return what there is to do."""
        config, source = self.dataset.config, self.dataset.source
        precision = decide(self.dataset, None) or Precision("cuda", "bf16", WINDOWS_PER_BATCH["cuda"])
        channels = {channel for card in self.cards for channel in card.channels}
        weights = sum(Storage(path).size("weights.safetensors") for path in config.models)
        tile_bytes = source.tile_px**2 * (len(source.sensor.bands) * np.dtype(source.dtype).itemsize + 2)
        views = VIEWS[config.infer.tta]
        memory = infer_memory(
            Lattice(source.tile_px, source.tile_px, source.tile_px, 0),
            bands=len(source.sensor.bands),
            itemsize=np.dtype(source.dtype).itemsize,
            coarse=len(channels - {*source.sensor.bands, "mask"}),
            layers=2 * len(self.cards[0].classes),
            tiles_per_pass=precision.batch * views,
            activation_bytes=activation_bytes(self.cards, precision.precision),
            weight_bytes=weights,
        )
        shards = len(tile_tasks("", self.rows))
        crew = crew_here(self.dataset.config.engine)
        time = Rest("evaluate", "shards", [], [], shards).time(
            self.dataset.storage, self._work, crew, precision.device == "cuda"
        )
        return [Estimate("evaluate", shards, "shards", 0, len(self.rows) * tile_bytes, 0, memory, time=time)]

    @property
    def _work(self) -> Work:
        """What the time of it goes with: shards of tiles, seen by the same networks in the same way."""
        settings = self.dataset.config.infer
        how = ([card.digest() for card in self.cards], settings.tta, settings.precision, self.dataset.name)
        return Work(lambda shard: 1, key_of("tiles", CONTRACT, *how))

    def run(self) -> int:
        """Run the networks, count, print the table and write the files."""
        config, dataset = self.dataset.config, self.dataset
        store = TileStore(dataset.url)
        rules = PixelRules()
        if len(self.cards[0].classes) == 1:
            rules = fit_tile_rules(store, store.kept(dataset.limit, "train", dataset.left_out()).tolist())
        with engine_of(config.engine) as engine:
            precision = decide(dataset, engine)
            assert precision is not None
            stage = ScoreTiles(
                dataset.url,
                config.models,
                config.infer.tta,
                precision,
                rules,
                config.evaluate,
                config.fuse.threshold,
            )
            outcome, records = self._score(engine, stage)
        report_failures([outcome])
        lineup = Lineup(tuple(card.name for card in self.cards), VIEWS[config.infer.tta] > 1)
        classes = self.cards[0].classes
        judgement = judge(store, records, lineup, classes, rules, config.evaluate, config.fuse.threshold)
        judgement.write(dataset.storage)
        print(table(judgement.evaluation))
        print(f"evaluation {config.out.rstrip('/')}/evaluation/evaluation.json")
        return INCOMPLETE if outcome.failed else DONE

    def _score(self, engine: Engine, stage: ScoreTiles) -> tuple[Outcome, list[dict]]:
        digests = [card.digest() for card in self.cards]
        tolerance_px = stage.settings.boundary_tolerance_px
        facts = (self.dataset.name, self.rows, digests, stage.tta, asdict(stage.precision), asdict(stage.rules))
        tasks = tile_tasks(key_of("tiles", CONTRACT, *facts, stage.threshold, tolerance_px), self.rows)
        outcome = run_stage(engine, self.dataset.storage, "evaluate", stage, grouped(tasks), "shards", work=self._work)
        markers = markers_of(self.dataset.storage, "evaluate")
        done = [task.unit for task in tasks if task.unit not in outcome.failed]
        return outcome, [markers.read(unit)["record"] for unit in done]


def plan_tiles(config: RunConfig) -> PlannedTileEvaluation:
    """Check an ingested data set and the bundles that are to be judged on it.

    Raises:
        ValueError: bad input, a data set that is not ingested, or no tile to judge on.
    """
    if not config.models:
        raise ValueError("evaluate judges networks on the data set; the run names no bundle: set `models`")
    for path in config.models:
        if not Storage(path).exists("card.json"):
            raise ValueError(f"models: no bundle at {path} (card.json is missing); train it first")
    dataset = plan_dataset(config)
    if not dataset.is_ingested:
        raise ValueError(f"the data set is not ingested in {config.out}; run `sandan ingest` first")
    store = TileStore(dataset.url)
    files = [{"card.json": Storage(path).get("card.json")} for path in config.models]
    needed_channels(store, files)
    cards = tuple(read_card(f) for f in files)
    for path, card in zip(config.models, cards, strict=True):
        check_prepared(path, card.sensor, store.sensor.name)
    if len({card.classes for card in cards}) > 1:
        found = {path: list(card.classes) for path, card in zip(config.models, cards, strict=True)}
        raise ValueError(f"models: bundles of one table must find the same classes, found {found}; take out the others")
    Lineup(tuple(card.name for card in cards), False)
    rows = tuple(store.kept(dataset.limit, dataset.judged, dataset.left_out()).tolist())
    if not rows:
        how = (
            "give a test part, or say `dataset.split.test: same-as-val`"
            if dataset.judged == "test"
            else "deliver both splits, or raise `dataset.missing_limit`"
        )
        raise ValueError(
            f"the data set has no {dataset.judged} tile with a missing ratio up to {dataset.limit:g}; {how}"
        )
    for note in dataset.warnings:
        print(note, file=sys.stderr)
    return PlannedTileEvaluation(dataset, cards, rows)
