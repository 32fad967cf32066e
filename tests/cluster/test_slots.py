"""The pool's state machine, without Ray: each fault once, then all faults at random."""

from __future__ import annotations

import heapq
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.decisions import Action, Dispatch, GiveUp, Kill, Policy, Probe, Settle, Spawn, State
from cluster.slots import Slots


def started(workers: int = 2, units: int = 2, exhausted: bool = True, **policy: Any) -> Slots:
    slots = Slots(Policy(workers, **policy))
    for action in slots.decide(0.0):
        assert isinstance(action, Spawn)
        slots.ready(action.slot)
    for unit in range(units):
        slots.add(unit)
    slots.exhausted = exhausted
    return slots


def dispatched(actions: list[Action]) -> list[tuple[int, int]]:
    return [(a.slot, a.unit) for a in actions if isinstance(a, Dispatch)]


def settled(actions: list[Action]) -> list[Settle]:
    return [a for a in actions if isinstance(a, Settle)]


def test_units_are_spread_then_doubled_up() -> None:
    slots = started(units=5)
    assert dispatched(slots.decide(0.0)) == [(0, 0), (1, 1), (0, 2), (1, 3)]
    slots.succeeded(1, 1, "r", 1.0)
    actions = slots.decide(1.0)
    assert settled(actions) == [Settle(1, "r")]
    assert dispatched(actions) == [(1, 4)]


def test_keys_are_wanted_only_where_there_is_room() -> None:
    slots = Slots(Policy(3))
    assert slots.wanted() == 0
    slots.decide(0.0)
    assert slots.wanted() == 0  # nobody is ready
    slots.ready(1)
    assert slots.wanted() == 2
    slots.add(0)
    assert slots.wanted() == 1
    slots.exhausted = True
    assert slots.wanted() == 0


def test_an_exception_is_tried_elsewhere_once() -> None:
    slots = started(units=1)
    assert dispatched(slots.decide(0.0)) == [(0, 0)]
    slots.raised(0, 0, "first")
    assert dispatched(slots.decide(0.1)) == [(1, 0)]
    slots.raised(1, 0, "second")
    assert settled(slots.decide(0.2)) == [Settle(0, error="second", attempts=2)]
    assert slots.finished


def test_with_one_worker_it_is_tried_there_again() -> None:
    slots = started(workers=1, units=1)
    slots.decide(0.0)
    slots.raised(0, 0, "first")
    assert dispatched(slots.decide(0.1)) == [(0, 0)]


def test_a_death_requeues_in_front_and_spawns_anew() -> None:
    slots = started(units=6)
    slots.decide(0.0)
    slots.died(0, "killed")
    slots.succeeded(1, 1, None, 1.0)
    slots.succeeded(1, 3, None, 1.0)
    actions = slots.decide(1.0)
    assert Kill(0) in actions
    assert Spawn(2) in actions
    assert dispatched(actions) == [(1, 0)]  # in front, and alone: it may be what killed
    slots.ready(2)
    assert dispatched(slots.decide(1.0)) == [(2, 2)]


def test_a_unit_that_kills_is_given_up_and_the_rest_go_on() -> None:
    slots = started(workers=1, units=2)
    now_s, given = 0.0, []
    while not slots.finished:
        now_s += 1.0
        for action in slots.decide(now_s):
            match action:
                case Spawn(slot):
                    slots.ready(slot)
                case Dispatch(slot, unit):
                    if unit == 0:
                        slots.died(slot, "boom")
                        break
                    slots.succeeded(slot, unit, "fine", now_s)
                case Settle():
                    given.append((action.unit, action.error is None))
    given += [(s.unit, s.error is None) for s in settled(slots.decide(now_s))]
    assert sorted(given) == [(0, False), (1, True)]


def test_deaths_without_progress_end_the_pool() -> None:
    slots = Slots(Policy(2))
    for round_number in range(Policy(2).respawns + 2):
        actions = slots.decide(float(round_number))
        spawned = [a.slot for a in actions if isinstance(a, Spawn)]
        if any(isinstance(a, GiveUp) for a in actions):
            assert round_number >= Policy(2).respawns // 2
            return
        for slot in spawned:
            slots.died(slot, "no memory")
    pytest.fail("it would respawn for ever")


def test_lost_nodes_are_nobodys_fault() -> None:
    slots = started(workers=1, units=1)
    for n in range(50):
        actions = slots.decide(float(n))
        for action in actions:
            if isinstance(action, Spawn):
                slots.ready(action.slot)
        slots.decide(float(n))
        slots.died(max(slots.slots), "preempted", blame=False)
    assert not settled(slots.decide(99.0))


def test_a_suspect_gets_nothing_until_it_answers() -> None:
    slots = started(units=1)
    slots.decide(0.0)
    slots.unavailable(0, 0, "no answer", 1.0)
    actions = slots.decide(1.0)
    assert Probe(0) in actions
    assert dispatched(actions) == [(1, 0)]
    slots.answered(0)
    assert slots.slots[0].state is State.READY


