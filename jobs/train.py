"""Train: a recipe into a bundle, by distributed data parallelism over Ray Train, or in this process.

python -m jobs.train examples/aberystwyth/unetpp.yaml
sandan train examples/aberystwyth/unetpp.yaml --set engine.kind=serial --set train.epochs=2
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cluster.checkpoints import CheckpointFolder
from cluster.storage import Storage
from jobs.embed_recipe_config import EmbedRecipeConfig, recipe_kind
from jobs.estimate import BASE_MEMORY_BYTES, TORCH_MEMORY_BYTES, Estimate
from jobs.image_recipe_config import AutoencodeRecipeConfig, ClassifyRecipeConfig
from jobs.network_gates import gated
from jobs.parsing import parse
from jobs.plan import key_of
from jobs.recipe_config import Recipe, RecipeConfig
from jobs.runner import engine_of
from jobs.shell import DONE, FAULT, INCOMPLETE, Job, Planned, run_job
from jobs.supervise import waiting_turn
from jobs.train_embedder import plan_embedder
from jobs.train_images import plan_images
from jobs.training import TrainingTask, masks_of, network_values, train_worker
from jobs.training_data import TileData, TrainingData, absolute, plan_data, read_weights
from jobs.training_gates import passes
from jobs.training_launch import Launch
from jobs.training_pace import time_left
from jobs.training_weights import absolute_weights, source_digest
from models.card import read_card
from models.networks import NetworkSpec
from models.train import TrainSpec
from models.weights import build_with_weights
from tiler.augment import Channels, compose

CONTRACT = 1
TRAINING_BYTES_PER_PIXEL = 6_000
"""Activations and gradients that one pixel of a batch keeps, as measured with light encoders."""


@dataclass(frozen=True)
class PlannedTrain:
    """The job, checked."""

    recipe: RecipeConfig
    spec: TrainSpec
    data: TrainingData
    channels: tuple[str, ...]
    weights: Mapping[str, float]
    """How often scenes or tiles are drawn, by id."""

    @property
    def key(self) -> str:
        """What identifies recipe and data."""
        left_out = {"task", "out", "engine", "limits", "train", "gates"}  # `spec` is `train`, resolved
        recipe = self.recipe.model_dump(mode="json", exclude=left_out)
        for path in ("run", "curation", "exclude", "gates"):  # their content counts: `data.identity`
            recipe["data"].pop(path)
        recipe["data"]["sampling"]["weights"] = dict(self.weights)
        begin = source_digest(self.recipe.network.weights)
        return key_of(CONTRACT, recipe, self.spec.model_dump(mode="json"), self.channels, self.data.identity, begin)

    @property
    def is_trained(self) -> bool:
        """Whether the bundle is there already, of this recipe and these data."""
        storage = Storage(self.recipe.out)
        return storage.exists("card.json") and read_card(storage.get("card.json")).training_data == self.key

    def estimates(self) -> list[Estimate]:
        """Return what there is to do."""
        data, spec = self.recipe.data, self.spec
        left = 0 if self.is_trained else spec.epochs
        tiles = self.data.tiles(data.tile_px) if data.tiles_per_epoch == "all" else data.tiles_per_epoch
        memory = spec.batch * data.tile_px**2 * TRAINING_BYTES_PER_PIXEL  # of one worker that has the whole batch
        train = Estimate(
            "train",
            spec.epochs,
            "epochs",
            spec.epochs - left,
            left * tiles * data.tile_px**2 * (len(self.channels) * 4 + 1),
            0 if not left else 100 * 2**20,
            BASE_MEMORY_BYTES + TORCH_MEMORY_BYTES + memory,
            self.recipe.out if "://" not in self.recipe.out else "",
            workers_at_most=1,  # several share the batch
            time=time_left(Storage(self.recipe.out), self.key, spec.epochs) if left else None,
        )
        return [self.data.estimate(), train]

    def run(self) -> int:
        """Ingest what is missing, ask the gates, train, and say where the bundle lies."""
        out = self.recipe.out
        if self.is_trained:
            print(f"{out} is trained already by this recipe on these data")
            return DONE
        with engine_of(self.recipe.engine) as engine:  # held to the end: to reach Ray twice would take seconds more
            with waiting_turn(Storage(self.data.out), f"the data of {out}"):  # several recipes may begin at once
                stores = self.data.ingest(engine)
            if not stores:
                return FAULT
            if not passes(self.data, self.recipe.data.gates, engine):
                return INCOMPLETE
            facts = engine.facts()
            task = self._task(stores, int(facts.get("threads", 1)))
            launch = Launch(task.name, task.out, self.key, self.spec.epochs, self.recipe.engine, "mIoU")
            launch.run(train_worker, asdict(task), facts)
        CheckpointFolder(launch.checkpoints).clear()  # the bundle is there
        card = read_card(Storage(out).get("card.json"))
        note = "" if card.temperature == 1 else f"  temperature {card.temperature:.2f}"
        print(f"bundle     {out}  mIoU on held-back tiles {card.metrics.get('mIoU', float('nan')):.4f}{note}")
        return DONE

    def _task(self, stores: tuple[str, ...], threads: int) -> TrainingTask:
        network, data = self.recipe.network, self.recipe.data.model_dump()
        return TrainingTask(
            name=Path(self.recipe.out).resolve().name,
            out=absolute(self.recipe.out),
            key=self.key,
            stores=stores,
            missing_limit=self.data.planned.limit if isinstance(self.data, TileData) else None,
            left_out=tuple(sorted(self.data.left_out)),
            channels=self.channels,
            classes=self.recipe.classes,
            network={**network.model_dump(), "begin": absolute_weights(network.weights)},
            data=data | {"sampling": {**data["sampling"], "weights": dict(self.weights)}},
            train=self.spec.model_dump(),
            threads=threads,
        )


def plan_train(recipe: RecipeConfig) -> PlannedTrain:
    """Check a recipe.

    Raises:
        ValueError: bad input.
    """
    data = plan_data(recipe.data)
    channels = recipe.data.channels or (*data.sensor.bands, "mask")
    absent = [c for c in channels if c not in data.offered]
    if absent or len(set(channels)) < len(channels):
        raise ValueError(
            f"data.channels: {absent or list(channels)} {'are not offered' if absent else 'repeat'}; "
            f"{recipe.data.run} offers {list(data.offered)}: name each one once, or add `modalities` there"
        )
    if not data.label_values:
        raise ValueError(f"data.run: {recipe.data.run} labels no pixel, and segmentation needs that; give it `masks`")
    most = max(1, len(recipe.classes) - 1)
    if max(data.label_values) > most:
        raise ValueError(
            f"classes: the labels of {recipe.data.run} hold class indices up to {max(data.label_values)}, the recipe "
            f"names {list(recipe.classes)} (indices up to {most}); name a class for each index, background first"
        )
    ones = (1.0,) * len(channels)
    compose(recipe.data.augment, Channels(channels, ones, ones, ones, masks_of(channels)))
    classes = len(recipe.classes)
    spec = parse(NetworkSpec, network_values(recipe.network.model_dump(), len(channels), classes), "network")
    weights = read_weights(recipe.data.sampling.weights, data.ids)
    planned = PlannedTrain(recipe, parse(TrainSpec, recipe.train, "train"), data, channels, weights)
    if not planned.is_trained:  # absent or unfitting weights are found here, not by workers
        begin = recipe.network
        build_with_weights(spec, begin.weights, channels=channels, stem=begin.stem, scaling=begin.scaling)
    return planned


def plan_recipe(recipe: Recipe) -> Planned:
    """Check a recipe of any task.

    Raises:
        ValueError: bad input.
    """
    planned: Planned
    if isinstance(recipe, EmbedRecipeConfig):
        planned = plan_embedder(recipe)
    elif isinstance(recipe, ClassifyRecipeConfig | AutoencodeRecipeConfig):
        planned = plan_images(recipe)
    else:
        assert isinstance(recipe, RecipeConfig)
        planned = plan_train(recipe)
    return gated(planned, recipe)


JOB = Job(
    name="train",
    summary="Train the network of a recipe into a bundle, weights (safetensors) and a card (JSON): one that maps, with "
    "`task: embed` one that finds what is alike, with `task: classify` one that names the class of an image, with "
    "`task: autoencode` one that makes few numbers of it.",
    example="  sandan train examples/aberystwyth/unetpp.yaml\n"
    "  sandan train recipe.yaml --set train.epochs=50 --set engine.workers=4 --dry-run\n"
    "  sandan train jobs/recipes/weather/timely.yaml --set network.weights=file:vit.safetensors",
    kind=recipe_kind,
    plan=plan_recipe,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_job(JOB, argv)


if __name__ == "__main__":
    sys.exit(main())
