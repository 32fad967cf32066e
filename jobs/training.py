"""What one training worker does: readers from stores, a network by recipe, the trainer, a bundle at the end.

It lies in a module of its own, apart from the job, so that workers can import it by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from cluster.checkpoints import patiently
from cluster.storage import Storage
from jobs.training_loop import HISTORY, History, scores_of, train_reporting
from models.network_options import UNSET
from tiler.augment import Channels, Compose, compose
from tiler.coarse import mask_name
from tiler.ground import Ground, Sampling, Statistics
from tiler.scene_ground import SceneGround
from tiler.scene_store import SceneStore
from tiler.sensors import Sensor
from tiler.split import Split
from tiler.tile_ground import TileGround
from tiler.tile_store import TileStore
from tiler.tiles import HeldBackTiles, TrainingTiles

if TYPE_CHECKING:
    from models.networks import SegmentationNetwork
    from models.weight_sources import Provenance


@dataclass(frozen=True)
class TrainingTask:
    """Everything a worker needs to know, as plain values."""

    name: str
    out: str
    key: str
    """Identifies recipe and data; kept in the card, so that an unchanged recipe is not trained again."""
    stores: tuple[str, ...]
    """Addresses of scene stores, or of one tile store."""
    missing_limit: float | None
    """Largest missing ratio of a tile of a data set; None says that the stores hold scenes."""
    channels: tuple[str, ...]
    classes: tuple[str, ...]
    network: dict[str, Any]
    data: dict[str, Any]
    train: dict[str, Any]
    threads: int
    left_out: tuple[str, ...] = ()
    """Ids of tiles of a data set, or names of windows of scenes, that curation removed."""


def open_ground(task: TrainingTask) -> tuple[Ground, Sensor, tuple[Sensor, ...]]:
    """Return what the tiles of a task are cut from, its sensor, and the sensors of its modalities."""
    tile_px, sampling = int(task.data["tile_px"]), Sampling(**task.data["sampling"])
    if task.missing_limit is not None:
        store = TileStore(task.stores[0])
        tiles = TileGround(store, tile_px, task.channels, task.missing_limit, sampling, left_out=task.left_out)
        return tiles, store.sensor, tuple(m.sensor for m in store.modalities)
    scenes = [SceneStore(url) for url in task.stores]
    split = Split(**task.data["split"])
    ground = SceneGround(scenes, tile_px, task.channels, split, sampling, left_out=task.left_out)
    return ground, scenes[0].sensor, tuple(m.sensor for m in scenes[0].modalities)


def masks_of(channels: Sequence[str]) -> tuple[str, ...]:
    """Return the channels that are masks."""
    return tuple(c for c in channels if c == "mask" or c.endswith("_mask"))


def augmentation(task: TrainingTask, statistics: Statistics, modalities: Sequence[Sensor]) -> Compose:
    """Return what a recipe does to training tiles; each modality is dropped at times unless it says so itself."""
    steps: list[Any] = list(task.data["augment"])
    chosen = {name for step in steps for name in ([step] if isinstance(step, str) else step)}
    chance = float(task.data["modality_dropout"])
    if chance > 0 and "ModalityDropout" not in chosen:
        for sensor in modalities:
            bands = [band for band in sensor.bands if band in task.channels]
            mask = mask_name(sensor) if mask_name(sensor) in task.channels else None
            if bands:
                steps.append({"ModalityDropout": {"p": chance, "channels": bands, "mask": mask}})
    numbers = statistics.mean, statistics.deviation, statistics.median
    return compose(steps, Channels(task.channels, *numbers, masks=masks_of(task.channels)))


def train_worker(config: dict[str, Any]) -> None:
    """Train on this worker, with all others of the group; the first one reports progress and writes the bundle."""
    import torch

    from cluster.session import rank_and_world, worker_device
    from jobs.watching import Watcher
    from models.fit_temperature import fit_temperature
    from models.networks import NetworkSpec
    from models.ranks import current_ranks
    from models.train_spec import TrainSpec
    from models.weights import build_with_weights

    task = TrainingTask(**config)
    torch.set_num_threads(task.threads)
    rank, _ = rank_and_world()
    device = worker_device()
    ground, sensor, modalities = open_ground(task)
    spec, statistics = TrainSpec(**task.train), ground.statistics()
    count = ground.tiles if task.data["tiles_per_epoch"] == "all" else int(task.data["tiles_per_epoch"])
    training = TrainingTiles(ground, count, spec.seed, augmentation(task, statistics, modalities))
    validation = HeldBackTiles(ground, task.data["validation_tiles"])
    offset, scale = statistics.scaling(task.channels, sensor, task.data["scaling"])
    network, provenance = build_with_weights(
        NetworkSpec(**network_values(task.network, len(task.channels), len(task.classes))),
        task.network["begin"],
        offset=offset,
        scale=scale,
        channels=task.channels,
        stem=task.network["stem"],
        scaling=task.network["scaling"],
    )
    watcher = (
        Watcher(task.out, network, validation, task.classes, **shown_channels(task), device=device)
        if rank == 0
        else None
    )

    history = train_reporting(
        network,
        training,
        validation if len(validation) else None,
        spec,
        device=device,
        threads=task.threads,
        show=None if watcher is None else watcher.epoch,
    )
    fitted = None
    if len(validation):
        place = torch.device(device)
        fitted = fit_temperature(network, validation, current_ranks(), place, spec.validation_pass())
    if rank == 0:
        _write_bundle(task, network, provenance, history, sensor, fitted)


def network_values(network: Mapping[str, Any], channels: int, classes: int) -> dict[str, Any]:
    """Return the values of the `NetworkSpec` that a recipe's `network` means."""
    names = ("architecture", "encoder", *UNSET)
    return {name: network[name] for name in names if name in network} | {"in_channels": channels, "classes": classes}


def shown_channels(task: TrainingTask) -> dict[str, Any]:
    """Return which channels pictures show as red, green and blue, and which one says what is missing."""
    at = {name: place for place, name in enumerate(task.channels)}
    true_colour = all(name in at for name in ("red", "green", "blue"))
    rgb = (at["red"], at["green"], at["blue"]) if true_colour else None
    return {"rgb": rgb, "mask": at.get("mask")}


def _write_bundle(
    task: TrainingTask,
    network: SegmentationNetwork,
    provenance: Provenance,
    history: History,
    sensor: Sensor,
    fitted: Any,
) -> None:
    from models.bundle import bundle_files
    from models.card import Card

    metrics = scores_of(history)
    if fitted is not None:
        metrics |= {"ece": fitted.ece_before, "ece_calibrated": fitted.ece_after}
    card = Card(
        name=task.name,
        architecture=network.spec.architecture,
        encoder=network.spec.encoder,
        channels=task.channels,
        sensor=sensor.name,
        offset=tuple(network.offset.tolist()),
        scale=tuple(network.scale.tolist()),
        classes=task.classes,
        options=network.spec.options(),
        metrics=metrics,
        training_data=task.key,
        split=task.data["split"],
        weights=task.network["weights"],
        temperature=1.0 if fitted is None else fitted.temperature,
        origin=asdict(provenance) | {"spec": task.network["weights"]},
    )
    storage = Storage(task.out)
    files = {HISTORY: json.dumps(history, indent=1).encode(), **bundle_files(network, card)}
    for name in sorted(files, key=lambda name: name == "card.json"):  # the card last: it says that the rest is there
        patiently(partial(storage.put, name, files[name]))
