"""Optimizers and schedules by name, as settings that a recipe can hold and as objects of torch.

The rate of a schedule is a function of t alone, t counted in epochs or optimizer steps from 0:

    CosineAnnealingLR            eta_min + (lr - eta_min) * (1 + cos(pi t / t_max)) / 2   (Loshchilov, Hutter 2017)
    CosineAnnealingWarmRestarts  the same within cycles of t_0, t_0 t_mult, t_0 t_mult^2, ...
    LambdaLR                     lr * 0.95^t for exp:0.95; lr / (1 + 1e-6 t) for inverse_time:1e-6, t in steps
    OneCycleLR                   lr / 25 up to lr along a cosine, then down to lr / 250,000   (Smith, Topin 2019)
    none                         lr
"""

from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    LambdaLR,
    LRScheduler,
    OneCycleLR,
)

from models.names import lookup

OPTIMIZERS: dict[str, type[Optimizer]] = {"AdamW": AdamW, "Adam": Adam, "RMSprop": RMSprop, "SGD": SGD}
"""Weight decay is torch's of that name: apart from the gradient in AdamW, part of it (L2) in the others."""

OPTIMIZER_SETTINGS: dict[str, tuple[str, ...]] = {
    "AdamW": ("betas", "eps"),
    "Adam": ("betas", "eps"),
    "RMSprop": ("smoothing", "momentum", "eps"),
    "SGD": ("momentum", "nesterov"),
}


class OptimizerSpec(BaseModel):
    """An optimizer by name; what it is not told stays as torch has it. Rate and decay are in `TrainSpec`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "AdamW"
    """A key of `OPTIMIZERS`."""
    betas: tuple[float, float] | None = None
    """Of Adam and AdamW; torch: 0.9, 0.999."""
    eps: float | None = Field(default=None, gt=0)
    """Of Adam, AdamW and RMSprop; torch: 1e-8."""
    smoothing: float | None = Field(default=None, ge=0, lt=1)
    """Of the mean of squares in RMSprop, which torch calls alpha; torch: 0.99."""
    momentum: float | None = Field(default=None, ge=0, lt=1)
    """Of SGD and RMSprop; torch: 0."""
    nesterov: bool | None = None
    """Of SGD."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        lookup(OPTIMIZERS, name, "optimizer")
        return name

    @model_validator(mode="after")
    def _fitting(self) -> "OptimizerSpec":
        strangers = sorted(set(self.settings()) - set(OPTIMIZER_SETTINGS[self.name]))
        if strangers:
            raise ValueError(
                f"{self.name} does not know {strangers}, only {list(OPTIMIZER_SETTINGS[self.name])}. Leave them out."
            )
        if self.nesterov and not self.momentum:
            raise ValueError(f"nesterov needs a momentum above 0, got {self.momentum}. Set momentum, e.g. to 0.9.")
        return self

    def settings(self) -> dict[str, Any]:
        """Return what was set, by field."""
        return self.model_dump(exclude={"name"}, exclude_none=True)


def _exponential(number: float) -> Callable[[int], float]:
    return lambda t: number**t


def _inverse_time(number: float) -> Callable[[int], float]:
    return lambda t: 1 / (1 + number * t)


RULES: dict[str, tuple[Callable[[float], Callable[[int], float]], Literal["epoch", "step"]]] = {
    "exp": (_exponential, "epoch"),
    "inverse_time": (_inverse_time, "step"),  # what Keras called decay, counted in updates
}
"""The named rules of LambdaLR: from their number to the factor of the rate, and what t counts."""


