"""What one training worker does: readers from scene stores, a network by recipe, the trainer, a bundle at the end.

It lies in a module of its own, apart from the job, so that workers can import it by name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cluster.storage import Storage

CHECKPOINT = "state.pt"


@dataclass(frozen=True)
class TrainingTask:
    """Everything a worker needs to know, as plain values."""

    name: str
    out: str
    key: str
    """Identifies recipe and data; kept in the card, so that an unchanged recipe is not trained again."""
    scenes: tuple[str, ...]
    """Addresses of the scene stores."""
    classes: tuple[str, ...]
    network: dict[str, Any]
    data: dict[str, Any]
    train: dict[str, Any]
    threads: int


def train_worker(config: dict[str, Any]) -> None:
    """Train on this worker, with all others of the group; the first one reports progress and writes the bundle."""
    import torch

    from cluster.session import latest_checkpoint_files, rank_and_world, report_epoch, report_progress, worker_device
    from models.checkpoint import state_from_bytes, state_to_bytes
    from models.networks import NetworkSpec
    from models.train import EpochReport, StepReport, TrainSpec, train
    from models.train_reports import CheckpointReport
    from models.weights import build_with_weights
    from tiler.scene_store import SceneStore
    from tiler.split import Split
    from tiler.tiles import HeldBackTiles, TrainingTiles, scaling

    task = TrainingTask(**config)
    torch.set_num_threads(task.threads)
    rank, _ = rank_and_world()
    scenes = [SceneStore(url) for url in task.scenes]
    spec, split = TrainSpec(**task.train), Split(**task.data["split"])
    tile_px = int(task.data["tile_px"])
    training = TrainingTiles(
        scenes, tile_px, int(task.data["tiles_per_epoch"]), split, spec.seed, bool(task.data["flips"])
    )
    validation = HeldBackTiles(scenes, tile_px, split)
    offset, scale = scaling(scenes)
    network_spec = NetworkSpec(
        architecture=task.network["architecture"], encoder=task.network["encoder"], in_channels=len(scenes[0].channels)
    )
    network, provenance = build_with_weights(
        network_spec, task.network["weights"], offset=offset, scale=scale, channels=scenes[0].channels
    )
    history: list[dict[str, Any]] = []
    resumed = latest_checkpoint_files()
    resume = None
    if resumed is not None:
        resume, history = state_from_bytes(resumed[CHECKPOINT]), json.loads(resumed["history.json"])

    def on_step(step: StepReport) -> None:
        if rank == 0:
            report_progress({"epoch": step.epoch, "step": step.step + 1, "steps": step.steps, "loss": step.loss})

    def files_of(state: dict[str, Any]) -> dict[str, bytes] | None:
        if rank != 0:
            return None
        return {CHECKPOINT: state_to_bytes(state), "history.json": json.dumps(history).encode()}

    def on_checkpoint(report: CheckpointReport) -> None:
        report_epoch({"epoch": report.epoch, "step": report.step}, files_of(report.state()))

    def on_epoch(epoch: EpochReport) -> None:
        row = {"epoch": epoch.epoch, "training_loss": epoch.training_loss, "learning_rate": epoch.learning_rate}
        row |= {k: v for k, v in epoch.validation.items() if v == v} | {"seconds": round(epoch.seconds, 2)}
        history.append(row | ({"best": True} if epoch.is_best else {}))
        if rank == 0:
            report_progress({"done_epoch": epoch.epoch, **row})
        report_epoch(row, files_of(epoch.state()))

    train(
        network,
        training,
        validation,
        spec,
        device=worker_device(),
        resume=resume,
        on_epoch=on_epoch,
        on_step=on_step,
        on_checkpoint=on_checkpoint,
    )
    if rank == 0:
        _write_bundle(task, network, network_spec, provenance.spec, history, scenes[0].sensor.name, scenes[0].channels)


def kept_row(history: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the epoch whose network the bundle holds: the best by the recipe's rule, if it has one, else the last."""
    return next((row for row in reversed(history) if row.get("best")), history[-1])


def _write_bundle(
    task: TrainingTask,
    network: Any,
    spec: Any,
    weights: str,
    history: list[dict[str, Any]],
    sensor: str,
    channels: tuple[str, ...],
) -> None:
    from models.bundle import bundle_files
    from models.card import Card

    left_out = ("epoch", "seconds", "learning_rate", "best")
    metrics = {k: v for k, v in kept_row(history).items() if k not in left_out}
    card = Card(
        name=task.name,
        architecture=spec.architecture,
        encoder=spec.encoder,
        channels=channels,
        sensor=sensor,
        offset=tuple(network.offset.tolist()),
        scale=tuple(network.scale.tolist()),
        classes=task.classes,
        metrics=metrics,
        training_data=task.key,
        split=task.data["split"],
        weights=weights,
    )
    storage = Storage(task.out)
    storage.put("history.json", json.dumps(history, indent=1).encode())
    files = bundle_files(network, card)
    for name in sorted(files, key=lambda name: name == "card.json"):  # the card last: it says that the rest is there
        storage.put(name, files[name])
