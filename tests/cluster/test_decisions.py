"""The arithmetic of the pool's decisions."""

from __future__ import annotations

import pytest

from cluster.decisions import Policy, Slot, State, Unit, can_take, given_up, late_after_s


@pytest.mark.parametrize(
    ("durations_s", "late_s"), [([], float("inf")), ([2.0], 9.0), ([1.0, 1.0, 100.0], 5.0), ([0.0], 1.0)]
)
def test_late_is_four_medians_and_a_second(durations_s: list[float], late_s: float) -> None:
    assert late_after_s(durations_s, Policy(2)) == late_s


@pytest.mark.parametrize(
    ("unit", "error"),
    [
        (Unit(), None),
        (Unit(attempts=1, error="e"), None),
        (Unit(attempts=2, error="e"), "e"),
        (Unit(losses=3), None),
        (Unit(losses=4, error="killed"), "4 workers were lost"),
    ],
)
def test_units_have_two_budgets(unit: Unit, error: str | None) -> None:
    found = given_up(unit, Policy(2))
    assert found is None if error is None else (found or "").startswith(error)


CLEAN, BLAMED = Unit(), Unit(losses=1)


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


def test_the_respawn_budget_grows_with_the_pool() -> None:
    assert Policy(2).respawns < Policy(60).respawns
    assert Policy(60).respawns > 2 * 60  # all machines may be taken away at once, twice
