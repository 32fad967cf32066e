"""What one worker of an embedder's training does: items from stores, a network by recipe, the trainer, a bundle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cluster.checkpoints import patiently
from cluster.storage import Storage
from jobs.embed_recipe_config import EmbedRecipeConfig
from jobs.embedding_data import Kind, open_items, place_table
from jobs.embedding_readers import ChangedViews, HeldBackTriplets, Pairs, Triplets, change_by
from jobs.training_loop import HISTORY, History, scores_of, train_reporting
from jobs.watching import Curves
from models.triplets import Frames, Items, Places, Rule, TripletSampler
from tiler.item_ground import ItemGround, moments
from tiler.item_split import GUARDS, TRAINS, VALIDATES, spans_of

if TYPE_CHECKING:
    from models.embedder import Embedder
    from models.weight_sources import Provenance

VIEW_NAMES = {
    "timely": ("anchor", "positive", "negative"),
    "timely-ntxent": ("anchor", "positive"),
    "simclr-as-written": ("anchor", "blurred", "negative"),
    "simclr-ntxent": ("one view", "another view"),
}
Scaling = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class EmbeddingTask:
    """Everything a worker needs to know, as plain values."""

    name: str
    out: str
    key: str
    """Identifies recipe and data; kept in the card, so that an unchanged recipe is not trained again."""
    kind: Kind
    stores: tuple[str, ...]
    channels: tuple[str, ...]
    begin: str
    """The weights, by an address that means the same on every worker."""
    recipe: dict[str, Any]
    """The recipe, whole: an `EmbedRecipeConfig`."""
    train: dict[str, Any]
    """Settings of `TrainSpec`, resolved."""
    threads: int
    left_out: tuple[str, ...] = ()
    """Names of frames or windows that curation removed."""


@dataclass(frozen=True)
class Prepared:
    """The data of a task, opened and divided."""

    recipe: EmbedRecipeConfig
    ground: ItemGround
    parts: np.ndarray
    """What each item does: `tiler.item_split`."""
    training: Any
    """Reader of what trains; None for a method that trains nothing."""
    fitting: Any
    """Reader of what a linear map is fitted to: what trains, or single images for a method that trains nothing."""
    validation: HeldBackTriplets | None
    scaling: Scaling

    def split_facts(self) -> dict[str, Any]:
        """Return for the card how items were divided, and which times (or places) validate."""
        held = self.parts == VALIDATES
        counts = {name: int((self.parts == part).sum()) for name, part in _PARTS.items()}
        by_place = self.recipe.data.split.kind == "places"
        where: dict[str, Any] = (
            {"validation_places": place_table(self.ground, held)}
            if by_place
            else {"validation_spans": spans_of(self.ground.times, held)}
        )
        return self.recipe.data.split.model_dump(mode="json") | {"items": counts} | where


_PARTS = {"train": TRAINS, "validation": VALIDATES, "guard": GUARDS}


def prepare(task: EmbeddingTask) -> Prepared:
    """Open the stores of a task, divide the items, and make its readers.

    Raises:
        ValueError: nothing to train on, or no triplet to validate on.
    """
    recipe = EmbedRecipeConfig.model_validate(task.recipe)
    data, seed = recipe.data, int(task.train.get("seed", 0))
    ground = open_items(task.kind, task.stores, task.channels, data.missing_limit, data.tile_px, task.left_out)
    parts = data.split.parts(ground.times, ground.groups)
    members, held = np.flatnonzero(parts == TRAINS), np.flatnonzero(parts == VALIDATES)
    if not len(members):
        raise ValueError(f"data.split: of {len(parts)} items none is left to train on; lower validation or guard_hours")
    items, rule = Items(ground.groups, ground.times), rule_of(recipe, task.kind)
    statistics = moments(ground, members)
    count = None if data.samples_per_epoch == "all" else data.samples_per_epoch
    training: Any = None
    if recipe.method == "timely":
        training = Triplets(ground, TripletSampler(items, rule, seed, members), count, seed)
    elif recipe.method == "timely-ntxent":
        change = change_by(recipe.pair_augment, task.channels, *statistics) if recipe.pair_augment else None
        training = Pairs(ground, TripletSampler(items, rule, seed, members), change, count, seed)
    elif recipe.method == "simclr-as-written":
        blur = {"GaussianBlur": {"p": 1.0, "sigma_px": list(recipe.blur.sigma_px)}}
        changes = (None, change_by([blur], task.channels, *statistics))
        training = ChangedViews(ground, members, changes, with_another=True, count=count, seed=seed)
    elif recipe.method == "simclr-ntxent":
        change = change_by(recipe.augment, task.channels, *statistics)
        training = ChangedViews(ground, members, (change, change), with_another=False, count=count, seed=seed)
    validation = None
    if len(held):
        try:
            sampler = TripletSampler(items, rule, seed, held)
        except ValueError as error:
            raise ValueError(f"data.split: what validates has no triplets: {error}") from error
        validation = HeldBackTriplets(ground, sampler, data.validation_samples)
    scaling = {"standard": statistics, "range": ground.valid_range}.get(data.scaling, _unscaled(len(task.channels)))
    fitting = ChangedViews(ground, members, (None,), with_another=False) if training is None else training
    return Prepared(recipe, ground, parts, training, fitting, validation, scaling)


def rule_of(recipe: EmbedRecipeConfig, kind: Kind) -> Rule:
    """Return what makes a triplet of the recipe's items."""
    if kind == "scenes":
        return Places(recipe.data.max_days, recipe.data.min_days)
    return Frames(recipe.positive_hours, recipe.negative.exclude_hours, recipe.negative.same_month)


