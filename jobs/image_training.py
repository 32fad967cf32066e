"""What one worker of a training on whole images does: samples of a store, a network by recipe, a bundle at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from cluster.checkpoints import patiently
from cluster.storage import Storage
from jobs.image_recipe_config import AutoencodeRecipeConfig, ClassifyRecipeConfig, ImageRecipe
from jobs.image_scores import score_files
from jobs.image_training_data import ImageSamples, ImageSet
from jobs.training_loop import HISTORY, History, kept_row, scores_of, train_reporting
from jobs.watching import Curves
from models.card import CARD_FILE
from tiler.ground import Statistics
from tiler.tile_store import TileStore

if TYPE_CHECKING:
    import numpy as np

    from models.classification_task import Classification
    from models.image_bundle import ImageNetwork
    from models.weight_sources import Provenance


@dataclass(frozen=True)
class ImageTask:
    """Everything a worker needs to know, as plain values."""

    name: str
    out: str
    key: str
    """Identifies recipe and data; kept in the card, so that an unchanged recipe is not trained again."""
    store: str
    missing_limit: float
    parts: dict[str, str]
    """Id of each image to train, validation or test."""
    channels: tuple[str, ...]
    classes: tuple[str, ...]
    """Names of whole images' classes; empty for an autoencoder."""
    class_weights: tuple[float, ...] | None
    begin: str
    """The weights, by an address that means the same on every worker."""
    recipe: dict[str, Any]
    train: dict[str, Any]
    """Settings of `TrainSpec`, resolved."""
    threads: int


DRAWN = {
    "training_loss": "train_loss",
    "cross_entropy": "valid_loss",
    "mse": "valid_loss",
    **{name: name for name in ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "explained")},
    "predicted_entropy": "entropy of predictions",
    "learning_rate": "learning_rate",
}
"""Numbers of an epoch that are drawn, and under which names: `train_X` and `valid_X` share a panel."""


def network_values(recipe: ImageRecipe, channels: int, classes: int, tile_px: int) -> dict[str, Any]:
    """Return the values of the `ClassifierSpec` or `AutoencoderSpec` that a recipe means."""
    values = recipe.network.model_dump(exclude={"weights"}) | {"in_channels": channels}
    values["side_px"] = values["side_px"] or tile_px
    return values | ({"classes": classes} if isinstance(recipe, ClassifyRecipeConfig) else {})


def build(
    recipe: ImageRecipe, begin: str, channels: tuple[str, ...], classes: int, tile_px: int, **scaling: Any
) -> tuple[ImageNetwork, Provenance]:
    """Build the network of a recipe with the weights that it begins with; scaling: offset and scale.

    Raises:
        ValueError: what cannot be built, or weights that do not fit.
        FileNotFoundError: weights that are not there.
    """
    from models.autoencoder import AutoencoderSpec, build_autoencoder
    from models.classifier import ClassifierSpec, build_classifier
    from models.image_weights import begin_with

    values = network_values(recipe, len(channels), classes, tile_px)
    if isinstance(recipe, ClassifyRecipeConfig):
        spec = ClassifierSpec(**values)
        return begin_with(lambda: build_classifier(spec, **scaling), begin, channels=channels)
    other = AutoencoderSpec(**values)
    return begin_with(lambda: build_autoencoder(other, **scaling), begin, channels=channels)


def recipe_of(values: Mapping[str, Any]) -> ImageRecipe:
    """Return the recipe that a task carries."""
    kind = ClassifyRecipeConfig if values["task"] == "classify" else AutoencodeRecipeConfig
    return kind.model_validate(values)


