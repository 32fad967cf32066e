"""What the trainer does not know: how samples become a batch, what the loss of one is, and how a network is judged.

The trainer (models/trainer.py) has steps, workers, checkpoints and schedules; a task has a meaning. Segmentation is one
(models/segmentation_task.py), embedding another (models/embedding_task.py).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from torch import Tensor, nn

from models.ranks import Ranks
from models.train_spec import TrainSpec


class Samples(Protocol):
    """Samples by number; `__getitem__` is called from several threads at once."""

    def __len__(self) -> int:
        """Return the number of samples of an epoch."""
        ...

    def __getitem__(self, index: int) -> Any:
        """Return what a sample is to the task that reads it."""
        ...

    def set_epoch(self, epoch: int) -> None:
        """Be told which epoch is about to be read; what augmentation draws may depend on it."""
        ...


class Batch(NamedTuple):
    """Samples of one step, on the CPU or on the device."""

    inputs: tuple[Tensor, ...]
    """What the network is called with, each with the samples along its first axis."""
    truth: tuple[Tensor, ...]
    """What the loss needs beside the outputs, cut in the same way."""
    counts: Tensor
    """What the loss divides by: counts of parts of a batch add up to those of the whole."""

    def parts(self, count: int) -> Iterator[tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]:
        """Cut inputs and truth into so many equal parts."""
        for part in zip(*(tensor.chunk(count) for tensor in (*self.inputs, *self.truth)), strict=True):
            yield part[: len(self.inputs)], part[len(self.inputs) :]


R = TypeVar("R", bound=Samples, contravariant=True)


class Task(Protocol[R]):
    """What a network is trained for."""

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of what `validate` returns."""
        ...

    def check(self, spec: TrainSpec, ranks: Ranks) -> None:
        """Raise ValueError where this task cannot be trained with these settings."""
        ...

    def load(self, reader: R, indices: np.ndarray, *, pin: bool = False) -> Batch:
        """Read samples, on the CPU; pin: into memory from which a copy to a CUDA device runs beside the computation."""
        ...

    def loss(self, outputs: Tensor, truth: tuple[Tensor, ...], counts: Tensor, ranks: Ranks) -> Tensor:
        """Return what this part of a batch adds to the loss of the whole one, float32 ().

        counts: of the whole batch, over all parts and workers.
        """
        ...

    def validate(
        self, network: nn.Module, batches: Iterator[Batch], ranks: Ranks, samples_per_pass: int
    ) -> dict[str, float]:
        """Return the scores of `network`, left in eval mode, over the batches of all workers."""
        ...
