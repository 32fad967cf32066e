"""Numbers for Prometheus: counted in the driver of a Ray engine, and served by Ray on each node's metrics port.

    with metered("ray", "infer") as meter:     # None for any other engine: nothing is counted
        ...
        if meter is not None:
            meter.unit("done", units_left, result)

Labels are few and their values known beforehand (`LABELS`): a unit, a worker or a run never is one. Counts wait in this
process for a second, because to tell Ray of each one would cost a unit more than all else that the driver does for it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from cluster.contract import Done, Failed

FLUSH_S = 1.0
SECONDS = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0]
"""Upper bounds of the buckets of `sandan_unit_seconds`."""
COUNTERS = {
    "sandan_units": "Units that were reported, by outcome: done, found (finished by somebody else) or failed",
    "sandan_faults": "Attempts that failed and workers that were lost, by kind of fault and by what came of it",
    "sandan_windows": "Windows that finished units hold",
    "sandan_read_bytes": "Bytes of pixels that finished units read",
    "sandan_written_bytes": "Bytes that finished units wrote",
}
GAUGES = {
    "sandan_units_left": "Units of the stage that are not reported yet",
    "sandan_units_in_hand": "Units that workers hold, or that wait for their next try",
    "sandan_workers": "Workers by state: starting, ready, suspect or draining",
}
LABELS: dict[str, tuple[str, ...]] = {
    "sandan_units": ("stage", "outcome"),
    "sandan_faults": ("stage", "outcome", "kind"),
    "sandan_windows": ("stage",),
    "sandan_read_bytes": ("stage",),
    "sandan_written_bytes": ("stage",),
    "sandan_unit_seconds": ("stage",),
    "sandan_units_left": ("stage",),
    "sandan_units_in_hand": ("stage",),
    "sandan_workers": ("stage", "state"),
}
STATES = ("starting", "ready", "suspect", "draining")
OF_RECORDS = {"windows": "sandan_windows", "bytes_read": "sandan_read_bytes", "bytes_written": "sandan_written_bytes"}
"""What a unit's record may count, and the counter that it goes to."""


class Meter:
    """What a stage counts; told to Ray once a second at most."""

    def __init__(self, stage: str, clock: Callable[[], float] = time.monotonic, ray_metrics: Any = None) -> None:
        self.stage, self._clock = stage, clock
        if ray_metrics is None:
            import ray.util.metrics as ray_metrics
        self._counters = {n: ray_metrics.Counter(n, text, LABELS[n]) for n, text in COUNTERS.items()}
        self._gauges = {n: ray_metrics.Gauge(n, text, LABELS[n]) for n, text in GAUGES.items()}
        name = "sandan_unit_seconds"
        self._seconds = ray_metrics.Histogram(name, "Wall time of a unit in its worker", SECONDS, LABELS[name])
        self._counts: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self._durations_s: list[float] = []
        self._left = 0
        self._told_s = clock()

    def unit(self, outcome: str, left: int, result: Done[Any, Any] | Failed[Any]) -> None:
        """Count a unit that was reported, and say how many are not yet.

        What it cost counts only where it was ``done`` here.
        """
        self._counts["sandan_units", (outcome,)] += 1
        self._left = left
        if outcome == "done" and isinstance(result, Done):
            self._durations_s.append(result.seconds)
            if isinstance(result.record, Mapping):
                for key, name in OF_RECORDS.items():
                    self._counts[name, ()] += result.record.get(key, 0)
        if self._clock() - self._told_s >= FLUSH_S:
            self.flush()

    def fault(self, outcome: str, kind: str) -> None:
        """Count an attempt that failed, or a worker that was lost."""
        self._counts["sandan_faults", (outcome, kind)] += 1

    def pool(self, states: Mapping[str, int], in_hand: int) -> None:
        """Say what the pool looks like now."""
        for state in STATES:
            self._gauges["sandan_workers"].set(states.get(state, 0), {"stage": self.stage, "state": state})
        self._gauges["sandan_units_in_hand"].set(in_hand, {"stage": self.stage})
        self.flush()

    def flush(self) -> None:
        """Tell Ray what was counted since the last time."""
        for (name, values), count in self._counts.items():
            if count:  # Ray refuses to add nothing
                self._counters[name].inc(count, dict(zip(LABELS[name], (self.stage, *values), strict=True)))
        for seconds in self._durations_s:
            self._seconds.observe(seconds, {"stage": self.stage})
        self._gauges["sandan_units_left"].set(self._left, {"stage": self.stage})
        self._counts.clear()
        self._durations_s.clear()
        self._told_s = self._clock()

    def close(self) -> None:
        """Tell what is left to tell; nobody works any more."""
        self._left = 0
        self.pool({}, 0)


_current: ContextVar[Meter | None] = ContextVar("meter", default=None)


def current() -> Meter | None:
    """Return the meter of the stage that runs in this thread; None where nothing is counted."""
    return _current.get()


@contextmanager
def metered(engine: str, stage: str) -> Iterator[Meter | None]:
    """Count what a stage does, if its engine is one whose numbers anybody serves: `ray`, once it is connected."""
    if engine != "ray":
        yield None
        return
    meter = Meter(stage)
    token = _current.set(meter)
    try:
        yield meter
    finally:
        _current.reset(token)
        meter.close()
