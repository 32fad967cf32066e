"""One trainer: a network, a reader and a spec; alone or in any initialised torch.distributed group.

The result depends on the global batch, not on the number of workers or of accumulated parts: the order of the
samples, the denominators of the loss and the counts of the validation are global (models/loading.py,
models/losses.py, models/metrics.py). What remains is float rounding, and batch statistics: each worker normalises
by its own part of the batch unless `freeze_normalisation` or `sync_normalisation` is set.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from models.loading import Reader
from models.networks import SegmentationNetwork
from models.ranks import Ranks, current_ranks, synchronised
from models.selection import check_rules
from models.train_reports import CheckpointReport, EpochReport, StepReport
from models.train_spec import BestRule, EarlyStop, TrainSpec
from models.trainer import Trainer
from models.validate import score_names

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
    network: SegmentationNetwork,
    training: Reader,
    validation: Reader | None,
    spec: TrainSpec,
    *,
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
    _check(network, training, validation, spec, ranks)
    network.to(place)
    exchanged = synchronised(network, place) if spec.sync_normalisation else nullcontext()
    reports = []
    with _random_numbers_restored(place), exchanged:
        trainer = Trainer(network, training, spec, ranks, device, reader_threads)
        if resume is not None:
            trainer.load(resume)
        while trainer.epoch < spec.epochs and not trainer.selection.stopped:
            reports.append(trainer.run_epoch(validation, on_step, on_checkpoint))
            on_epoch(reports[-1])
        if trainer.selection.best_network is not None:
            network.load_state_dict(trainer.selection.best_network)
    network.to(device="cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    return tuple(reports)


@contextmanager
def _random_numbers_restored(device: torch.device) -> Iterator[None]:
    devices = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield


def _check(
    network: SegmentationNetwork, training: Reader, validation: Reader | None, spec: TrainSpec, ranks: Ranks
) -> None:
    unit = ranks.world_size * spec.accumulate
    if spec.batch % unit:
        below = spec.batch // unit * unit
        legal = [batch for batch in (below, below + unit) if batch]
        parts = f", each in {spec.accumulate} parts" if spec.accumulate > 1 else ""
        raise ValueError(
            f"A global batch of {spec.batch} cannot be divided among {ranks.world_size} workers{parts}. "
            f"Set batch to {' or '.join(map(str, legal))}."
        )
    classes = max(network.spec.classes, 2)
    if spec.class_weights is not None and len(spec.class_weights) != classes:
        raise ValueError(
            f"class_weights holds {len(spec.class_weights)} numbers for {classes} label values. Give one each"
            f"{', background first' if network.spec.classes == 1 else ''}."
        )
    if len(training) == 0:
        raise ValueError("The training reader has no samples. Check its filters and its split.")
    check_rules(spec, () if validation is None else score_names(network.spec.classes))
