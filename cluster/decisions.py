"""The words of the actor pool: states, budgets, actions, and the arithmetic of its decisions."""

from __future__ import annotations

import enum
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias


class State(enum.Enum):
    """What the driver believes of a worker."""

    STARTING = "starting"
    READY = "ready"
    SUSPECT = "suspect"
    """It did not answer; it may be dead, or only out of reach and still working."""
    DEAD = "dead"


@dataclass(frozen=True)
class Policy:
    """Budgets and times of a pool."""

    workers: int
    in_flight: int = 2
    """Units given to one slot at once: one computed, one read."""
    attempts: int = 2
    """Exceptions of a unit before it is given up."""
    losses: int = 4
    """Workers that a unit may lose before it is given up as the one that kills them."""
    copies: int = 2
    """Workers that may work on the same unit at the tail."""
    hedge_factor: float = 4.0
    """A unit is late when it is older than this many medians ..."""
    hedge_floor_s: float = 1.0
    """... plus this."""
    probe_s: float = 20.0
    """How long a suspect slot may take to answer."""

    @property
    def respawns(self) -> int:
        """Workers that may die in a row, with no unit settled in between, before the pool gives up."""
        return 3 * self.workers + 4


@dataclass(frozen=True)
class Spawn:
    """Start a worker in this (new) slot."""

    slot: int


@dataclass(frozen=True)
class Dispatch:
    """Give this unit to this slot."""

    slot: int
    unit: int


@dataclass(frozen=True)
class Probe:
    """Ask this slot whether it is there."""

    slot: int


@dataclass(frozen=True)
class Kill:
    """Make sure that this slot's worker is gone."""

    slot: int


@dataclass(frozen=True)
class Settle:
    """Report this unit: its result, or, where there is an error text, that it was given up."""

    unit: int
    result: Any = None
    error: str | None = None
    attempts: int = 1


@dataclass(frozen=True)
class GiveUp:
    """Stop: workers die faster than units finish."""

    reason: str


Action: TypeAlias = Spawn | Dispatch | Probe | Kill | Settle | GiveUp


@dataclass
class Slot:
    """One worker as the driver sees it."""

    state: State = State.STARTING
    units: dict[int, float] = field(default_factory=dict)
    """Units in flight, with the time of their dispatch."""
    since_s: float = 0.0
    """When it became suspect."""
    draining: bool = False
    """Its node goes away soon: it finishes what it has and gets no more."""


@dataclass
class Unit:
    """One unit that is not settled."""

    attempts: int = 0
    losses: int = 0
    avoid: set[int] = field(default_factory=set)
    """Slots where it raised."""
    error: str = ""


def late_after_s(durations_s: Iterable[float], policy: Policy) -> float:
    """The age at which a unit is late; infinite while nothing has finished yet."""
    seen = list(durations_s)
    return policy.hedge_factor * statistics.median(seen) + policy.hedge_floor_s if seen else float("inf")


def can_take(slot: Slot, unit: Unit, units: dict[int, Unit], policy: Policy) -> bool:
    """Whether a slot may get one more unit; one that lost a worker runs alone, so that no other shares the blame."""
    if slot.state is not State.READY or slot.draining or len(slot.units) >= policy.in_flight:
        return False
    alone = unit.losses or any(units[u].losses for u in slot.units if u in units)
    return not (alone and slot.units)


def given_up(unit: Unit, policy: Policy) -> str | None:
    """The error of a unit whose budget is spent, else nothing."""
    if unit.attempts >= policy.attempts:
        return unit.error
    if unit.losses >= policy.losses:
        return (
            f"{unit.losses} workers were lost while they worked on this unit; it probably kills them "
            f"(memory, a native crash); run it alone with the serial engine\n{unit.error}"
        )
    return None