def test_a_suspect_that_stays_silent_dies() -> None:
    slots = started(units=1)
    slots.decide(0.0)
    slots.unavailable(0, 0, "no answer", 1.0)
    assert Kill(0) not in slots.decide(21.0)
    actions = slots.decide(21.1)
    assert Kill(0) in actions
    assert Spawn(2) in actions


def test_the_tail_is_hedged_and_the_first_result_counts() -> None:
    slots = started(units=3, in_flight=1)
    slots.decide(0.0)
    slots.succeeded(1, 1, None, 1.0)  # median 1 s: late after 5 s
    assert dispatched(slots.decide(1.0)) == [(1, 2)]
    slots.succeeded(1, 2, None, 2.0)
    assert dispatched(slots.decide(5.0)) == []
    assert dispatched(slots.decide(5.1)) == [(1, 0)]
    assert dispatched(slots.decide(50.0)) == []  # two copies, no more
    slots.succeeded(1, 0, "copy", 51.0)
    slots.succeeded(0, 0, "late", 52.0)
    assert settled(slots.decide(52.0)) == [Settle(0, "copy")]


def test_nothing_is_hedged_while_keys_remain() -> None:
    slots = started(units=1, exhausted=False)
    slots.decide(0.0)
    slots._durations_s.append(0.1)
    assert dispatched(slots.decide(1000.0)) == []


def test_an_exception_beside_a_running_copy_waits_for_it() -> None:
    slots = started(units=1)
    slots.decide(0.0)
    slots._durations_s.append(0.1)
    assert dispatched(slots.decide(10.0)) == [(1, 0)]
    slots.raised(0, 0, "one")
    assert slots.decide(10.1) == []
    slots.succeeded(1, 0, "fine", 11.0)
    assert [s.error for s in settled(slots.decide(11.0))] == [None]


def test_a_draining_slot_finishes_and_goes() -> None:
    slots = started(units=4, in_flight=1)
    slots.decide(0.0)
    slots.drain([0, 77])
    slots.succeeded(1, 1, None, 1.0)
    assert dispatched(slots.decide(1.0)) == [(1, 2)]
    slots.succeeded(0, 0, None, 2.0)
    actions = slots.decide(2.0)
    assert Kill(0) in actions
    assert Spawn(2) in actions
    assert dispatched(actions) == []


FAULTS = ("ok", "ok", "ok", "ok", "raise", "die", "unavailable", "preempted", "hang")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 5), st.integers(0, 30), st.integers(1, 3))
def test_every_unit_is_settled_once_whatever_happens(seed: int, workers: int, units: int, in_flight: int) -> None:
    chance = random.Random(seed)
    policy = Policy(workers, in_flight=in_flight)
    slots, now_s, given = Slots(policy), 0.0, list(range(units))
    events: list[tuple[float, int, str, int, int]] = []
    hung: set[int] = set()
    reported: list[int] = []
    for _ in range(100_000):
        while slots.wanted() and given:
            slots.add(given.pop(0))
        slots.exhausted = slots.exhausted or (slots.wanted() > 0 and not given)
        for action in slots.decide(now_s):
            match action:
                case Spawn(slot):
                    heapq.heappush(events, (now_s + chance.random(), chance.getrandbits(40), "ready", slot, 0))
                case Probe(slot):
                    if chance.random() < 0.7:
                        heapq.heappush(
                            events, (now_s + 30 * chance.random(), chance.getrandbits(40), "answer", slot, 0)
                        )
                case Dispatch(slot, unit):
                    assert slots.slots[slot].state is State.READY
                    assert len(slots.slots[slot].units) <= in_flight
                    assert sum(unit in s.units for s in slots.slots.values()) <= policy.copies
                    fault = chance.choice(FAULTS)
                    if fault == "hang" and unit not in hung and workers > 1:
                        hung.add(unit)  # never returns: only a copy elsewhere, or its worker's death, ends this unit
                        heapq.heappush(events, (now_s + 5000.0, chance.getrandbits(40), "die", slot, unit))
                        continue
                    fault = "ok" if fault == "hang" else fault
                    heapq.heappush(events, (now_s + chance.expovariate(1.0), chance.getrandbits(40), fault, slot, unit))
                case Settle(unit):
                    reported.append(unit)
                case GiveUp():
                    pytest.fail("gave up although units were being settled")
        if slots.finished:
            break
        now_s += 0.25
        while events and events[0][0] <= now_s:
            _, _, what, slot, unit = heapq.heappop(events)
            if slot in slots.slots and slots.slots[slot].state is not State.DEAD:
                tell(slots, what, slot, unit, now_s)
        if not slots._queue and len(events) == 1:
            now_s = max(now_s, events[0][0] - 0.25)
    assert slots.finished, f"still {slots.units}"
    assert sorted(reported) == list(range(units))


def tell(slots: Slots, what: str, slot: int, unit: int, now_s: float) -> None:
    match what:
        case "ready":
            slots.ready(slot)
        case "answer":
            slots.answered(slot)
        case "ok":
            slots.succeeded(slot, unit, None, now_s)
        case "raise":
            slots.raised(slot, unit, "raised")
        case "unavailable":
            slots.unavailable(slot, unit, "away", now_s)
        case _:
            slots.died(slot, what, blame=what == "die")