def train_images_worker(config: dict[str, Any]) -> None:
    """Train on this worker, with all others of the group; the first one reports progress and writes the bundle."""
    import torch

    from cluster.session import rank_and_world, worker_device
    from models.autoencoding_task import Autoencoding
    from models.classification_task import Classification
    from models.train_spec import TrainSpec

    task = ImageTask(**config)
    torch.set_num_threads(task.threads)
    rank, _ = rank_and_world()
    recipe, spec, device = recipe_of(task.recipe), TrainSpec(**task.train), worker_device()
    classifies = isinstance(recipe, ClassifyRecipeConfig)
    images = ImageSet.of(TileStore(task.store), task.channels, task.parts, task.missing_limit, classifies)
    statistics = images.statistics()
    reader = partial(ImageSamples, images, statistics=statistics, masks=not classifies)
    augment = images.augmentation(recipe.data.augment, statistics) if recipe.data.augment else None
    validation = reader("validation", augment=augment if recipe.data.augment_validation else None, seed=spec.seed)
    offset, scale = statistics.scaling(task.channels, images.store.sensor, recipe.data.scaling)
    network, provenance = build(
        recipe, task.begin, task.channels, len(task.classes), images.store.tile_px, offset=offset, scale=scale
    )
    goal = Classification(len(task.classes), task.class_weights) if classifies else Autoencoding()
    history = train_reporting(
        network,
        reader("train", augment=augment, seed=spec.seed),
        validation if len(validation) else None,
        spec,
        device=device,
        threads=task.threads,
        task=goal,
        show=Curves(task.out, task.name, DRAWN).epoch if rank == 0 else None,
    )
    matrices: dict[str, np.ndarray] = {}
    if isinstance(goal, Classification):
        for part in ("validation", "test"):
            samples = reader(part)
            if len(samples):  # every worker counts its share
                matrices[part] = _counted(goal, network, samples, device, spec.validation_pass())
    if rank == 0:
        _write(task, recipe, network, provenance, history, images, statistics, matrices)


def _counted(
    goal: Classification, network: ImageNetwork, samples: ImageSamples, device: str, samples_per_pass: int
) -> np.ndarray:
    """Return the confusion matrix of a trained network over images of all workers."""
    import torch

    from models.loading import shard_steps
    from models.ranks import current_ranks
    from models.task import Batch

    ranks, place = current_ranks(), torch.device(device)
    network.to(place)
    batches = (
        Batch((batch.inputs[0].to(place),), (batch.truth[0].to(place),), batch.counts)
        for steps in shard_steps(len(samples), samples_per_pass, ranks.rank, ranks.world_size)
        for batch in [goal.load(samples, steps)]
    )
    matrix, _ = goal.counted(network, batches, ranks, samples_per_pass)
    network.to("cpu")
    return matrix


def _write(
    task: ImageTask,
    recipe: ImageRecipe,
    network: ImageNetwork,
    provenance: Provenance,
    history: History,
    images: ImageSet,
    statistics: Statistics,
    matrices: Mapping[str, np.ndarray],
) -> None:
    """Write the bundle, its history and its scores; the card last: it says that the rest is there."""
    from models.image_bundle import image_files
    from models.image_cards import AutoencoderCard, ClassifierCard

    facts: dict[str, Any] = {
        "name": task.name,
        "channels": task.channels,
        "sensor": images.store.sensor.name,
        "offset": tuple(network.offset.tolist()),
        "scale": tuple(network.scale.tolist()),
        "training_data": task.key,
        "split": recipe.data.split.model_dump() | {"images": {part: len(rows) for part, rows in images.rows.items()}},
        "weights": recipe.network.weights,
        "origin": asdict(provenance) | {"spec": recipe.network.weights},
        "metrics": scores_of(history) | {"epoch": kept_row(history)["epoch"]},
    }
    values = network.spec.model_dump(exclude={"in_channels", "classes"})
    files: dict[str, bytes] = {HISTORY: json.dumps(history, indent=1).encode()}
    card: Any
    if isinstance(recipe, ClassifyRecipeConfig):
        scored, verdict, metrics = score_files(matrices, task.classes)
        files |= scored
        facts["metrics"] |= metrics
        counts = [int((images.labels("train") == place).sum()) for place in range(len(task.classes))]
        card = ClassifierCard(
            kind="classifier", classes=task.classes, class_counts=tuple(counts), verdict=verdict, **values, **facts
        )
    else:
        card = AutoencoderCard(kind="autoencoder", **values, **facts)
    files |= image_files(network, card)
    storage = Storage(task.out)
    for name in sorted(files, key=lambda name: name == CARD_FILE):
        patiently(partial(storage.put, name, files[name]))
