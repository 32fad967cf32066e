"""What a training run is told, and what it tells while it runs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from models.losses import LOSSES
from models.names import lookup
from models.precision import PRECISIONS


class TrainSpec(BaseModel):
    """The settings of a training run; two runs with equal settings, weights and data are the same run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=20, ge=1)
    batch: int = Field(default=8, ge=1)
    """Images per step over all workers together."""
    learning_rate: float = Field(default=3e-4, gt=0)
    """Of AdamW in the first epoch; it falls to 0 along a cosine."""
    weight_decay: float = Field(default=1e-2, ge=0)
    """Of AdamW, on weights only; biases and normalisation do not decay."""
    loss: str = "bce_dice"
    """A key of `models.losses.LOSSES`."""
    alpha: float = Field(default=0.5, ge=0, le=1)
    """Share of the cross-entropy in bce_dice."""
    seed: int = Field(default=0, ge=0)
    precision: str = "auto"
    """auto, bf16, fp16 (CUDA only, with a scaled loss) or fp32, for the forward pass; losses are float32."""
    freeze_normalisation: bool = False
    """Use the running statistics of batch normalisation as they are, and do not update them."""
    gradient_clip: float | None = Field(default=None, gt=0)
    """Largest norm of the gradient of all parameters together; None: not clipped."""

    @field_validator("loss")
    @classmethod
    def _known_loss(cls, name: str) -> str:
        lookup(LOSSES, name, "loss")
        return name

    @field_validator("precision")
    @classmethod
    def _known_precision(cls, name: str) -> str:
        if name != "auto":
            lookup(PRECISIONS, name, "precision")
        return name


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
    """Since the epoch began."""


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
    """The rate this epoch was trained with."""
    seconds: float
    state: Callable[[], dict[str, Any]] = field(repr=False, compare=False)
    """Copies what `resume` needs. To be called inside `on_epoch`: the training goes on after it."""
