"""Training on whole images, planned: `sandan train RECIPE.yaml` with `task: classify` or `task: autoencode`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cluster.checkpoints import CheckpointFolder
from cluster.storage import Storage
from jobs.config import RunConfig
from jobs.datasets import plan_dataset
from jobs.estimate import BASE_MEMORY_BYTES, TORCH_MEMORY_BYTES, Estimate
from jobs.image_recipe_config import AutoencodeRecipeConfig, ClassifyRecipeConfig, ImageRecipe
from jobs.image_scores import told
from jobs.image_training import ImageTask, build, network_values, train_images_worker
from jobs.image_training_data import ImageSet, augmentation, check_classes, parts_of
from jobs.parsing import load, parse
from jobs.plan import key_of
from jobs.runner import engine_of
from jobs.shell import DONE, FAULT
from jobs.supervise import waiting_turn
from jobs.training_data import TileData, absolute
from jobs.training_launch import Launch
from jobs.training_pace import time_left
from jobs.training_weights import absolute_weights, source_digest
from models.card import CARD_FILE
from models.image_cards import read_autoencoder_card, read_classifier_card
from models.train_spec import BestRule, TrainSpec
from tiler.ground import Statistics
from tiler.tile_store import TileStore

CONTRACT = 1
VALIDATION_BATCH = 32
"""Images per pass, unless the recipe says otherwise."""
BYTES_PER_PIXEL = 4_000
"""Activations and gradients that one pixel of a batch keeps: 2,700 to 3,300 measured for the published CNN, float32."""
SEGMENTATION_ONLY = ("loss", "alpha", "gamma")
"""Settings of `TrainSpec` that mean nothing here."""


@dataclass(frozen=True)
class PlannedImages:
    """The job, checked."""

    recipe: ImageRecipe
    spec: TrainSpec
    data: TileData
    channels: tuple[str, ...]
    classes: tuple[str, ...]
    parts: Mapping[str, str]
    """Id of each image to train, validation or test; excluded ones are not there."""
    begin: str
    """What identifies the weights that it begins with."""

    @property
    def key(self) -> str:
        """What identifies recipe and data."""
        return _key(self.recipe, self.spec, self.channels, self.data, self.parts, self.begin)

    @property
    def is_trained(self) -> bool:
        """Whether the bundle is there already, of this recipe and these data."""
        return _is_trained(self.recipe, self.key)

    def estimates(self) -> list[Estimate]:
        """Return what there is to do."""
        left = 0 if self.is_trained else self.spec.epochs
        side_px = self.data.planned.source.tile_px
        images = sum(part == "train" for part in self.parts.values())
        batch = -(-self.spec.batch // self.spec.accumulate)  # of one worker that has the whole batch
        train = Estimate(
            "train",
            self.spec.epochs,
            "epochs",
            self.spec.epochs - left,
            left * images * side_px**2 * len(self.channels),
            0 if not left else 100 * 2**20,
            BASE_MEMORY_BYTES + TORCH_MEMORY_BYTES + batch * side_px**2 * BYTES_PER_PIXEL,
            self.recipe.out if "://" not in self.recipe.out else "",
            workers_at_most=1,  # several share the batch
            time=time_left(Storage(self.recipe.out), self.key, self.spec.epochs) if left else None,
        )
        return [self.data.estimate(), train]

    def run(self) -> int:
        """Ingest what is missing, train, and say where the bundle lies and how good it is."""
        recipe, out = self.recipe, self.recipe.out
        classifies = isinstance(recipe, ClassifyRecipeConfig)
        if self.is_trained:
            print(f"{out} is trained already by this recipe on these data")
            return DONE
        with engine_of(recipe.engine) as engine:
            with waiting_turn(Storage(self.data.out), f"the data of {out}"):
                stores = self.data.ingest(engine)
            if not stores:
                return FAULT
            limit = self.data.planned.limit
            images = ImageSet.of(TileStore(stores[0]), self.channels, self.parts, limit, classifies)
            counts: dict[str, Any] = {part: len(rows) for part, rows in images.rows.items()}
            print(f"images     {counts['train']} train, {counts['validation']} validate, {counts['test']} judge")
            if classifies:  # what could not be read, or is missing, may have left a class empty
                _, notes = check_classes(images.entries(), self.parts, self.classes)
                for note in notes:
                    print(note, file=sys.stderr)
            facts = engine.facts()
            task = self._task(stores[0], images, int(facts.get("threads", 1)))
            score = "accuracy" if classifies else "mse"
            launch = Launch(task.name, task.out, self.key, self.spec.epochs, recipe.engine, score)
            launch.run(train_images_worker, asdict(task), facts)
        CheckpointFolder(launch.checkpoints).clear()  # the bundle is there
        self._tell(Storage(out))
        return DONE

    def _tell(self, storage: Storage) -> None:
        card = _card(self.recipe, storage.get(CARD_FILE))
        names = ("accuracy", "macro_f1") if isinstance(self.recipe, ClassifyRecipeConfig) else ("mse", "explained")
        shown = "".join(f"  {name} {card.metrics[name]:.4f}" for name in names if name in card.metrics)
        epoch = card.metrics["epoch"]
        print(f"{card.kind:<10} {self.recipe.out}  epoch {epoch:.0f}{shown or '  without validation'}")
        if storage.exists("scores.json") and isinstance(self.recipe, ClassifyRecipeConfig):
            for line in told(json.loads(storage.get("scores.json"))):
                print(line)

    def _task(self, store: str, images: ImageSet, threads: int) -> ImageTask:
        return ImageTask(
            name=Path(self.recipe.out).resolve().name,
            out=absolute(self.recipe.out),
            key=self.key,
            store=store,
            missing_limit=self.data.planned.limit,
            parts=dict(self.parts),
            channels=self.channels,
            classes=self.classes,
            class_weights=_class_weights(self.recipe, images, self.classes),
            begin=absolute_weights(self.recipe.network.weights),
            recipe=self.recipe.model_dump(mode="json"),
            train=self.spec.model_dump(),
            threads=threads,
        )


def plan_images(recipe: ImageRecipe) -> PlannedImages:
    """Check a recipe with `task: classify` or `task: autoencode`.

    Raises:
        ValueError: bad input.
    """
    classifies = isinstance(recipe, ClassifyRecipeConfig)
    strangers = [name for name in (*SEGMENTATION_ONLY, "class_weights") if name in recipe.train]
    if strangers:
        hint = "; class_weights stand beside `train`" if classifies and "class_weights" in strangers else ""
        raise ValueError(f"train: {strangers} are of segmentation; a classifier learns by cross-entropy, an "
                         f"autoencoder by squared errors{hint}")  # fmt: skip
    run = load(RunConfig, recipe.data.run)
    if run.dataset is None:
        raise ValueError(f"data.run: {recipe.data.run} has scenes; whole images need a run with a `dataset`")
    planned_data = plan_dataset(run)
    data = TileData(planned_data, planned_data.left_out(recipe.data.curation, recipe.data.exclude))
    channels = recipe.data.channels or data.sensor.bands
    absent = [name for name in channels if name not in data.offered]
    if absent or len(set(channels)) < len(channels):
        raise ValueError(
            f"data.channels: {absent or list(channels)} {'are not offered' if absent else 'repeat'}; {recipe.data.run} "
            f"offers {list(data.offered)}: name each one once"
        )
    entries, classes = data.planned.source.entries, tuple(data.planned.source.class_names) if classifies else ()
    parts = parts_of(entries, recipe.data.split, data.left_out)
    if "train" not in parts.values():
        raise ValueError(f"data: of {len(entries)} images none is left to train on; look at data.exclude and the split")
    if isinstance(recipe, ClassifyRecipeConfig):
        check_classes(entries, parts, classes)
        if isinstance(recipe.class_weights, dict) and set(recipe.class_weights) - set(classes):
            raise ValueError(
                f"class_weights: {sorted(set(recipe.class_weights) - set(classes))} are not among {list(classes)}"
            )
    ones = (1.0,) * len(channels)
    augmentation(recipe.data.augment, channels, Statistics(ones, ones, ones))
    spec = _resolved(recipe, parts)
    tile_px = data.planned.source.tile_px
    _check_network(recipe, network_values(recipe, len(channels), len(classes), tile_px))
    begin = source_digest(recipe.network.weights)
    planned = PlannedImages(recipe, spec, data, tuple(channels), classes, parts, begin)
    if not planned.is_trained:  # absent or unfitting weights are found here, not by workers
        build(recipe, recipe.network.weights, tuple(channels), len(classes), tile_px)
    return planned


def _check_network(recipe: ImageRecipe, values: Mapping[str, Any]) -> None:
    from models.autoencoder import AutoencoderSpec
    from models.classifier import ClassifierSpec

    kind = ClassifierSpec if isinstance(recipe, ClassifyRecipeConfig) else AutoencoderSpec
    parse(kind, dict(values), "network")


def _resolved(recipe: ImageRecipe, parts: Mapping[str, str]) -> TrainSpec:
    """Return the settings of the training; without a rule of its own the best epoch is kept, by validation."""
    from models.autoencoding_task import SCORES as AUTOENCODER_SCORES
    from models.classification_scores import SCORES as CLASSIFIER_SCORES
    from models.selection import check_rules

    spec: TrainSpec = parse(TrainSpec, recipe.train, "train")
    changes: dict[str, Any] = {}
    if spec.validation_batch is None:
        changes["validation_batch"] = min(spec.batch, VALIDATION_BATCH)
    if "best" not in recipe.train and "validation" in parts.values():
        by_accuracy = isinstance(recipe, ClassifyRecipeConfig)
        changes["best"] = BestRule(metric="accuracy") if by_accuracy else BestRule(metric="mse", mode="min")
    resolved = spec.model_copy(update=changes)
    scores = ("cross_entropy", *CLASSIFIER_SCORES) if isinstance(recipe, ClassifyRecipeConfig) else AUTOENCODER_SCORES
    check_rules(resolved, scores if "validation" in parts.values() else ())
    return resolved


def _class_weights(recipe: ImageRecipe, images: ImageSet, classes: tuple[str, ...]) -> tuple[float, ...] | None:
    from models.classification_task import balanced_weights

    if isinstance(recipe, AutoencodeRecipeConfig) or recipe.class_weights == "none":
        return None
    if recipe.class_weights == "balanced":
        return balanced_weights(np.bincount(images.labels("train"), minlength=len(classes)))
    return tuple(recipe.class_weights.get(name, 1.0) for name in classes)


def _key(
    recipe: ImageRecipe,
    spec: TrainSpec,
    channels: tuple[str, ...],
    data: TileData,
    parts: Mapping[str, str],
    begin: str,
) -> str:
    left_out = {"out", "engine", "limits", "train", "gates"}  # `spec` is `train`, resolved
    plain: dict[str, Any] = recipe.model_dump(mode="json", exclude=left_out)
    for name in ("run", "curation", "exclude"):  # by their content: identity and parts
        plain["data"].pop(name)
    return key_of(CONTRACT, plain, spec.model_dump(mode="json"), channels, data.identity, sorted(parts.items()), begin)


def _card(recipe: ImageRecipe, source: bytes) -> Any:
    return (read_classifier_card if isinstance(recipe, ClassifyRecipeConfig) else read_autoencoder_card)(source)


def _is_trained(recipe: ImageRecipe, key: str) -> bool:
    storage = Storage(recipe.out)
    if not storage.exists(CARD_FILE):
        return False
    try:
        return bool(_card(recipe, storage.get(CARD_FILE)).training_data == key)
    except ValueError as error:
        raise ValueError(f"out: {recipe.out} holds something else: {error} Choose another folder.") from error