def _unscaled(channels: int) -> Scaling:
    return (0.0,) * channels, (1.0,) * channels


def train_embedder_worker(config: dict[str, Any]) -> None:
    """Train on this worker, with all others of the group; the first one reports progress and writes the bundle."""
    import torch

    from cluster.session import rank_and_world, worker_device
    from models.embedding_task import Embedding, EmbeddingNetwork, judge, projection_head
    from models.linear_fitting import fit_linear
    from models.ranks import current_ranks
    from models.train_spec import TrainSpec

    task = EmbeddingTask(**config)
    torch.set_num_threads(task.threads)
    rank, _ = rank_and_world()
    prepared = prepare(task)
    recipe, spec, device = prepared.recipe, TrainSpec(**task.train), worker_device()
    embedder, provenance = build(task, prepared)
    contrasted = recipe.method.endswith("ntxent")
    head = projection_head(embedder.dimension, spec.seed) if recipe.method == "simclr-ntxent" else None
    network = EmbeddingNetwork(embedder, head)
    goal = Embedding("nt_xent" if contrasted else "triplet", recipe.margin, recipe.temperature)
    history: History = []
    fitted: dict[str, float] = {}
    if recipe.network.linear is not None:
        batch = spec.validation_pass()
        fitted = fit_linear(
            embedder, prepared.fitting, goal, recipe.network.linear, current_ranks(), device, batch, spec.seed
        )
    if prepared.training is None:
        scores: dict[str, float] = {}
        if prepared.validation is not None:
            scores = judge(network, prepared.validation, goal, current_ranks(), device, spec.validation_pass())
    else:
        curves = Curves(task.out, task.name)
        if rank == 0:
            curves.views(prepared.training, shown_as_rgb(task.channels), VIEW_NAMES[recipe.method])
        history = train_reporting(
            network,
            prepared.training,
            prepared.validation,
            spec,
            task=goal,
            device=device,
            threads=task.threads,
            show=curves.epoch if rank == 0 else None,
        )
        scores = scores_of(history)
    if rank == 0:
        write_bundle(task, prepared, embedder, provenance, history, scores | fitted)


def shown_as_rgb(channels: Sequence[str]) -> tuple[int, ...]:
    """Return three channels to show: red, green and blue, or the first three, or the first in grey."""
    if {"red", "green", "blue"} <= set(channels):
        return tuple(channels.index(name) for name in ("red", "green", "blue"))
    return (0, 1, 2) if len(channels) >= 3 else (0, 0, 0)


def build(task: EmbeddingTask, prepared: Prepared) -> tuple[Embedder, Provenance]:
    """Build the embedder of a task with the weights that it begins with, and its adapter."""
    from models.embedder import EmbedderSpec
    from models.embedder_weights import embedder_with_weights
    from models.lora import add_lora

    recipe = prepared.recipe
    offset, scale = prepared.scaling
    embedder, provenance = embedder_with_weights(
        EmbedderSpec(**spec_values(recipe, len(task.channels))),
        task.begin,
        offset=offset,
        scale=scale,
        channels=task.channels,
        stem=recipe.network.stem,
        positions=recipe.network.positions,
    )
    if recipe.method == "frozen":
        embedder.requires_grad_(False)
    elif recipe.network.lora is not None:
        add_lora(embedder, recipe.network.lora, seed=int(task.train.get("seed", 0)))
    return embedder, provenance


def spec_values(recipe: EmbedRecipeConfig, channels: int) -> dict[str, Any]:
    """Return the values of the `EmbedderSpec` that a recipe means."""
    network = recipe.network.model_dump(include={"architecture", "side_px", "depth", "patch_px", "grid"})
    scaling = "image" if recipe.data.scaling == "per_image" else "set"
    linear = recipe.network.linear.numbers if recipe.network.linear is not None else None
    return network | {"in_channels": channels, "scaling": scaling, "linear": linear}


def write_bundle(
    task: EmbeddingTask,
    prepared: Prepared,
    embedder: Embedder,
    provenance: Provenance,
    history: History,
    scores: dict[str, float],
) -> None:
    """Write the bundle and its history, the card last: it says that the rest is there."""
    from models.embedder_bundle import embedder_files
    from models.embedder_card import ADAPTER_FILE, EmbedderCard

    recipe = prepared.recipe
    lora = None if recipe.method == "frozen" else recipe.network.lora
    card = EmbedderCard(
        kind="embedder",
        name=task.name,
        architecture=embedder.spec.architecture,
        depth=embedder.spec.depth,
        patch_px=embedder.spec.patch_px,
        side_px=embedder.spec.side_px,
        grid=embedder.spec.grid,
        linear=embedder.spec.linear,
        dimension=embedder.dimension,
        width=int(embedder.network.num_features),
        channels=task.channels,
        sensor=prepared.ground.sensor,
        offset=tuple(embedder.offset.tolist()),
        scale=tuple(embedder.scale.tolist()),
        scaling=recipe.data.scaling,
        method=recipe.method,
        lora=None if lora is None else lora.model_dump(),
        metrics=scores,
        training_data=task.key,
        split=prepared.split_facts(),
        weights=recipe.network.weights,
        origin=asdict(provenance) | {"spec": recipe.network.weights},
    )
    storage = Storage(task.out)
    files = embedder_files(embedder, card)
    if history:
        files[HISTORY] = json.dumps(history, indent=1).encode()
    if ADAPTER_FILE not in files and storage.exists(ADAPTER_FILE):
        patiently(partial(storage.delete, ADAPTER_FILE))  # of a bundle that lay here before
    for name in sorted(files, key=lambda name: name == "card.json"):
        patiently(partial(storage.put, name, files[name]))
