"""What engines tell the log: one line for each event, with the same facts as fields for machines.

Every record has ``event``, and where they are known ``unit``, ``attempt`` (made so far), ``worker`` (the number of its
slot), ``kind`` and ``reason`` of a fault.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from cluster import metrics
from cluster.differences import DIFFERS
from cluster.faults import Fault, Kind
from cluster.markers import unit_of

logger = logging.getLogger(__name__)

_SHOWN = 300
"""Characters of a reason that a line shows."""


def unit_name(key: Any) -> str:
    """The unit id of a key, or, where it has none, the key as text."""
    try:
        return unit_of(key)
    except ValueError:
        return repr(key)[:200]


def retried(key: Any, fault: Fault, attempt: int, after_s: float, worker: int | None = None) -> None:
    """An attempt failed, and another one follows."""
    _count("retried", fault)
    when = f"again in {after_s:.1f} s" if after_s else "again"
    facts = {**_of(key, fault, attempt), "worker": worker, "after_s": round(after_s, 3)}
    _tell(logging.INFO, "retry", f"{{unit}}: attempt {attempt} failed ({fault.kind}), {when}: {{reason}}", facts)


def quarantined(key: Any, fault: Fault, attempts: int) -> None:
    """A unit was given up."""
    _count("given_up", fault)
    facts = {**_of(key, fault, attempts), "error": fault.error}
    _tell(
        logging.ERROR, "quarantine", f"{{unit}}: given up after {attempts} attempts ({fault.kind}): {{reason}}", facts
    )


def hedged(key: Any, worker: int) -> None:
    """A late unit was given to a second worker."""
    _tell(
        logging.INFO, "hedge", "{unit}: late, given to worker {worker} too", {"unit": unit_name(key), "worker": worker}
    )


def probed(worker: int) -> None:
    """A silent worker was asked whether it is there."""
    _tell(logging.INFO, "probe", "worker {worker}: silent, asked whether it is there", {"worker": worker})


def slow_start(worker: int, where: str) -> None:
    """A worker is long in starting, and said what it is doing; empty where it has become ready since."""
    if where:
        facts = {"worker": worker, "reason": where.strip().rpartition("\n")[2].strip(), "error": where}
        _tell(logging.WARNING, "slow_start", "worker {worker}: long in starting; it is at: {reason}", facts)


def differs(found: Mapping[str, Any], worker: int | None = None) -> None:
    """A unit was done twice, with different answers (``cluster.differences``); the first one stands."""
    told = "; ".join(f"{name} {first!r}, then {second!r}" for name, (first, second) in found["facts"].items())
    by = " and ".join(f"{who['host']} (process {who['pid']})" for who in (found["first"], found["second"]))
    facts = {"unit": found["unit"], "worker": worker, "facts": dict(found), "reason": f"{told}; by {by}"}
    text = "{unit}: done twice with different answers, so the work is not deterministic; the first stands: {reason}"
    _tell(logging.WARNING, "differs", text, facts)


def worker_lost(worker: int, fault: Fault) -> None:
    """A worker is gone, or was killed."""
    _count("worker_lost", fault)
    level = logging.INFO if fault.kind is Kind.TAKEN else logging.WARNING
    facts = {"worker": worker, "kind": str(fault.kind), "reason": fault.reason}
    _tell(level, "worker_lost", "worker {worker}: lost ({kind}): {reason}", facts)


def worker_asked(worker: int, again: bool) -> None:
    """A worker was asked for; ``again`` where it takes the place of one that is gone."""
    event = "worker_respawn" if again else "worker_spawn"
    _tell(logging.INFO if again else logging.DEBUG, event, "worker {worker}: asked for", {"worker": worker})


def stopping(reason: str, in_flight: int) -> None:
    """A run is to end early: nothing new is begun."""
    facts = {"reason": reason, "units": in_flight}
    _tell(logging.INFO, "stopping", "stop asked for ({reason}): {units} units in flight are finished first", facts)


def stopped(reason: str, left: int) -> None:
    """A run has ended early; units that were left have no marker."""
    facts = {"reason": reason, "units": left}
    _tell(logging.INFO, "stopped", "stopped ({reason}): {units} units in flight were left undone", facts)


def heed(record: Any, worker: int | None = None) -> None:
    """Tell what a record says that is not for its reader alone."""
    if isinstance(record, Mapping) and DIFFERS in record:
        differs(record[DIFFERS], worker)


def _count(outcome: str, fault: Fault) -> None:
    if (meter := metrics.current()) is not None:
        meter.fault(outcome, str(fault.kind))


def _of(key: Any, fault: Fault, attempt: int) -> dict[str, Any]:
    return {"unit": unit_name(key), "attempt": attempt, "kind": str(fault.kind), "reason": fault.reason}


def _tell(level: int, event: str, text: str, facts: dict[str, Any]) -> None:
    if logger.isEnabledFor(level):
        shown = {name: _clipped(value) for name, value in facts.items()}
        logger.log(level, "%s", text.format(**shown), extra={"event": event, **facts})


def _clipped(value: Any) -> Any:
    # Ray explains at length what may have ended a worker; the field has it all.
    return value[:_SHOWN] + " ..." if isinstance(value, str) and len(value) > _SHOWN else value
