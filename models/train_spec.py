"""What a training run is told; models/train_reports.py holds what it tells while it runs.

Settings that are left at their defaults do not appear in `model_dump`, apart from those of the first version:
so keys and checkpoints made before a setting existed stay what they were.
"""

from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from models.losses import LOSS_NAMES, LossOptions
from models.names import lookup, unknown
from models.optimise import OptimizerSpec, ScheduleSpec
from models.precision import PRECISIONS


class BestRule(BaseModel):
    """How epochs are ranked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str = "mIoU"
    """A score of the validation, or training_loss."""
    mode: Literal["max", "min"] = "max"
    """Whether more is better or less."""

    def better(self, value: float, than: float | None, min_delta: float = 0.0) -> bool:
        """Return whether `value` is better than the best so far by more than `min_delta`; NaN never is."""
        if value != value:
            return False
        if than is None:
            return True
        return value > than + min_delta if self.mode == "max" else value < than - min_delta


class EarlyStop(BestRule):
    """When a run ends before its last epoch."""

    patience: int = Field(ge=1)
    """Epochs in a row that may pass without a better one; the run ends after the last of them."""
    min_delta: float = Field(default=0.0, ge=0)
    """By how much an epoch must be better to count."""


FIRST_VERSION = (
    "epochs", "batch", "learning_rate", "weight_decay", "loss", "alpha", "seed", "precision", "freeze_normalisation",
    "gradient_clip",
)  # fmt: skip


class TrainSpec(BaseModel):
    """The settings of a training run; two runs with equal settings, weights and data are the same run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=20, ge=1)
    batch: int = Field(default=8, ge=1)
    """Images per optimizer step over all workers together."""
    learning_rate: float = Field(default=3e-4, gt=0)
    """The rate at which the schedule begins (its highest rate, for OneCycleLR)."""
    weight_decay: float = Field(default=1e-2, ge=0)
    """On weights only; biases and normalisation do not decay."""
    optimizer: OptimizerSpec = OptimizerSpec()
    """A name, or a name with settings."""
    schedule: ScheduleSpec = ScheduleSpec()
    """A name, or a name with settings."""
    loss: str = "bce_dice"
    """One of `models.losses.LOSS_NAMES`; a network of several classes gets its softmax form."""
    alpha: float = Field(default=0.5, ge=0, le=1)
    """Share of the cross-entropy in bce_dice."""
    gamma: float = Field(default=2.0, ge=0)
    """Exponent of focal."""
    class_weights: tuple[float, ...] | None = None
    """Of each label value in the loss: background and foreground, or one per class of the softmax; None: all 1."""
    seed: int = Field(default=0, ge=0)
    precision: str = "auto"
    """auto, bf16, fp16 (CUDA only, with a scaled loss) or fp32, for the forward pass; losses are float32."""
    freeze_normalisation: bool = False
    """Use the running statistics of batch normalisation as they are, and do not update them."""
    sync_normalisation: bool = False
    """Normalise by the statistics of the batch over all workers (SyncBatchNorm; CUDA only)."""
    gradient_clip: float | None = Field(default=None, gt=0)
    """Largest norm of the gradient of all parameters together; None: not clipped."""
    accumulate: int = Field(default=1, ge=1)
    """Parts in which each worker passes its share of a batch, one after the other, to save memory: the gradient is
    that of the whole batch; batch normalisation sees the parts."""
    compile: bool = False
    """Compile the training pass with torch.compile; where that fails, warn and go on without."""
    validation_batch: int | None = Field(default=None, ge=1)
    """Images per pass in validation, the last pass filled up: the same for any number of workers, so that the same
    weights get the same scores to the last bit; None: 4, or the batch where it is smaller."""
    checkpoint_steps: int | None = Field(default=None, ge=1)
    """Offer a checkpoint after every so many steps within an epoch; None: at the end of epochs only."""
    early_stop: EarlyStop | None = None
    best: BestRule | None = None
    """Return the network of the best epoch by this rule, not of the last."""

    @field_validator("optimizer", "schedule", mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("loss")
    @classmethod
    def _known_loss(cls, name: str) -> str:
        if name not in LOSS_NAMES:
            raise ValueError(unknown(name, LOSS_NAMES, "loss"))
        return name

    @field_validator("precision")
    @classmethod
    def _known_precision(cls, name: str) -> str:
        if name != "auto":
            lookup(PRECISIONS, name, "precision")
        return name

    @field_validator("class_weights")
    @classmethod
    def _usable_weights(cls, weights: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if weights is not None and not (all(0 <= w < float("inf") for w in weights) and sum(weights) > 0):
            raise ValueError(f"class_weights must be finite, not negative and not all 0, got {list(weights)}.")
        return weights

    @model_validator(mode="after")
    def _one_normalisation(self) -> "TrainSpec":
        if self.freeze_normalisation and self.sync_normalisation:
            raise ValueError("freeze_normalisation and sync_normalisation exclude each other. Leave one out.")
        return self

    @model_serializer(mode="wrap")
    def _without_new_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        return {
            key: value
            for key, value in handler(self).items()
            if key in FIRST_VERSION or getattr(self, key) != fields[key].default
        }

    def loss_options(self) -> LossOptions:
        """Return what the loss is told."""
        return LossOptions(self.alpha, self.gamma, self.class_weights)

    def validation_pass(self) -> int:
        """Return the images per pass in validation."""
        return self.validation_batch or min(self.batch, 4)
