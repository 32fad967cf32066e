"""One trainer: a network, a reader and a spec; alone or in any initialised torch.distributed group.

The result depends on the global batch, not on the number of workers or of accumulated parts: the order of the
samples, the denominators of the loss and the counts of the validation are global (models/loading.py,
models/losses.py, models/metrics.py). What remains is float rounding, and batch statistics: each worker normalises
by its own part of the batch unless `freeze_normalisation` or `sync_normalisation` is set.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import torch
from torch import nn

from models.checkpoint import take_on
from models.loading import Reader
from models.networks import SegmentationNetwork
from models.ranks import Ranks, current_ranks, synchronised
from models.segmentation_task import Segmentation
from models.selection import check_rules
from models.task import Samples, Task
from models.train_reports import CheckpointReport, EpochReport, StepReport
from models.train_spec import BestRule, EarlyStop, TrainSpec
from models.trainer import Trainer

R = TypeVar("R", bound=Samples)

__all__ = [
    "BestRule",
    "CheckpointReport",
    "EarlyStop",
    "EpochReport",
    "Reader",
    "StepReport",
    "TrainSpec",
    "train",
]


def train(
    network: nn.Module,
    training: R,
    validation: R | None,
    spec: TrainSpec,
    *,
    task: Task[R] | None = None,
    device: str = "cpu",
    resume: Mapping[str, Any] | None = None,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
    on_step: Callable[[StepReport], None] | None = None,
    on_checkpoint: Callable[[CheckpointReport], None] | None = None,
    reader_threads: int = 2,
) -> tuple[EpochReport, ...]:
    """Train `network` in place and return a report for each epoch that was run.

    Afterwards the network is on the CPU, in eval mode, float32: that of the last epoch, or of the best one where
    `spec.best` asks for it. Every worker calls `train` with the same arguments, and `on_epoch` and `on_checkpoint`
    are called on every worker.
    task: what the network is trained for, and what its readers yield; None: segmentation.
    resume: what `EpochReport.state()` or `CheckpointReport.state()` gave in an earlier run with the same spec and
    number of workers; training goes on behind it. Random numbers are drawn from (seed, epoch, rank, checkpoint), so a
    resumed run repeats the uninterrupted one, and torch's global generators are left as they were.
    on_step: progress; reading the loss makes the CPU wait for the GPU, so leave it out if not shown.
    on_checkpoint: called every `spec.checkpoint_steps` steps within an epoch.
    Raises ValueError: the batch cannot be divided among the workers, a reader is empty, the precision is not to be
    had, class weights or rules do not fit the network, or `resume` is from another run;
    FloatingPointError: the loss of an epoch is not finite.
    """
    ranks, place = current_ranks(), torch.device(device)
    chosen = segmentation(network, spec) if task is None else task
    _check(chosen, training, validation, spec, ranks)
    network.to(place)
    exchanged = synchronised(network, place) if spec.sync_normalisation else nullcontext()
    reports = []
    with _random_numbers_restored(place), exchanged:
        trainer = Trainer(network, chosen, training, spec, ranks, device, reader_threads)
        if resume is not None:
            trainer.load(resume)
        while trainer.epoch < spec.epochs and not trainer.selection.stopped:
            reports.append(trainer.run_epoch(validation, on_step, on_checkpoint))
            on_epoch(reports[-1])
        if trainer.selection.best_network is not None:
            take_on(network, trainer.selection.best_network)
    network.to(device="cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    return tuple(reports)


@contextmanager
def _random_numbers_restored(device: torch.device) -> Iterator[None]:
    devices = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield


def segmentation(network: nn.Module, spec: TrainSpec) -> Task[Any]:
    """Return the task of a segmentation network. Raises ValueError: it is none."""
    if not isinstance(network, SegmentationNetwork):
        raise ValueError(f"{type(network).__name__} is no segmentation network. Say what it is trained for: task=...")
    return Segmentation(network, spec)


def _check(task: Task[R], training: R, validation: R | None, spec: TrainSpec, ranks: Ranks) -> None:
    unit = ranks.world_size * spec.accumulate
    if spec.batch % unit:
        below = spec.batch // unit * unit
        legal = [batch for batch in (below, below + unit) if batch]
        parts = f", each in {spec.accumulate} parts" if spec.accumulate > 1 else ""
        raise ValueError(
            f"A global batch of {spec.batch} cannot be divided among {ranks.world_size} workers{parts}. "
            f"Set batch to {' or '.join(map(str, legal))}."
        )
    task.check(spec, ranks)
    if len(training) == 0:
        raise ValueError("The training reader has no samples. Check its filters and its split.")
    check_rules(spec, () if validation is None else task.scores)
