"""Predict: what trained networks answer for every image of a collection, or tile: masks with yes or no, or classes.

python -m jobs.predict scratches.yaml --set 'models=[runs/models/unet]'
sandan predict scratches.yaml --dry-run
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from cluster.engine import Engine
from cluster.storage import Storage
from cluster.units import grouped, unfinished
from jobs.bundles import card_bytes, card_of, check_prepared
from jobs.config import VIEWS, RunConfig
from jobs.datasets import PlannedDataset, plan_dataset
from jobs.decisions import decide, guess, probe
from jobs.estimate import BASE_MEMORY_BYTES, KEPT, Estimate, activation_bytes
from jobs.pace import Work
from jobs.plan import Precision, key_of
from jobs.predict_lists import class_lists, mask_lists, noun_of
from jobs.predict_stage import PredictClasses, PredictMasks
from jobs.room import crew_here
from jobs.runner import engine_of, markers_of, report_failures, run_stage
from jobs.shell import DONE, INCOMPLETE, Job, run_job
from jobs.tile_tasks import tile_tasks
from jobs.time_left import Rest
from models.card import WEIGHTS_FILE, Card
from models.image_cards import ClassifierCard, read_classifier_card
from tiler.image_spec import ImagesSpec
from tiler.tile_store import SHARD_TILES, TileStore

CONTRACT = 1
"""Raised by hand when the same networks and images would get other answers."""
CLASSIFIED_AT_ONCE = 32
CLASSIFIER_BYTES_PER_PIXEL = 64.0
"""Activations of a classifier, for each pixel that it sees: its first layers are the widest."""
CHANNEL_BYTES = 8
"""Of a pixel in a channel: float32 as it is read, and as it is scaled."""
COPIES_OF_LARGEST = 4
"""Answers float32 of the largest image in a worker: sums, weights, mean and what is written."""
FOLDER = "predictions"
"""Of what it writes, and the name of the stage."""


@dataclass(frozen=True)
class PlannedPredict:
    """The job, checked."""

    dataset: PlannedDataset
    cards: tuple[Card, ...] | tuple[ClassifierCard, ...]

    @cached_property
    def store(self) -> TileStore:
        """The images."""
        return TileStore(self.dataset.url)

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """Rows of the images that could be read, whatever part they are in."""
        return tuple(self.store.kept(1.0, None, self.dataset.left_out()).tolist())

    @property
    def classifies(self) -> bool:
        """Whether the networks answer for whole images."""
        return isinstance(self.cards[0], ClassifierCard)

    @property
    def channels(self) -> tuple[str, ...]:
        """What the networks need between them, in the order of the store."""
        needed = {channel for card in self.cards for channel in card.channels}
        return tuple(channel for channel in self.store.offered if channel in needed)

    def estimates(self) -> list[Estimate]:
        """Return what there is to do."""
        config, source, store = self.dataset.config, self.dataset.source, self.store
        weights = sum(Storage(path).size(WEIGHTS_FILE) for path in config.models)
        largest = int((store.facts("height").astype(int) * store.facts("width")).max(initial=0))
        if self.classifies:
            batch, each, outputs = CLASSIFIED_AT_ONCE, CLASSIFIER_BYTES_PER_PIXEL, 0
        else:
            how = decide(self.dataset, None) or Precision("cuda", "bf16", 8)
            batch, outputs = how.batch * VIEWS[config.infer.tta], len(self.cards[0].classes)
            each = KEPT * activation_bytes((card for card in self.cards if isinstance(card, Card)), how.precision)
        passes = int(batch * source.tile_px**2 * (each + CHANNEL_BYTES * len(self.channels)))
        memory = BASE_MEMORY_BYTES + 2 * weights + passes + largest * COPIES_OF_LARGEST * 4 * outputs
        stage, storage = self._stage(None), self.dataset.storage
        tasks = tile_tasks("" if stage is None else self._key(stage), self.rows)
        masks = unfinished(markers_of(storage, FOLDER), grouped(tasks))
        left = sum(map(sum, masks))
        rest = Rest(FOLDER, "shards", grouped(tasks), masks, left)
        time = rest.time(storage, self._work, crew_here(config.engine), False) if left else None
        read = min(left * SHARD_TILES, len(self.rows)) * source.tile_px**2 * (len(source.sensor.bands) + 2)
        done = len(tasks) - left
        return [Estimate(FOLDER, len(tasks), "shards of images", done, read, 0, memory, time=time)]

    @property
    def _work(self) -> Work:
        """What the time of it goes with: shards of images, seen by the same networks in the same way."""
        settings = self.dataset.config.infer
        how = ([card.digest() for card in self.cards], settings.tta, settings.precision, self.dataset.name)
        return Work(lambda shard: 1, key_of("predict", CONTRACT, *how))

    def run(self) -> int:
        """Run the networks, and write masks, lists and scores."""
        config, dataset, storage = self.dataset.config, self.dataset, self.dataset.storage
        for note in dataset.warnings:
            print(note, file=sys.stderr)
        with engine_of(config.engine) as engine:
            stage = self._stage(engine)
            assert stage is not None
            tasks = tile_tasks(self._key(stage), self.rows)
            outcome = run_stage(engine, storage, FOLDER, stage, grouped(tasks), "shards", work=self._work)
        report_failures([outcome])
        markers = markers_of(storage, FOLDER)
        done = [task.unit for task in tasks if task.unit not in outcome.failed]
        images = [image for unit in done for image in markers.read(unit)["record"]["images"]]
        classes = self.cards[0].classes
        if self.classifies:
            files, lines = class_lists(self.store, images, classes)
        else:
            files, lines = mask_lists(self.store, images, classes, config, dataset.judged)
        folder, named = storage.child(FOLDER), f"{config.out.rstrip('/')}/{FOLDER}"
        for name, data in files.items():
            folder.put(name, data)
        unread = len(dataset.source.entries) - len(dataset.left_out()) - len(images)
        noun = noun_of(config)
        print("\n".join([*lines, f"{len(images)} {noun} answered; list {named}/images.csv"]))
        if unread:
            print(
                f"{unread} {noun} have no answer: see {config.out}/damaged.csv and the failures above", file=sys.stderr
            )
        return INCOMPLETE if unread else DONE

    def _key(self, stage: PredictMasks | PredictClasses) -> str:
        how = {name: value for name, value in asdict(stage).items() if name != "bundles"}
        return key_of(CONTRACT, self.dataset.name, self.rows, [card.digest() for card in self.cards], how)

    def _stage(self, engine: Engine | None) -> PredictMasks | PredictClasses | None:
        """Return what workers do; without an engine as far as that is known, None where workers must be asked."""
        config, dataset = self.dataset.config, self.dataset
        if self.classifies:
            here = guess() if engine is None else engine.ask(probe)
            device = "cpu" if config.engine.gpus_per_worker == 0 else here[0]
            return PredictClasses(
                dataset.url, config.models, self.channels, Precision(device, "fp32", CLASSIFIED_AT_ONCE)
            )
        how, spec = decide(dataset, engine), config.dataset
        if how is None:
            return None
        fit = spec.fit if isinstance(spec, ImagesSpec) else ""
        masks = f"{config.out.rstrip('/')}/{FOLDER}/masks" if config.predict.masks else ""
        threshold = config.fuse.threshold
        return PredictMasks(dataset.url, config.models, self.channels, config.infer.tta, how, fit, threshold, masks)


def _cards(config: RunConfig) -> tuple[Card, ...] | tuple[ClassifierCard, ...]:
    """Return the cards of the bundles, which must answer the same question."""
    if not config.models:
        raise ValueError("predict asks trained networks; the run names no bundle: set `models`")
    told = [card_bytes(path, "models", "train it first: sandan train RECIPE.yaml") for path in config.models]
    kinds = {str(_kind(data)) for data in told}
    if len(kinds) > 1:
        raise ValueError(
            f"models: bundles of several kinds ({', '.join(sorted(kinds))}); predict with one kind at a time"
        )
    if kinds == {"classifier"}:
        cards: Any = tuple(read_classifier_card(data) for data in told)
    else:
        cards = tuple(card_of(path) for path in config.models)
    if len({card.classes for card in cards}) > 1:
        found = {path: list(card.classes) for path, card in zip(config.models, cards, strict=True)}
        raise ValueError(f"models: bundles must find the same classes, found {found}; take out the others")
    return cards


def _kind(data: bytes) -> object:
    try:
        card = json.loads(data)
    except ValueError:
        return None  # said better by who reads the card
    return card.get("kind") if isinstance(card, dict) else None


def plan_predict(config: RunConfig) -> PlannedPredict:
    """Check an ingested data set and the bundles that are to answer.

    Raises:
        ValueError: bad input, a run without a data set, or one that is not ingested.
    """
    if config.dataset is None:
        raise ValueError(
            "predict answers for the images or tiles of a `dataset`; maps of scenes are made by `sandan map`"
        )
    cards = _cards(config)
    dataset = plan_dataset(config)
    if not dataset.is_ingested:
        raise ValueError(f"the {noun_of(config)} are not ingested in {config.out}; run `sandan ingest` first")
    planned = PlannedPredict(dataset, cards)
    absent = sorted({channel for card in cards for channel in card.channels} - set(planned.store.offered))
    for path, card in zip(config.models, cards, strict=True):
        check_prepared(path, card.sensor, planned.store.sensor.name)
    if absent:
        images = isinstance(config.dataset, ImagesSpec)
        raise ValueError(
            f"models: the bundles need channels {absent}, the {noun_of(config)} give {list(planned.store.offered)}; "
            + ("pre-process these as those that they learnt from (`dataset.preprocess`)" if images else
               "add `dataset.modalities`, or take other bundles")
        )  # fmt: skip
    if not planned.rows:
        raise ValueError(f"none of the {noun_of(config)} of {config.out} could be read; look into damaged.csv")
    return planned


JOB = Job(
    name="predict",
    summary="Answer for every image of a collection, or tile of a data set: a mask and yes or no, or a class.",
    example="  sandan predict scratches.yaml --set 'models=[runs/models/unet]'\n"
    "  sandan predict scratches.yaml --set predict.min_area_px=validation   (keeps 95 % recall there)\n"
    "  sandan predict drawings.yaml --set 'models=[runs/models/illustrations]'   (a classifier)\n"
    "  sandan predict aihub.yaml --set predict.min_area_px=validation   (tiles: any industrial area, yes or no)",
    kind=RunConfig,
    plan=plan_predict,
    helps=True,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_job(JOB, argv)


if __name__ == "__main__":
    sys.exit(main())
