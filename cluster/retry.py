"""What is done about a fault: a table, and a function of the fault, of how often there was one, and of a random number.

    kind        tries          waits  where                       then
    input       attempts       no     on another worker           the unit is given up
    transient   transients     yes    on another worker           the unit is given up
    memory      memories       yes    anywhere, alone             the unit is given up
    node        losses         no     on another worker, alone    the unit is given up
    silent      silences       no     on another worker           the unit is given up; alone after two
    overdue     attempts       no     on another worker, alone    the unit is given up
    start       starts         no     in the same slot            the run stops, if no worker is ready
    taken       without end    no     on another worker
    denied      attempts       yes    on another worker           the run stops
    fatal       1                                                 the run stops

Tries are counted for each kind by itself, so that trouble with the network does not use up what a unit's own data may
cost; together they are finite, but for nodes that are taken away. A worker that hangs at its start has no unit: there a
try is a start, and one is counted when every slot had one (``cluster.patience``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from cluster.decisions import Policy
from cluster.faults import Fault, Kind


@dataclass(frozen=True)
class Retry:
    """Try the unit again."""

    after_s: float
    """At the earliest after this long."""
    elsewhere: bool
    """On another worker, on another node if there is one; on the same where there is no other."""
    blame: bool
    """The unit is suspected: it runs alone, so that no other shares its fate."""


@dataclass(frozen=True)
class Quarantine:
    """Give the unit up; the others go on."""


@dataclass(frozen=True)
class Halt:
    """Stop the run: other units would meet the same."""


Verdict: TypeAlias = Retry | Quarantine | Halt


@dataclass(frozen=True)
class Rule:
    """A row of the table."""

    tries: float
    """Attempts that may end in this kind of fault."""
    waits: bool = False
    elsewhere: bool = True
    blame_from: float = math.inf
    """The unit is suspected from this fault of the kind on."""
    halts: bool = False
    """When the tries are spent the run stops."""


def rules(policy: Policy) -> dict[Kind, Rule]:
    """Return the table, with the budgets of a policy."""
    return {
        Kind.INPUT: Rule(policy.attempts),
        Kind.TRANSIENT: Rule(policy.transients, waits=True),
        Kind.MEMORY: Rule(policy.memories, waits=True, elsewhere=False, blame_from=1),
        Kind.NODE: Rule(policy.losses, blame_from=1),
        Kind.SILENT: Rule(policy.silences, blame_from=2),  # one silence is the node's; twice it may be the unit's
        Kind.OVERDUE: Rule(policy.attempts, blame_from=1),
        Kind.START: Rule(policy.starts, halts=True),
        Kind.TAKEN: Rule(math.inf),
        Kind.DENIED: Rule(policy.attempts, waits=True, halts=True),
        Kind.FATAL: Rule(1, halts=True),
    }


def verdict(kind: Kind, faults: int, jitter: float, policy: Policy) -> Verdict:
    """Decide about a unit after a fault.

    Args:
        kind: of the fault.
        faults: attempts at this unit that ended in this kind of fault, this one included.
        jitter: a random number in [0, 1).
        policy: the budgets.
    """
    rule = rules(policy)[kind]
    if faults >= rule.tries:
        return Halt() if rule.halts else Quarantine()
    after_s = back_off_s(faults, jitter, policy) if rule.waits else 0.0
    return Retry(after_s, rule.elsewhere, faults >= rule.blame_from)


def back_off_s(faults: int, jitter: float, policy: Policy) -> float:
    """Return how long to wait after the first, second, ... fault: up to twice as long each time, and up to a limit.

    With the whole interval at random ("full jitter"), units that failed together do not come back together: M. Brooker,
    "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    longest_s: float = policy.back_off_s * 2.0 ** min(faults - 1, 64)
    return jitter * min(longest_s, policy.back_off_limit_s)


def last_words(fault: Fault, faults: int) -> Fault:
    """Return the fault of a unit that is given up, with what its number says where a single one does not say it."""
    if fault.kind is not Kind.NODE:
        return fault
    words = (
        f"{faults} workers were lost while they worked on this unit; it probably kills them (memory, a native crash); "
        "run it alone with the serial engine"
    )
    return Fault(fault.kind, f"{fault.error}\n{words}")
