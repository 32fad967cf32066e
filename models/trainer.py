"""The moving parts of one training run on one worker: steps, checkpoints, validation."""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from models.checkpoint import STATE_FORMAT, changing_state, check_same_run, check_state, take_on, to_cpu
from models.compiling import compiled
from models.loading import epoch_steps, rank_part, read_ahead, shard_steps
from models.optimise import make_optimizer, make_schedule, may_step
from models.precision import PRECISIONS, choose
from models.ranks import Ranks
from models.selection import Selection
from models.task import Batch, Samples, Task
from models.train_reports import CheckpointReport, EpochReport, StepReport
from models.train_spec import TrainSpec

R = TypeVar("R", bound=Samples)
OnStep = Callable[[StepReport], None] | None
OnCheckpoint = Callable[[CheckpointReport], None] | None


class Trainer(Generic[R]):
    """A network with its optimizer, and the place in the run that they have reached."""

    def __init__(
        self,
        network: nn.Module,
        task: Task[R],
        training: R,
        spec: TrainSpec,
        ranks: Ranks,
        device: str,
        threads: int,
    ) -> None:
        self.task, self.training, self.spec, self.ranks = task, training, spec, ranks
        self.device, self.threads = torch.device(device), threads
        precision = choose(device, spec.precision, training=True)
        self.dtype = PRECISIONS[precision]
        self.network = network.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        # float16 gradients underflow; bfloat16 has the exponents of float32 and needs no scaling
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")
        forward = compiled(self.network, self._try_pass) if spec.compile else self.network
        if spec.accumulate == 1:
            self.parallel = ranks.parallel(forward, self.device)
        else:  # gradients are averaged once per step, behind the last part
            ranks.start_alike(self.network)
            self.parallel = forward
        self.optimizer = make_optimizer(self.network, spec.learning_rate, spec.weight_decay, spec.optimizer)
        steps = -(-len(training) // spec.batch)
        self.schedule = make_schedule(self.optimizer, spec.schedule, spec.epochs, steps)
        self.selection = Selection(spec)
        self.epoch, self.step = 0, 0  # the next step to do
        self.epoch_learning_rate = self._learning_rate()
        self.total = self._zero()  # this worker's losses of the epoch so far

    def run_epoch(self, validation: R | None, on_step: OnStep, on_checkpoint: OnCheckpoint) -> EpochReport:
        """Do what is left of the current epoch, and validate."""
        start_s = time.monotonic()
        epoch = self.epoch
        self.training.set_epoch(epoch)
        if self.step == 0:
            self.epoch_learning_rate, self.total = self._learning_rate(), self._zero()
        self._seed()
        loss = self._train_steps(on_step, on_checkpoint)
        if self.spec.schedule.counts == "epoch" and may_step(self.schedule):
            self.schedule.step()
        self.ranks.average_statistics(self.network)
        scores = {} if validation is None else self._validate(validation)
        is_best, stops = self.selection.see(self.network, loss, scores)
        self.epoch, self.step = epoch + 1, 0
        return EpochReport(
            epoch=epoch,
            training_loss=loss,
            validation=scores,
            learning_rate=self.epoch_learning_rate,
            seconds=time.monotonic() - start_s,
            state=partial(self.state, epoch + 1, 0),
            is_best=is_best,
            stops=stops,
        )

    def state(self, epoch: int, step: int) -> dict[str, Any]:
        """Copy what `load` needs to go on with `step` of `epoch`."""
        if (self.epoch, self.step) != (epoch, step):
            place = f"after {step} steps of epoch {epoch}" if step else f"after epoch {epoch - 1}"
            raise ValueError(
                f"Asked for the state {place}, but the run has gone on to step {self.step} of epoch {self.epoch}. "
                "Call report.state() inside on_epoch or on_checkpoint."
            )
        within = {"step": step, "total": float(self.total), "learning_rate": self.epoch_learning_rate}
        parts = {
            "network": changing_state(self.network),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "selection": self.selection.state(),
            "within": within if step else None,
        }
        return {"format": STATE_FORMAT, "spec": self.spec.model_dump(), "epoch": epoch - 1, **to_cpu(parts)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take on a state, and go on behind it."""
        check_state(state)
        check_same_run(state, self.spec.model_dump())
        take_on(self.network, state["network"])
        self.optimizer.load_state_dict(to_cpu(state["optimizer"]))  # it keeps what it is given
        self.schedule.load_state_dict(to_cpu(state["schedule"]))
        self.scaler.load_state_dict(state["scaler"])
        self.selection.load(state.get("selection"))
        self.epoch, within = int(state["epoch"]) + 1, state.get("within")
        if within is not None:
            self.step, self.epoch_learning_rate = int(within["step"]), float(within["learning_rate"])
            self.total = self._zero() + within["total"]

    def _train_steps(self, on_step: OnStep, on_checkpoint: OnCheckpoint) -> float:
        start_s = time.monotonic()
        training_mode(self.network, self.spec.freeze_normalisation)
        spec, epoch, ranks = self.spec, self.epoch, self.ranks
        steps = rank_part(epoch_steps(len(self.training), spec.batch, spec.seed, epoch), ranks.rank, ranks.world_size)
        for batch in self._batches(self.training, steps[self.step :]):
            loss = self._step(batch)
            self.total += loss
            self.step += 1
            if on_step is not None:
                on_step(StepReport(epoch, self.step - 1, len(steps), float(loss), time.monotonic() - start_s))
            if spec.checkpoint_steps and self.step % spec.checkpoint_steps == 0 and self.step < len(steps):
                self._meet()
                if on_checkpoint is not None:
                    state = partial(self.state, epoch, self.step)
                    on_checkpoint(CheckpointReport(epoch, self.step, len(steps), state))
        mean = float(ranks.sum(self.total)) / (ranks.world_size * len(steps))
        if not np.isfinite(mean):
            raise FloatingPointError(
                f"The training loss of epoch {epoch} is {mean}. Look for images that are not finite; "
                "else lower learning_rate or set gradient_clip."
            )
        return mean

    def _step(self, batch: Batch) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        counts = self.ranks.sum(self._here(batch.counts))
        total = torch.zeros((), device=self.device)
        for inputs, truth in batch.parts(self.spec.accumulate):
            total += self._pass(inputs, truth, counts)
        if self.spec.accumulate > 1:
            self.ranks.average_gradients(self.network)
        if self.spec.gradient_clip is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), self.spec.gradient_clip)
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        # the scale falls where a gradient was infinite; then the optimizer did nothing, and t does not move
        moved = self.scaler.get_scale() >= scale
        if moved and self.spec.schedule.counts == "step" and may_step(self.schedule):
            self.schedule.step()
        return total

    def _pass(self, inputs: tuple[Tensor, ...], truth: tuple[Tensor, ...], counts: Tensor) -> Tensor:
        with self._autocast():
            outputs = self.parallel(*map(self._here, inputs))
        # gradients are averaged over the workers; the loss of the batch is the sum of the parts
        loss = self.ranks.world_size * self.task.loss(outputs, tuple(map(self._here, truth)), counts, self.ranks)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _meet(self) -> None:
        """Bring the workers to one state, so that what the first one saves is what all of them go on with."""
        self.ranks.average_statistics(self.network)
        self.total = self.ranks.sum(self.total) / self.ranks.world_size
        self._seed()

    def _seed(self) -> None:
        # (seed, epoch, rank) at the start of an epoch, and the step too behind a checkpoint
        place = [self.spec.seed, self.epoch, self.ranks.rank, *([self.step] if self.step else [])]
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))

    def _validate(self, reader: R) -> dict[str, float]:
        reader.set_epoch(self.epoch)
        part = self.spec.validation_pass()
        steps = shard_steps(len(reader), part, self.ranks.rank, self.ranks.world_size)
        batches = map(self._moved, self._batches(reader, steps))
        with self._autocast():
            return self.task.validate(self.network, batches, self.ranks, part)

    def _try_pass(self, network: nn.Module) -> None:
        """Pass one part of a batch through `network`, and leave no trace of it."""
        self.training.set_epoch(0)
        part = self.spec.batch // self.ranks.world_size // self.spec.accumulate
        one = self.task.load(self.training, np.zeros(1, np.int64)).inputs
        inputs = [tensor.expand(part, *tensor.shape[1:]) for tensor in one]
        inputs = [t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t.contiguous() for t in inputs]
        before = to_cpu(self.network.state_dict())
        training_mode(self.network, self.spec.freeze_normalisation)
        with self._autocast():
            outputs = network(*map(self._here, inputs))
        outputs.sum().backward()
        self.network.zero_grad(set_to_none=True)
        self.network.load_state_dict(before)

    def _batches(self, reader: R, steps: Any) -> Iterator[Batch]:
        """Yield batches on the CPU, read ahead."""
        # a copy from pinned memory runs beside the computation
        return read_ahead(partial(self.task.load, reader, pin=self.device.type == "cuda"), steps, self.threads)

    def _moved(self, batch: Batch) -> Batch:
        return Batch(tuple(map(self._here, batch.inputs)), tuple(map(self._here, batch.truth)), batch.counts)

    def _here(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=True)

    def _learning_rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def _zero(self) -> Tensor:
        return torch.zeros((), dtype=torch.float64, device=self.device)

    def _autocast(self) -> torch.autocast:
        enabled = self.dtype != torch.float32
        return torch.autocast(self.device.type, self.dtype if enabled else None, enabled=enabled)


def training_mode(network: nn.Module, freeze_normalisation: bool) -> None:
    """Put `network` into training mode, its batch normalisation excepted where that is frozen."""
    network.train()
    for module in network.modules():
        if freeze_normalisation and isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
