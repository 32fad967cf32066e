"""The words of the actor pool: states, budgets, what it is told to do, and what it knows of workers and units."""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from cluster.faults import Fault, Kind


class State(enum.Enum):
    """What the driver believes of a worker."""

    STARTING = "starting"
    READY = "ready"
    SUSPECT = "suspect"
    """It is silent; it may be dead, hung, or only out of reach and still working."""
    DEAD = "dead"


@dataclass(frozen=True)
class Policy:
    """Budgets and times of a pool; ``cluster.retry`` has the table that they belong to."""

    workers: int
    in_flight: int = 2
    """Units given to one slot at once: one computed, one read."""
    attempts: int = 2
    """Tries of a unit that raises, that is refused its files, or that takes too long."""
    transients: int = 8
    """Tries of a unit that storage or network fail: two minutes at most, one on average, with the waits below."""
    memories: int = 3
    """Tries of a unit that finds too little memory."""
    losses: int = 4
    """Workers that a unit may lose before it is given up as the one that kills them."""
    silences: int = 6
    """Workers that may fall silent over a unit before it is given up as the one that hangs them."""
    back_off_s: float = 1.0
    """Longest wait after a first fault; it doubles with each ..."""
    back_off_limit_s: float = 60.0
    """... up to this."""
    copies: int = 2
    """Workers that may work on the same unit at the tail."""
    hedge_factor: float = 4.0
    """A unit is late when it is older than this many medians ..."""
    hedge_floor_s: float = 1.0
    """... plus this."""
    quiet_floor_s: float = 30.0
    """A slot at work is asked whether it is there when nothing came from it until its units are late, and this long at
    least ..."""
    quiet_limit_s: float = 300.0
    """... and this long at most: to ask costs nothing."""
    probe_s: float = 60.0
    """How long a suspect slot may take to answer. Ray needs as long to find a broken network, and a native call that
    holds Python's lock (a conversion, a compiler) may keep a healthy worker from answering for tens of seconds."""
    unit_limit_s: float | None = None
    """How long a unit may take before its worker is killed; None: as long as it answers."""
    start_limit_s: float | None = 900.0
    """How long a worker may take to be ready before it is killed, counted from when its process is known to run: to
    wait for a machine is not to hang. None: without limit."""
    look_s: float = 0.25
    """How often all slots are looked over for silence, lateness and hangs; between, only those that something happened
    to are. To look over 512 takes a millisecond: what a unit may cost where hundreds are done a second."""
    starts: int = 3
    """Workers in each place that may hang before they are ready, with none ready in between and none at work."""

    @property
    def respawns(self) -> int:
        """Workers that may die, and units that may be given up for another reason than their data, in a row."""
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
    hedge: bool = False
    """Another slot is at work on it, and late."""


@dataclass(frozen=True)
class Probe:
    """Ask this slot whether it is there."""

    slot: int


@dataclass(frozen=True)
class Ask:
    """Ask this slot, which is long in starting, where it is."""

    slot: int


@dataclass(frozen=True)
class Kill:
    """Make sure that this slot's worker is gone."""

    slot: int
    fault: Fault


@dataclass(frozen=True)
class Again:
    """Nothing to do but to tell: an attempt at this unit failed, and another one follows."""

    unit: int
    slot: int
    fault: Fault
    attempts: int
    """Made so far."""
    after_s: float


@dataclass(frozen=True)
class Settle:
    """Report this unit: its result, or, where there is a fault, that it was given up."""

    unit: int
    result: Any = None
    fault: Fault | None = None
    attempts: int = 1


@dataclass(frozen=True)
class Abort:
    """Stop: this unit met what every other one will meet."""

    unit: int
    fault: Fault
    given_up: int = 0
    """Units given up in a row, with none finished in between, if that is why."""


@dataclass(frozen=True)
class GiveUp:
    """Stop: workers die faster than units finish, or none becomes ready."""

    reason: str
    advice: str


Action: TypeAlias = Spawn | Dispatch | Probe | Ask | Kill | Again | Settle | Abort | GiveUp


@dataclass
class Slot:
    """One worker as the driver sees it."""

    state: State = State.STARTING
    units: dict[int, float] = field(default_factory=dict)
    """Units in flight, with the time of their dispatch."""
    since_s: float = 0.0
    """When it became suspect."""
    heard_s: float = 0.0
    """When something last came from it, or when it was given work after it had none."""
    placed_s: float | None = None
    """When its process was first known to run; None while it waits for a machine."""
    asked: bool = False
    """It was asked where it is, because it is long in starting."""
    doing: str = ""
    """What it answered."""
    node: str = ""
    """Where its worker lives, once that is known."""
    draining: bool = False
    """Its node goes away soon: it finishes what it has and gets no more."""


@dataclass
class Unit:
    """One unit that is not settled."""

    faults: Counter[Kind] = field(default_factory=Counter)
    """Attempts that failed, by kind."""
    blamed: bool = False
    """It may be what ends workers: it runs alone."""
    not_before_s: float = 0.0
    """When it may be tried again."""
    avoid: set[int] = field(default_factory=set)
    """Slots where it failed ..."""
    avoid_nodes: set[str] = field(default_factory=set)
    """... and their nodes."""
