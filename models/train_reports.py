"""What a training run tells while it runs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class StepReport:
    """One optimizer step is done."""

    epoch: int
    step: int
    """From 0."""
    steps: int
    """In an epoch."""
    loss: float
    """This worker's part; its mean over the workers is the loss of the batch."""
    seconds: float
    """Since the epoch began (or was resumed)."""


@dataclass(frozen=True)
class CheckpointReport:
    """A point within an epoch from which a run can be resumed; every worker is told, at the same step."""

    epoch: int
    step: int
    """Steps of the epoch that are done."""
    steps: int
    """In an epoch."""
    state: Callable[[], dict[str, Any]] = field(repr=False, compare=False)
    """Copies what `resume` needs, the same on every worker. To be called inside `on_checkpoint`."""


@dataclass(frozen=True)
class EpochReport:
    """One epoch is done. All numbers are those of all workers together."""

    epoch: int
    """From 0."""
    training_loss: float
    """Mean over the steps of the epoch."""
    validation: dict[str, float]
    """`models.metrics.scores` of the validation samples; empty without a validation reader."""
    learning_rate: float
    """The rate of the first step of this epoch."""
    seconds: float
    state: Callable[[], dict[str, Any]] = field(repr=False, compare=False)
    """Copies what `resume` needs. To be called inside `on_epoch`: the training goes on after it."""
    is_best: bool = False
    """Whether it is the best epoch so far by `TrainSpec.best`."""
    stops: str = ""
    """Why the run ends with this epoch by `TrainSpec.early_stop`; empty while it goes on."""
