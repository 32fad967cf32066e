"""How long a stage will take: before it starts and while it runs, from what was measured and from nothing else.

A worker that holds `c` units at once, each for `W` seconds, finishes one every `W / c` seconds (Little's law: units in
hand = rate x time in hand; Operations Research 9, 1961). Markers tell `W`, whatever else the run did in between.
CPUs are counted by core and GPUs by worker, and twice as many take half the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.estimate import Estimate, Expected

FAIR_UNITS, FAIR_ROUNDS = 20, 3
"""How many units, and how many for each that is in hand at once, must be done before a stage's rate is trusted."""
CLEARLY = 1.1
"""How many times the time that is left a stage must need to be told that it has too little: rates differ by as much."""
UNKNOWN = Expected(None, "not known before the first units")


@dataclass(frozen=True)
class Work:
    """What the time of a stage goes with."""

    size: Callable[[Any], float]
    """Of the unit of a key: windows, pixels, scenes in a cell."""
    like: str
    """A digest of what work of one size may take another time for: networks, bands. Paces are compared by it."""


@dataclass(frozen=True)
class Crew:
    """Who will do a stage."""

    workers: int
    cores: float
    """That one worker computes with."""
    in_hand: int = 2
    """Units that one worker holds at once."""

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Crew:
        """Return the workers of an engine, from its facts."""
        workers = int(facts["workers"])
        return cls(workers, min(facts["threads"], facts["cpus"] / workers), int(facts["concurrency"]))

    @property
    def facts(self) -> dict[str, float]:
        """What markers say of who did a unit."""
        return {"cores": round(self.cores, 3), "in_hand": self.in_hand}

    def hands(self, gpu: bool) -> float:
        """Return how many cores, or workers with GPUs, there are."""
        return self.workers if gpu else self.workers * self.cores


@dataclass(frozen=True)
class Pace:
    """How long work takes, as measured."""

    hand_s: float
    """Seconds of one core, or of one worker with a GPU, for work of size 1."""
    known_from: str
    """For people: what was measured."""


@dataclass
class Held:
    """How long units kept their workers busy: their share of the time, and at least what their networks took.

    The networks of a worker see one unit at a time, so that of a worker that had only one unit they tell more.
    """

    size: float = 0.0
    count: int = 0
    _shares_s: float = 0.0
    _forward_s: float = 0.0

    def add(self, size: float, seconds: float, record: Mapping[str, Any], in_hand: int, hands: float = 1) -> None:
        """Add a unit.

        Args:
            size: of the unit.
            seconds: that it took.
            record: what it says of itself.
            in_hand: units that its worker held at once.
            hands: cores of its worker; 1 to count workers.
        """
        self.size, self.count = self.size + size, self.count + 1
        self._shares_s += hands * seconds / max(1, in_hand)
        self._forward_s += hands * float(record.get("forward_s", 0.0))

    @property
    def seconds(self) -> float:
        """Of all hands together."""
        return max(self._shares_s, self._forward_s)


def pace_of_units(measured: Iterable[tuple[float, Mapping[str, Any]]], gpu: bool, word: str) -> Pace | None:
    """Return the pace of finished units.

    Args:
        measured: size and marker of each; a marker without seconds or cores (a cell that was taken over) tells nothing.
        gpu: whether the work was that of GPUs.
        word: what a unit is called.
    """
    held = Held()
    for size, marker in measured:
        if "seconds" in marker and marker.get("cores"):
            hands = 1 if gpu else marker["cores"]
            held.add(size, marker["seconds"], marker["record"], marker["in_hand"], hands)
    told = f"as measured on {held.count} {word} of this run"
    return Pace(held.seconds / held.size, told) if held.size else None


def pace_of_stage(facts: Mapping[str, Any], like: str, gpu: bool, word: str) -> Pace | None:
    """Return the pace of a stage that was done before, from what `jobs.runner.run_stage` kept of it."""
    if facts.get("like") != like or not facts.get("measured_size"):
        return None
    hand_s = facts["measured_s"] * (1 if gpu else Crew.of(facts["engine"]).cores)
    told = f"as measured on {facts['units'] - facts['failed']} {word} that were done here before"
    return Pace(hand_s / facts["measured_size"], told)


def pace_of_trials(
    trials: Iterable[Mapping[str, Any]], precision: str, batch: int, tile_px: int, cores: float, gpu: bool
) -> Pace | None:
    """Return the pace of a window, from what was measured to choose number format and batch (`jobs.tuning`).

    Trials on smaller tiles count by their pixels. Networks alone were measured; reading and writing hide behind them.
    """
    rates = [
        one["windows_per_s"] * (one["side_px"] / tile_px) ** 2
        for one in trials
        if (one.get("precision"), one.get("batch")) == (precision, batch) and one.get("side_px")
    ]
    if not rates or max(rates) <= 0:
        return None
    told = "as measured when number format and batch were chosen (windows without any pixel will take no time)"
    return Pace((1 if gpu else cores) / max(rates), told)


def expected(pace: Pace | None, size: float, crew: Crew | None, gpu: bool = False) -> Expected:
    """Return how long work will take.

    Args:
        pace: as measured; None where nothing was.
        size: of what is left.
        crew: who will do it; None where only the cluster knows.
        gpu: whether it is the work of GPUs.
    """
    if pace is None:
        return UNKNOWN
    if crew is None:
        return Expected(None, "not known before the cluster tells how many workers there are")
    return Expected(pace.hand_s * size / crew.hands(gpu), pace.known_from)


def check_time(estimates: Sequence[Estimate], hours: float | None) -> None:
    """Refuse a run that is known to need more hours than it may take.

    Args:
        estimates: of its stages; one whose time is not known counts nothing.
        hours: `limits.hours`.

    Raises:
        ValueError: says what is expected of each stage, what is allowed and what to do.
    """
    left = [one for one in estimates if one.done < one.units]
    known = [(one.stage, one.time) for one in left if one.time is not None and one.time.seconds is not None]
    total_s = sum(time.seconds or 0.0 for _, time in known)
    if hours is None or total_s <= hours * 3600:
        return
    parts = "; ".join(f"{stage} {about(time.seconds or 0.0)}, {time.known_from}" for stage, time in known)
    least = "at least " if len(known) < len(left) else ""
    raise ValueError(
        f"limits.hours: {least}about {about(total_s)} are expected ({parts}), {hours:g} h are allowed; raise "
        f"limits.hours, give more workers, or set limits.in_parts=true: then each call does what it can"
    )


def falls_behind(done: int, left: int, since_first_s: float, in_hand: int, time_left_s: float) -> float | None:
    """Return the seconds that the rest of a stage will take, if the time that is left is clearly too short for it.

    The rate is that since the first unit was done, without the start of workers.

    Args:
        done: units that were finished in this call.
        left: units that are not.
        since_first_s: since the first of them.
        in_hand: units that all workers hold at once.
        time_left_s: until the limit.

    Returns:
        None where it can be kept, or too little is known.
    """
    if done - 1 < max(FAIR_UNITS, FAIR_ROUNDS * in_hand) or not left:
        return None
    rest_s = left * since_first_s / (done - 1)
    return rest_s if rest_s > CLEARLY * time_left_s else None


def about(seconds: float) -> str:
    """Return a duration for people: `40 s`, `25 min`, `2:10 h`."""
    minutes = round(seconds / 60)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60}:{minutes % 60:02} h"
