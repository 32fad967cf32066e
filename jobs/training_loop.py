"""What every training worker does around `models.train.train`: resume, history, reports, checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from models.task import Samples, Task
    from models.train_spec import TrainSpec

CHECKPOINT = "state.pt"
HISTORY = "history.json"
History = list[dict[str, Any]]
ShowEpoch = Callable[[Sequence[Mapping[str, Any]], int], None]


def train_reporting(
    network: nn.Module,
    training: Samples,
    validation: Samples | None,
    spec: TrainSpec,
    *,
    device: str,
    threads: int,
    task: Task[Any] | None = None,
    show: ShowEpoch | None = None,
) -> History:
    """Train with all workers of the group; the first one reports progress and saves checkpoints.

    Goes on behind the latest checkpoint of the run, if there is one.

    Args:
        network, training, validation, spec, device, task: as for `models.train.train`.
        threads: of this worker.
        show: called after each epoch with the history and the epoch's number; on the first worker alone.

    Returns:
        A row for each epoch: epoch, training_loss, learning_rate, scores, seconds, best.
    """
    from cluster.session import latest_checkpoint_files, rank_and_world, report_epoch, report_progress
    from models.checkpoint import state_from_bytes, state_to_bytes
    from models.train import train
    from models.train_reports import CheckpointReport, EpochReport, StepReport

    rank, _ = rank_and_world()
    history: History = []
    resumed = latest_checkpoint_files()
    resume = None
    if resumed is not None:
        resume, history = state_from_bytes(resumed[CHECKPOINT]), json.loads(resumed[HISTORY])

    def on_step(step: StepReport) -> None:
        if rank == 0:
            report_progress({"epoch": step.epoch, "step": step.step + 1, "steps": step.steps, "loss": step.loss})

    def files_of(state: dict[str, Any]) -> dict[str, bytes] | None:
        if rank != 0:
            return None
        return {CHECKPOINT: state_to_bytes(state), HISTORY: json.dumps(history).encode()}

    def on_checkpoint(report: CheckpointReport) -> None:
        report_epoch({"epoch": report.epoch, "step": report.step}, files_of(report.state()))

    def on_epoch(epoch: EpochReport) -> None:
        row = {"epoch": epoch.epoch, "training_loss": epoch.training_loss, "learning_rate": epoch.learning_rate}
        row |= {k: v for k, v in epoch.validation.items() if v == v} | {"seconds": round(epoch.seconds, 2)}
        history.append(row | ({"best": True} if epoch.is_best else {}))
        if rank == 0:
            report_progress({"done_epoch": epoch.epoch, **row})
        if rank == 0 and show is not None:
            show(history, epoch.epoch)
        report_epoch(row, files_of(epoch.state()))

    train(
        network,
        training,
        validation,
        spec,
        task=task,
        device=device,
        resume=resume,
        on_epoch=on_epoch,
        on_step=on_step,
        on_checkpoint=on_checkpoint,
        reader_threads=max(2, threads // 2),  # decoding and augmenting a tile cost 7 to 25 ms of one core
    )
    return history


def kept_row(history: History) -> dict[str, Any]:
    """Return the epoch whose network the bundle holds: the best by the recipe's rule, if it has one, else the last."""
    return next((row for row in reversed(history) if row.get("best")), history[-1])


def scores_of(history: History) -> dict[str, float]:
    """Return the numbers of the kept epoch that belong into a card."""
    left_out = ("epoch", "seconds", "learning_rate", "best")
    return {k: v for k, v in kept_row(history).items() if k not in left_out}
