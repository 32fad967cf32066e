"""Where a unit may run and what is late."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.decisions import Policy, Slot, State, Unit
from cluster.faults import Kind
from cluster.placement import can_take, first_sent_s, holders, late_after_s, overdue, quiet_after_s, slot_for, start_due


@pytest.mark.parametrize(
    ("durations_s", "late_s"), [([], float("inf")), ([2.0], 9.0), ([1.0, 1.0, 100.0], 5.0), ([0.0], 1.0)]
)
def test_late_is_four_medians_and_a_second(durations_s: list[float], late_s: float) -> None:
    assert late_after_s(durations_s, Policy(2)) == late_s


@pytest.mark.parametrize(
    ("durations_s", "quiet_s"), [([], 30.0), ([2.0], 30.0), ([10.0, 20.0, 30.0], 81.0), ([3600.0], 300.0)]
)
def test_a_slot_is_quiet_when_its_units_are_late_within_bounds(durations_s: list[float], quiet_s: float) -> None:
    assert quiet_after_s(durations_s, Policy(2)) == quiet_s


@pytest.mark.parametrize(("limit_s", "late"), [(None, []), (6.0, [3]), (5.0, [3]), (4.9, [3, 8]), (100.0, [])])
def test_units_are_overdue_by_their_own_dispatch(limit_s: float | None, late: list[int]) -> None:
    slot = Slot(State.READY, {3: 1.0, 8: 3.0, 5: 7.5})
    lost = overdue(slot, 8.0, Policy(1, unit_limit_s=limit_s))
    assert [unit for unit, fault in lost.items() if fault.kind is Kind.OVERDUE] == late
    assert set(lost) == (set(slot.units) if late else set()), "all go with their worker"


@pytest.mark.parametrize(
    ("slot", "now_s", "ask", "hung"),
    [
        (Slot(), 1e9, False, False),  # waits for a machine
        (Slot(placed_s=5.0), 55.0, False, False),
        (Slot(placed_s=5.0), 55.1, True, False),
        (Slot(placed_s=5.0, asked=True), 55.1, False, False),
        (Slot(placed_s=5.0, asked=True), 105.0, False, False),
        (Slot(placed_s=5.0, asked=True), 105.1, False, True),
        (Slot(State.READY, placed_s=5.0), 1e9, False, False),
        (Slot(State.DEAD, placed_s=5.0), 1e9, False, False),
    ],
)
def test_a_start_is_asked_at_half_of_its_limit_and_ended_at_the_whole(
    slot: Slot, now_s: float, ask: bool, hung: bool
) -> None:
    asked, fault = start_due(slot, now_s, Policy(1, start_limit_s=100.0))
    assert (asked, fault is not None) == (ask, hung)


CLEAN, BLAMED = Unit(), Unit(blamed=True)


@pytest.mark.parametrize(
    ("slot", "unit", "fits"),
    [
        (Slot(State.READY), CLEAN, True),
        (Slot(State.READY, {1: 0.0}), CLEAN, True),
        (Slot(State.READY, {1: 0.0, 2: 0.0}), CLEAN, False),
        (Slot(State.READY, draining=True), CLEAN, False),
        (Slot(State.READY), BLAMED, True),
        (Slot(State.READY, {1: 0.0}), BLAMED, False),
        (Slot(State.READY, {9: 0.0}), CLEAN, False),
        *[(Slot(state), CLEAN, False) for state in (State.STARTING, State.SUSPECT, State.DEAD)],
    ],
)
def test_a_blamed_unit_runs_alone(slot: Slot, unit: Unit, fits: bool) -> None:
    assert can_take(slot, unit, {1: CLEAN, 2: CLEAN, 9: BLAMED}, Policy(2)) is fits


def ready(node: str = "", **units: float) -> Slot:
    return Slot(State.READY, {int(name[1:]): sent_s for name, sent_s in units.items()}, node=node)


@pytest.mark.parametrize(
    ("slots", "unit", "avoid", "found"),
    [
        ({0: ready(u1=0.0), 4: ready()}, CLEAN, set(), 4),  # the emptiest
        ({0: ready(), 4: ready()}, CLEAN, set(), 0),  # of equal ones the first
        ({0: ready(), 4: ready(u1=0.0)}, CLEAN, {0}, 4),
        ({0: ready(), 4: ready(u1=0.0, u2=0.0)}, CLEAN, {0}, None),  # busy: worth waiting for
        ({0: ready(), 4: Slot(State.SUSPECT)}, CLEAN, {0}, 0),  # nobody else
        ({0: ready("a"), 4: ready("a"), 7: ready("b", u1=0.0)}, Unit(avoid_nodes={"a"}), {0}, 7),
        ({0: ready("a"), 4: ready("a"), 7: ready("b")}, Unit(avoid_nodes={"a", "b"}), {0}, 4),
        ({0: ready("a"), 7: ready("b", u1=0.0, u2=0.0)}, Unit(avoid_nodes={"a"}), {0}, None),
        ({}, CLEAN, set(), None),
    ],
)
def test_a_unit_goes_where_it_did_not_fail(slots: dict, unit: Unit, avoid: set, found: Any) -> None:
    assert slot_for(slots, unit, avoid, {1: CLEAN, 2: CLEAN}, Policy(3)) == found


def test_the_oldest_copy_tells_how_old_a_unit_is() -> None:
    slots = {0: ready(u5=4.0, u1=2.0), 1: ready(u5=1.0), 2: Slot(State.DEAD, {1: 3.0})}
    assert list(first_sent_s(slots, {5: CLEAN, 1: CLEAN}).items()) == [(5, 1.0), (1, 2.0)]
    assert list(first_sent_s(slots, {1: CLEAN})) == [1]
    assert (holders(slots, 1), holders(slots, 1, alive=True), holders(slots, 9)) == ({0, 2}, {0}, set())
