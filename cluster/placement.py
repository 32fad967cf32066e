"""Where a unit may run and what is late: arithmetic over the slots and units of a pool."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping

from cluster.decisions import Policy, Slot, State, Unit
from cluster.faults import Fault, Kind


def late_after_s(durations_s: Iterable[float], policy: Policy) -> float:
    """The age at which a unit is late; infinite while nothing has finished yet."""
    seen = list(durations_s)
    return policy.hedge_factor * statistics.median(seen) + policy.hedge_floor_s if seen else float("inf")


def quiet_after_s(durations_s: Iterable[float], policy: Policy) -> float:
    """How long a slot at work may send nothing before it is probed."""
    seen = list(durations_s)
    late_s = late_after_s(seen, policy) if seen else 0.0
    return max(policy.quiet_floor_s, min(late_s, policy.quiet_limit_s))


def overdue(slot: Slot, now_s: float, policy: Policy) -> dict[int, Fault]:
    """What happens to the units of a slot of which one or more took longer than any may; nothing where none did."""
    limit_s = policy.unit_limit_s
    late = {unit for unit, sent_s in slot.units.items() if limit_s is not None and now_s - sent_s > limit_s}
    guilty = Fault(Kind.OVERDUE, f"still at work after unit_limit_s = {limit_s} s")
    beside = Fault(Kind.TAKEN, "its worker was killed because of another unit")
    return {unit: guilty if unit in late else beside for unit in slot.units} if late else {}


def start_due(slot: Slot, now_s: float, policy: Policy) -> tuple[bool, Fault | None]:
    """Whether a slot that starts is to be asked where it is (once, at half of the limit), and why it is ended if so."""
    limit_s = policy.start_limit_s
    if slot.state is not State.STARTING or slot.placed_s is None or limit_s is None:
        return False, None
    taken_s = now_s - slot.placed_s
    where = slot.doing or "asked where it was, it did not answer: an import or a native call that never lets go"
    hung = Fault(Kind.START, f"{where.rstrip()}\nnot ready {limit_s:g} s after its process started (start_limit_s)")
    return taken_s > limit_s / 2 and not slot.asked, hung if taken_s > limit_s else None


def has_room(slot: Slot, policy: Policy) -> bool:
    """Whether a slot may get one more unit of some kind."""
    return slot.state is State.READY and not slot.draining and len(slot.units) < policy.in_flight


def can_take(slot: Slot, unit: Unit, units: Mapping[int, Unit], policy: Policy) -> bool:
    """Whether a slot may get one more unit; one that is blamed runs alone, so that no other shares the blame."""
    if not has_room(slot, policy):
        return False
    alone = unit.blamed or any(units[u].blamed for u in slot.units if u in units)
    return not (alone and slot.units)


def slot_for(
    slots: Mapping[int, Slot],
    unit: Unit,
    avoid: set[int],
    units: Mapping[int, Unit],
    policy: Policy,
    open_slots: Iterable[int] | None = None,
) -> int | None:
    """The emptiest slot that may take a unit.

    One on another node than those where the unit failed as long as such a slot is READY, else one outside ``avoid`` as
    long as such a slot is, even if all of them are busy for now.

    Args:
        slots: All of them.
        unit: What is to be done.
        avoid: Slots that are the last choice.
        units: Those that are not settled.
        policy: How many units a slot may hold.
        open_slots: Those that have room, if that is known; most units can go to any of them.
    """
    if open_slots is not None and not avoid and not unit.avoid_nodes:
        fit = [n for n in open_slots if can_take(slots[n], unit, units, policy)]
        return min(fit, key=lambda n: (len(slots[n].units), n), default=None)
    ready = {n for n, s in slots.items() if s.state is State.READY and not s.draining}
    elsewhere = {n for n in ready - avoid if slots[n].node not in unit.avoid_nodes}
    choice = elsewhere or (ready - avoid) or ready
    fit = [n for n in choice if can_take(slots[n], unit, units, policy)]
    return min(fit, key=lambda n: (len(slots[n].units), n), default=None)


def holders(slots: Mapping[int, Slot], unit: int, alive: bool = False) -> set[int]:
    """The slots that a unit is with; with ``alive``, only those that are not dead."""
    return {n for n, s in slots.items() if unit in s.units and not (alive and s.state is State.DEAD)}


def first_sent_s(slots: Mapping[int, Slot], units: Mapping[int, Unit]) -> dict[int, float]:
    """When each unsettled unit in flight was first dispatched, the oldest first."""
    first: dict[int, float] = {}
    for slot in slots.values():
        for unit, sent_s in slot.units.items():
            if unit in units:
                first[unit] = min(sent_s, first.get(unit, sent_s))
    return dict(sorted(first.items(), key=lambda item: item[1]))