class ScheduleSpec(BaseModel):
    """The course of the learning rate by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["CosineAnnealingLR", "CosineAnnealingWarmRestarts", "LambdaLR", "OneCycleLR", "none"] = (
        "CosineAnnealingLR"
    )
    interval: Literal["epoch", "step"] | None = None
    """What t counts; None: steps for OneCycleLR and inverse_time, else epochs."""
    t_max: int | None = Field(default=None, ge=1)
    """Of CosineAnnealingLR and OneCycleLR, in intervals; None: the whole run."""
    t_0: int | None = Field(default=None, ge=1)
    """Length of the first cycle of CosineAnnealingWarmRestarts, in intervals; required there."""
    t_mult: int = Field(default=1, ge=1)
    """Each cycle of CosineAnnealingWarmRestarts is so many times as long as the one before."""
    eta_min: float = Field(default=0.0, ge=0)
    """Lowest rate of the cosines."""
    rule: str | None = None
    """Of LambdaLR: exp:NUMBER or inverse_time:NUMBER."""
    warmup: float = Field(default=0.3, gt=0, lt=1)
    """Of OneCycleLR: the share of the run in which the rate rises."""

    @model_validator(mode="after")
    def _complete(self) -> "ScheduleSpec":
        if self.name == "CosineAnnealingWarmRestarts" and self.t_0 is None:
            raise ValueError("CosineAnnealingWarmRestarts needs t_0, the length of its first cycle in epochs.")
        if self.name == "LambdaLR":
            _factor(self.rule)
        return self

    @property
    def counts(self) -> Literal["epoch", "step"]:
        """What t counts, decided."""
        if self.interval is not None:
            return self.interval
        if self.name == "LambdaLR":
            return _factor(self.rule)[1]
        return "step" if self.name == "OneCycleLR" else "epoch"


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the trainable parameters: weights of convolutions and matrices decay, all others do not.

    Biases and the scales of normalisation layers (everything with fewer than two axes) do not decay:
    pulling them to zero would shift and silence channels instead of regularising.
    """
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]


def make_optimizer(
    network: nn.Module, learning_rate: float, weight_decay: float, spec: OptimizerSpec | None = None
) -> Optimizer:
    """Return the optimizer of the trainable parameters of `network`."""
    chosen = spec or OptimizerSpec()
    settings = chosen.settings()
    if "smoothing" in settings:
        settings["alpha"] = settings.pop("smoothing")
    kind: Any = OPTIMIZERS[chosen.name]
    made: Optimizer = kind(parameter_groups(network, weight_decay), lr=learning_rate, **settings)
    return made


def make_schedule(optimizer: Optimizer, spec: ScheduleSpec, epochs: int, steps_per_epoch: int) -> LRScheduler:
    """Return the schedule, to be stepped once per `spec.counts`; it sets the first rate at once."""
    length = epochs if spec.counts == "epoch" else epochs * steps_per_epoch
    match spec.name:
        case "CosineAnnealingLR":
            return CosineAnnealingLR(optimizer, T_max=spec.t_max or length, eta_min=spec.eta_min)
        case "CosineAnnealingWarmRestarts":
            assert spec.t_0 is not None
            return CosineAnnealingWarmRestarts(optimizer, spec.t_0, spec.t_mult, spec.eta_min)
        case "LambdaLR":
            return LambdaLR(optimizer, _factor(spec.rule)[0])
        case "OneCycleLR":
            highest = [group["lr"] for group in optimizer.param_groups]
            # cycle_momentum: the momentum is a setting of the optimizer, and stays as it was set
            total = max(2, spec.t_max or length)
            return OneCycleLR(optimizer, highest, total_steps=total, pct_start=spec.warmup, cycle_momentum=False)
        case "none":
            return LambdaLR(optimizer, _constant)


def may_step(schedule: LRScheduler) -> bool:
    """Return whether the schedule goes on: OneCycleLR ends, and would turn upwards or raise after its end."""
    return not isinstance(schedule, OneCycleLR) or schedule.last_epoch < schedule.total_steps - 1


def _constant(t: int) -> float:
    return 1.0


def _factor(rule: str | None) -> tuple[Callable[[int], float], Literal["epoch", "step"]]:
    name, colon, text = (rule or "").partition(":")
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not colon or number <= 0:
        raise ValueError(f"LambdaLR needs a rule with a number above 0, got {rule!r}. Write exp:0.95, for example.")
    make, counts = lookup(RULES, name, "rule of LambdaLR")
    return make(number), counts
