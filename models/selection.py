"""Which epoch of a run was the best, and whether the run should end: two rules over one list of numbers."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from models.checkpoint import changing_state, to_cpu
from models.names import lookup
from models.train_spec import BestRule, TrainSpec

TRAINING_LOSS = "training_loss"


class Selection:
    """What the rules of a spec remember of the epochs so far. The scores are those of all workers, so all agree."""

    def __init__(self, spec: TrainSpec) -> None:
        self._best, self._stop = spec.best, spec.early_stop
        self.best_network: dict[str, Any] | None = None
        """The state of the best network on the CPU; None: no rule, or no epoch with a score yet."""
        self._best_value: float | None = None
        self._stop_value: float | None = None
        self._since = 0

    @property
    def stopped(self) -> bool:
        """Whether the run has had its epochs of patience."""
        return self._stop is not None and self._since >= self._stop.patience

    def see(self, network: nn.Module, training_loss: float, validation: Mapping[str, float]) -> tuple[bool, str]:
        """Take an epoch into account; return whether it is the best so far, and why the run ends, if it does."""
        values = {TRAINING_LOSS: training_loss, **validation}
        is_best = False
        if self._best is not None:
            value = _value(self._best, values)
            is_best = self._best.better(value, self._best_value)
            if is_best:
                self._best_value, self.best_network = value, to_cpu(changing_state(network))
        if self._stop is None:
            return is_best, ""
        value = _value(self._stop, values)
        if self._stop.better(value, self._stop_value, self._stop.min_delta):
            self._stop_value, self._since = value, 0
        else:
            self._since += 1
        if not self.stopped:
            return is_best, ""
        return is_best, (
            f"{self._stop.metric} has not been better than {self._stop_value} by more than {self._stop.min_delta:g} "
            f"for {self._since} epochs (patience {self._stop.patience})"
        )

    def state(self) -> dict[str, Any] | None:
        """Return plain data for a checkpoint; None where there are no rules."""
        if self._best is None and self._stop is None:
            return None
        return {
            "best_value": self._best_value,
            "best_network": self.best_network,
            "stop_value": self._stop_value,
            "since": self._since,
        }

    def load(self, state: Mapping[str, Any] | None) -> None:
        """Take on what `state` gave."""
        if state is not None:
            self._best_value, self._stop_value = state["best_value"], state["stop_value"]
            self._since, self.best_network = int(state["since"]), to_cpu(state["best_network"])


def check_rules(spec: TrainSpec, score_names: tuple[str, ...]) -> None:
    """Raise ValueError unless every rule names a number that the run will have.

    score_names: the keys of its validation; empty without one.
    """
    known = dict.fromkeys((TRAINING_LOSS, *score_names))
    for what, rule in (("early_stop", spec.early_stop), ("best", spec.best)):
        if rule is None:
            continue
        try:
            lookup(known, rule.metric, f"metric of {what}")
        except ValueError as error:
            hint = "" if score_names else " This run has no validation; give it a validation reader."
            raise ValueError(f"{error}{hint}") from None


def _value(rule: BestRule, values: Mapping[str, float]) -> float:
    return values[rule.metric]
