"""Training of an embedder, planned: `sandan train RECIPE.yaml` where the recipe says `task: embed`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.checkpoints import CheckpointFolder
from cluster.storage import Storage
from jobs.embed_recipe_config import EmbedRecipeConfig
from jobs.embedding_data import EmbeddingData, plan_embedding_data
from jobs.embedding_readers import change_by
from jobs.embedding_training import EmbeddingTask, spec_values, train_embedder_worker
from jobs.estimate import BASE_MEMORY_BYTES, TORCH_MEMORY_BYTES, Estimate
from jobs.parsing import parse
from jobs.plan import key_of
from jobs.runner import engine_of
from jobs.shell import DONE, FAULT
from jobs.training_data import absolute
from jobs.training_launch import Launch
from jobs.training_pace import time_left
from jobs.training_weights import absolute_weights, source_digest
from models.card import CARD_FILE
from models.embedder_card import read_embedder_card
from models.train_spec import TrainSpec
from models.triplets import Frames, Places

if TYPE_CHECKING:
    from models.embedder import Embedder

CONTRACT = 1
ACTIVATION_BYTES = 60
"""Of each number of each token in each block, kept for the gradient of an adapter; measured, float32."""
ALL_WEIGHTS_BYTES = 78
"""The same where all weights are trained."""
FITTING_ARRAYS = 5
"""Of the tokens of the pairs that a linear map is fitted to, in memory at once; measured (4.8)."""
SEGMENTATION_ONLY = ("loss", "alpha", "gamma", "class_weights", "freeze_normalisation", "sync_normalisation")
"""Settings of `TrainSpec` that mean nothing here."""
VALIDATION_BATCH = 32
"""Triplets per pass, unless the recipe says otherwise."""
VIEWS = {"timely": 3, "timely-ntxent": 2, "simclr-as-written": 3, "simclr-ntxent": 2, "frozen": 3}


@dataclass(frozen=True)
class PlannedEmbedder:
    """The job, checked."""

    recipe: EmbedRecipeConfig
    spec: TrainSpec
    data: EmbeddingData
    channels: tuple[str, ...]
    image_bytes: int
    """Of the activations that an image leaves in training."""
    fitting_bytes: int
    """What fitting a linear map takes, before anything is trained."""
    begin: str
    """What identifies the weights that it begins with."""

    @property
    def key(self) -> str:
        """What identifies recipe and data."""
        return _key(self.recipe, self.spec, self.channels, self.data, self.begin)

    @property
    def is_trained(self) -> bool:
        """Whether the bundle is there already, of this recipe and these data."""
        return _is_trained(self.recipe.out, self.key)

    @property
    def epochs(self) -> int:
        """To train."""
        return 0 if self.recipe.method == "frozen" else self.spec.epochs

    def estimates(self) -> list[Estimate]:
        """Return what there is to do."""
        data, views = self.recipe.data, VIEWS[self.recipe.method]
        left = 0 if self.is_trained else self.epochs
        items = self.data.items(data.tile_px)
        samples = items if data.samples_per_epoch == "all" else data.samples_per_epoch
        side_px = data.tile_px if self.data.kind == "scenes" else self.recipe.network.side_px
        batch = -(-self.spec.batch // self.spec.accumulate)  # of one worker that has the whole batch
        train = Estimate(
            "train",
            max(1, self.epochs),
            "epochs" if self.epochs else "bundle",
            max(1, self.epochs) - (left if self.epochs else int(not self.is_trained)),
            left * samples * views * side_px**2 * len(self.channels),
            0 if self.is_trained else 700 * 2**20,
            BASE_MEMORY_BYTES
            + TORCH_MEMORY_BYTES
            + max(batch * views * self.image_bytes if self.epochs else 0, self.fitting_bytes),
            self.recipe.out if "://" not in self.recipe.out else "",
            workers_at_most=1,  # several share the batch
            time=time_left(Storage(self.recipe.out), self.key, self.spec.epochs) if left else None,
        )
        return [*self.data.estimates(), train]

    def run(self) -> int:
        """Ingest what is missing, train, and say where the bundle lies."""
        out = self.recipe.out
        if self.is_trained:
            print(f"{out} is trained already by this recipe on these data")
            return DONE
        with engine_of(self.recipe.engine) as engine:
            stores = self.data.ingest(engine)
            if not stores:
                return FAULT
            facts = engine.facts()
            task = self._task(stores, int(facts.get("threads", 1)))
            launch = Launch(task.name, task.out, self.key, max(1, self.epochs), self.recipe.engine, "triplet_accuracy")
            launch.run(train_embedder_worker, asdict(task), facts)
        CheckpointFolder(launch.checkpoints).clear()  # the bundle is there
        card = read_embedder_card(Storage(out).get(CARD_FILE))
        told = "".join(f"  {name} {card.metrics[name]:.4f}" for name in _TOLD if name in card.metrics)
        print(f"embedder   {out}  {card.method}{told}")
        return DONE

    def _task(self, stores: tuple[str, ...], threads: int) -> EmbeddingTask:
        return EmbeddingTask(
            name=Path(self.recipe.out).resolve().name,
            out=absolute(self.recipe.out),
            key=self.key,
            kind=self.data.kind,
            stores=stores,
            channels=self.channels,
            begin=absolute_weights(self.recipe.network.weights),
            recipe=self.recipe.model_dump(mode="json"),
            train=self.spec.model_dump(),
            threads=threads,
            left_out=tuple(sorted(self.data.left_out)),
        )


_TOLD = ("triplet_loss", "triplet_accuracy", "similarity_gap")


def plan_embedder(recipe: EmbedRecipeConfig) -> PlannedEmbedder:
    """Check a recipe with `task: embed`.

    Raises:
        ValueError: bad input.
    """
    from models.embedder import EmbedderSpec
    from models.embedder_weights import embedder_with_weights

    strangers = [name for name in SEGMENTATION_ONLY if name in recipe.train]
    if strangers:
        raise ValueError(f"train: {strangers} are of segmentation; here `method` and `margin` say what the loss is")
    data = plan_embedding_data(recipe.data)
    channels = recipe.data.channels or _bands(data)
    absent = [name for name in channels if name not in data.offered]
    if absent or len(set(channels)) < len(channels):
        raise ValueError(
            f"data.channels: {absent or list(channels)} {'are not offered' if absent else 'repeat'}; the runs offer "
            f"{list(data.offered)}: name each one once"
        )
    _check_rules(recipe, data)
    ones = (1.0,) * len(channels)
    for augment in (recipe.augment, recipe.pair_augment):
        change_by(augment, channels, ones, ones)
    spec = parse(TrainSpec, recipe.train, "train")
    if spec.validation_batch is None:  # vectors are small; a GPU has little to do with the four images of a map's
        spec = spec.model_copy(update={"validation_batch": min(spec.batch, VALIDATION_BATCH)})
    network = parse(EmbedderSpec, spec_values(recipe, len(channels)), "network")
    begin = source_digest(recipe.network.weights)
    if not _is_trained(recipe.out, _key(recipe, spec, channels, data, begin)):
        # absent or unfitting weights are found here, not by workers
        weights = recipe.network.weights
        stem, positions = recipe.network.stem, recipe.network.positions
        embedder, _ = embedder_with_weights(network, weights, channels=channels, stem=stem, positions=positions)
        image_bytes, fitting_bytes = _image_bytes(recipe, embedder), _fitting_bytes(recipe, embedder)
    else:
        image_bytes = fitting_bytes = 0
    return PlannedEmbedder(recipe, spec, data, channels, image_bytes, fitting_bytes, begin)


def _check_rules(recipe: EmbedRecipeConfig, data: EmbeddingData) -> None:
    of_frames = sorted({"positive_hours", "negative"} & recipe.model_fields_set)
    if data.kind == "scenes" and of_frames:
        raise ValueError(
            f"{of_frames} are of frames; the positives of scenes are their next acquisitions: set data.max_days"
        )
    if data.kind == "frames":
        if recipe.data.split.kind == "places":
            raise ValueError("data.split: frames have no places; choose time, blocks or random")
        Frames(recipe.positive_hours, recipe.negative.exclude_hours)
    else:
        Places(recipe.data.max_days, recipe.data.min_days)


def _bands(data: EmbeddingData) -> tuple[str, ...]:
    """Return the channels of a recipe that names none: the bands, which masks and modalities are not."""
    first = data.parts[0]
    own = getattr(getattr(first, "sensor", None), "bands", data.offered)
    return tuple(name for name in own if name in data.offered)


def _image_bytes(recipe: EmbedRecipeConfig, embedder: Embedder) -> int:
    network = embedder.network
    numbers = (network.patch_embed.num_patches + 1) * int(network.num_features) * len(network.blocks)
    return numbers * (ALL_WEIGHTS_BYTES if recipe.network.lora is None else ACTIVATION_BYTES)


def _fitting_bytes(recipe: EmbedRecipeConfig, embedder: Embedder) -> int:
    linear = recipe.network.linear
    return 0 if linear is None else FITTING_ARRAYS * 4 * linear.pairs * embedder.features


def _key(recipe: EmbedRecipeConfig, spec: TrainSpec, channels: tuple[str, ...], data: EmbeddingData, begin: str) -> str:
    left_out: set[str] = {"out", "engine", "limits", "train", "gates"}  # `spec` is `train`, resolved
    told: dict[str, Any] = recipe.model_dump(mode="json", exclude=left_out)
    for name in ("run", "exclude"):  # their content counts, not where it lies
        told["data"].pop(name)
    return key_of(CONTRACT, told, spec.model_dump(mode="json"), channels, data.identity, begin)


def _is_trained(out: str, key: str) -> bool:
    storage = Storage(out)
    if not storage.exists(CARD_FILE):
        return False
    try:
        return read_embedder_card(storage.get(CARD_FILE)).training_data == key
    except ValueError as error:
        raise ValueError(f"out: {out} holds something else: {error} Choose another folder.") from error
