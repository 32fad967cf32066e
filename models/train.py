"""One trainer: a network, a reader and a spec; alone or in any initialised torch.distributed group.

The result depends on the global batch, not on the number of workers: the order of the samples, the
denominators of the loss and the counts of the validation are global (models/loading.py, models/losses.py,
models/metrics.py). What remains is float rounding, and batch statistics: each worker normalises by its own
part of the batch unless `freeze_normalisation` is set.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.checkpoint import STATE_FORMAT, check_same_run, check_state, to_cpu
from models.loading import Reader, epoch_steps, load_batch, rank_part, read_ahead, shard_steps
from models.losses import LOSSES
from models.metrics import confusion, scores
from models.networks import SegmentationNetwork
from models.optimise import optimizer_and_schedule
from models.precision import PRECISIONS, choose
from models.ranks import Ranks, current_ranks
from models.train_spec import EpochReport, StepReport, TrainSpec

__all__ = ["EpochReport", "Reader", "StepReport", "TrainSpec", "train"]


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
    reader_threads: int = 2,
) -> tuple[EpochReport, ...]:
    """Train `network` in place and return a report for each epoch that was run.

    Afterwards the network is on the CPU, in eval mode, float32. Every worker calls `train` with the same
    arguments, and `on_epoch` is called on every worker.
    resume: what `EpochReport.state()` gave in an earlier run with the same spec; training goes on with
    the epoch after it. Random numbers are drawn from (seed, epoch, rank), so a resumed run repeats the
    uninterrupted one, and torch's global generators are left as they were.
    on_step: progress; reading the loss makes the CPU wait for the GPU, so leave it out if not shown.
    Raises ValueError: the batch cannot be divided among the workers, a reader is empty, the precision is
    not to be had, the network has several classes, or `resume` is from another run;
    FloatingPointError: the loss of an epoch is not finite.
    """
    ranks = current_ranks()
    _check(network, training, spec, ranks)
    with _random_numbers_restored(torch.device(device)):
        trainer = _Trainer(network, spec, ranks, device, reader_threads)
        first = 0 if resume is None else trainer.load(resume)
        reports = []
        for epoch in range(first, spec.epochs):
            reports.append(trainer.run_epoch(epoch, training, validation, on_step))
            on_epoch(reports[-1])
    network.to(device="cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    return tuple(reports)


class _Trainer:
    """The moving parts of one run on one worker."""

    def __init__(self, network: SegmentationNetwork, spec: TrainSpec, ranks: Ranks, device: str, threads: int) -> None:
        self.spec, self.ranks, self.device, self.threads = spec, ranks, torch.device(device), threads
        precision = choose(device, spec.precision, training=True)
        self.dtype = PRECISIONS[precision]
        self.network = network.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.parallel = ranks.parallel(self.network, self.device)
        self.optimizer, self.schedule = optimizer_and_schedule(
            self.network, spec.learning_rate, spec.weight_decay, spec.epochs
        )
        # float16 gradients underflow; bfloat16 has the exponents of float32 and needs no scaling
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")
        self.loss = partial(LOSSES[spec.loss], alpha=spec.alpha, reduce_count=ranks.sum, world_size=ranks.world_size)
        self.epochs_done = 0

    def run_epoch(
        self,
        epoch: int,
        training: Reader,
        validation: Reader | None,
        on_step: Callable[[StepReport], None] | None,
    ) -> EpochReport:
        start_s = time.monotonic()
        learning_rate = self.optimizer.param_groups[0]["lr"]
        training.set_epoch(epoch)
        numbers = np.random.SeedSequence([self.spec.seed, epoch, self.ranks.rank])
        torch.manual_seed(int(numbers.generate_state(1)[0]))
        loss = self._train_steps(epoch, training, on_step)
        self.schedule.step()
        self.ranks.average_statistics(self.network)
        self.epochs_done = epoch + 1
        return EpochReport(
            epoch=epoch,
            training_loss=loss,
            validation={} if validation is None else self._validate(epoch, validation),
            learning_rate=learning_rate,
            seconds=time.monotonic() - start_s,
            state=partial(self.state, epoch),
        )

    def state(self, epoch: int) -> dict[str, Any]:
        if self.epochs_done != epoch + 1:
            raise ValueError(
                f"Asked for the state after epoch {epoch}, but epoch {self.epochs_done - 1} is done too. "
                "Call report.state() inside on_epoch."
            )
        parts = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        return {"format": STATE_FORMAT, "spec": self.spec.model_dump(), "epoch": epoch, **to_cpu(parts)}

    def load(self, state: Mapping[str, Any]) -> int:
        """Take the state on; return the epoch to go on with."""
        check_state(state)
        check_same_run(state, self.spec.model_dump())
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(to_cpu(state["optimizer"]))  # it keeps what it is given
        self.schedule.load_state_dict(to_cpu(state["schedule"]))
        self.scaler.load_state_dict(state["scaler"])
        self.epochs_done = int(state["epoch"]) + 1
        return self.epochs_done

    def _train_steps(self, epoch: int, reader: Reader, on_step: Callable[[StepReport], None] | None) -> float:
        start_s = time.monotonic()
        _training_mode(self.network, self.spec.freeze_normalisation)
        steps = rank_part(
            epoch_steps(len(reader), self.spec.batch, self.spec.seed, epoch),
            self.ranks.rank,
            self.ranks.world_size,
        )
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for step, (images, labels) in enumerate(self._batches(reader, steps)):
            loss = self._step(images, labels)
            total += loss
            if on_step is not None:
                on_step(StepReport(epoch, step, len(steps), float(loss), time.monotonic() - start_s))
        mean = float(self.ranks.sum(total)) / (self.ranks.world_size * len(steps))
        if not np.isfinite(mean):
            raise FloatingPointError(
                f"The training loss of epoch {epoch} is {mean}. Look for images that are not finite; "
                "else lower learning_rate or set gradient_clip."
            )
        return mean

    def _step(self, images: Tensor, labels: Tensor) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            logits = self.parallel(images)
        loss: Tensor = self.loss(logits, labels)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if self.spec.gradient_clip is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), self.spec.gradient_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach()

    @torch.no_grad()
    def _validate(self, epoch: int, reader: Reader) -> dict[str, float]:
        reader.set_epoch(epoch)
        self.network.eval()
        part = self.spec.batch // self.ranks.world_size
        steps = shard_steps(len(reader), part, self.ranks.rank, self.ranks.world_size)
        counts = torch.zeros((2, 2), dtype=torch.int64, device=self.device)
        for images, labels in self._batches(reader, steps):
            # The bare network: workers may have unequal numbers of steps, and DDP would wait.
            with self._autocast():
                logits = self.network(images)
            counts += confusion(labels, logits[:, 0] > 0, classes=2)
        return scores(self.ranks.sum(counts).cpu())

    def _batches(self, reader: Reader, steps: Any) -> Iterator[tuple[Tensor, Tensor]]:
        pin = self.device.type == "cuda"  # a copy from pinned memory runs beside the computation

        def load(indices: np.ndarray) -> tuple[Tensor, Tensor]:
            images, labels = load_batch(reader, indices)
            images = images.contiguous(memory_format=torch.channels_last)
            return (images.pin_memory(), labels.pin_memory()) if pin else (images, labels)

        for images, labels in read_ahead(load, steps, self.threads):
            yield images.to(self.device, non_blocking=pin), labels.to(self.device, non_blocking=pin)

    def _autocast(self) -> torch.autocast:
        enabled = self.dtype != torch.float32
        return torch.autocast(self.device.type, self.dtype if enabled else None, enabled=enabled)


def _training_mode(network: nn.Module, freeze_normalisation: bool) -> None:
    network.train()
    for module in network.modules():
        if freeze_normalisation and isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


@contextmanager
def _random_numbers_restored(device: torch.device) -> Iterator[None]:
    devices = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield


def _check(network: SegmentationNetwork, training: Reader, spec: TrainSpec, ranks: Ranks) -> None:
    if spec.batch % ranks.world_size:
        below = spec.batch // ranks.world_size * ranks.world_size
        legal = [batch for batch in (below, below + ranks.world_size) if batch]
        raise ValueError(
            f"A global batch of {spec.batch} cannot be divided among {ranks.world_size} workers. "
            f"Set batch to {' or '.join(map(str, legal))}."
        )
    if network.spec.classes != 1:
        raise ValueError(
            f"The losses are binary, the network has {network.spec.classes} classes. Build it with classes=1."
        )
    if len(training) == 0:
        raise ValueError("The training reader has no samples. Check its filters and its split.")
