"""The pool's state machine, without Ray: each fault by itself."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.decisions import Abort, Action, Again, Ask, Dispatch, GiveUp, Kill, Policy, Probe, Settle, Spawn, State
from cluster.faults import Fault, Kind
from cluster.slots import Slots

FIRST, SECOND = Fault(Kind.INPUT, "first"), Fault(Kind.INPUT, "second")
AWAY, FULL = Fault(Kind.TRANSIENT, "no network"), Fault(Kind.FATAL, "disk full")
BOOM, PREEMPTED, MUTE = Fault(Kind.NODE, "boom"), Fault(Kind.TAKEN, "preempted"), Fault(Kind.SILENT, "no answer")


def started(workers: int = 2, units: int = 2, exhausted: bool = True, **policy: Any) -> Slots:
    slots = Slots(Policy(workers, look_s=0.0, **policy), jitter=lambda: 0.5)
    for action in slots.decide(0.0):
        assert isinstance(action, Spawn)
        slots.ready(action.slot, 0.0)
    for unit in range(units):
        slots.add(unit)
    slots.exhausted = exhausted
    return slots


def dispatched(actions: list[Action]) -> list[tuple[int, int]]:
    return [(a.slot, a.unit) for a in actions if isinstance(a, Dispatch)]


def settled(actions: list[Action]) -> list[Settle]:
    return [a for a in actions if isinstance(a, Settle)]


def killed(actions: list[Action]) -> list[int]:
    return [a.slot for a in actions if isinstance(a, Kill)]


def test_units_are_spread_then_doubled_up() -> None:
    slots = started(units=5)
    assert dispatched(slots.decide(0.0)) == [(0, 0), (1, 1), (0, 2), (1, 3)]
    slots.succeeded(1, 1, "r", 1.0)
    actions = slots.decide(1.0)
    assert settled(actions) == [Settle(1, "r")]
    assert dispatched(actions) == [(1, 4)]


def test_keys_are_wanted_only_where_there_is_room() -> None:
    slots = Slots(Policy(3, look_s=0.0))
    assert slots.wanted(0.0) == 0
    slots.decide(0.0)
    assert slots.wanted(0.0) == 0  # nobody is ready
    slots.ready(1, 0.0)
    assert slots.wanted(0.0) == 2
    slots.add(0)
    assert slots.wanted(0.0) == 1
    slots.exhausted = True
    assert slots.wanted(0.0) == 0


def test_an_exception_is_tried_elsewhere_once() -> None:
    slots = started(units=1)
    assert dispatched(slots.decide(0.0)) == [(0, 0)]
    slots.raised(0, 0, FIRST, 0.1)
    assert dispatched(slots.decide(0.1)) == [(1, 0)]
    slots.raised(1, 0, SECOND, 0.2)
    assert settled(slots.decide(0.2)) == [Settle(0, fault=SECOND, attempts=2)]
    assert slots.finished


def test_with_one_worker_it_is_tried_there_again() -> None:
    slots = started(workers=1, units=1)
    slots.decide(0.0)
    slots.raised(0, 0, FIRST, 0.1)
    assert dispatched(slots.decide(0.1)) == [(0, 0)]


def test_a_death_requeues_in_front_and_spawns_anew() -> None:
    slots = started(units=6)
    slots.decide(0.0)
    slots.died(0, BOOM, 1.0)
    slots.succeeded(1, 1, None, 1.0)
    slots.succeeded(1, 3, None, 1.0)
    actions = slots.decide(1.0)
    assert killed(actions) == [0]
    assert Spawn(2) in actions
    assert dispatched(actions) == [(1, 0)]  # in front, and alone: it may be what killed
    slots.ready(2, 1.0)
    assert dispatched(slots.decide(1.0)) == [(2, 2)]


def test_a_unit_that_kills_is_given_up_and_the_rest_go_on() -> None:
    slots = started(workers=1, units=2)
    now_s, given = 0.0, []
    while not slots.finished:
        now_s += 1.0
        for action in slots.decide(now_s):
            match action:
                case Spawn(slot):
                    slots.ready(slot, now_s)
                case Dispatch(slot, unit):
                    if unit == 0:
                        slots.died(slot, BOOM, now_s)
                        break
                    slots.succeeded(slot, unit, "fine", now_s)
                case Settle():
                    given.append((action.unit, action.fault is None))
    given += [(s.unit, s.fault is None) for s in settled(slots.decide(now_s))]
    assert sorted(given) == [(0, False), (1, True)]


def test_deaths_without_progress_end_the_pool() -> None:
    slots = Slots(Policy(2, look_s=0.0))
    for round_number in range(Policy(2).respawns + 2):
        actions = slots.decide(float(round_number))
        spawned = [a.slot for a in actions if isinstance(a, Spawn)]
        if any(isinstance(a, GiveUp) for a in actions):
            assert round_number >= Policy(2).respawns // 2
            return
        for slot in spawned:
            slots.died(slot, BOOM, float(round_number))
    pytest.fail("it would respawn for ever")


def test_lost_nodes_are_nobodys_fault() -> None:
    slots = started(workers=1, units=1)
    for n in range(50):
        actions = slots.decide(float(n))
        for action in actions:
            if isinstance(action, Spawn):
                slots.ready(action.slot, float(n))
        slots.decide(float(n))
        slots.died(max(slots.slots), PREEMPTED, float(n))
    assert not settled(slots.decide(99.0))


def test_a_suspect_gets_nothing_until_it_answers() -> None:
    slots = started(units=1)
    slots.decide(0.0)
    slots.unavailable(0, 0, MUTE, 1.0)
    actions = slots.decide(1.0)
    assert Probe(0) in actions
    assert dispatched(actions) == [(1, 0)]
    slots.answered(0, 2.0)
    assert slots.slots[0].state is State.READY


def test_a_suspect_that_stays_silent_dies() -> None:
    slots = started(units=1)
    slots.decide(0.0)
    slots.unavailable(0, 0, MUTE, 1.0)
    assert not killed(slots.decide(61.0))
    actions = slots.decide(61.1)
    assert killed(actions) == [0]
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
    slots.raised(0, 0, FIRST, 10.1)
    assert slots.decide(10.1) == []
    slots.succeeded(1, 0, "fine", 11.0)
    assert [s.fault for s in settled(slots.decide(11.0))] == [None]


def test_a_draining_slot_finishes_and_goes() -> None:
    slots = started(units=4, in_flight=1)
    slots.decide(0.0)
    slots.drain([0, 77])
    slots.succeeded(1, 1, None, 1.0)
    assert dispatched(slots.decide(1.0)) == [(1, 2)]
    slots.succeeded(0, 0, None, 2.0)
    actions = slots.decide(2.0)
    assert killed(actions) == [0]
    assert Spawn(2) in actions
    assert dispatched(actions) == []


def test_a_transient_fault_is_waited_for_and_others_go_first() -> None:
    slots = started(workers=1, units=2, in_flight=1)
    assert dispatched(slots.decide(0.0)) == [(0, 0)]
    slots.raised(0, 0, AWAY, 10.0)
    actions = slots.decide(10.0)
    assert actions[0] == Again(0, 0, AWAY, 1, 0.5)
    assert dispatched(actions) == [(0, 1)]
    slots.succeeded(0, 1, None, 10.1)
    assert dispatched(slots.decide(10.4)) == []
    assert dispatched(slots.decide(10.5)) == [(0, 0)]
    slots.raised(0, 0, AWAY, 11.0)
    assert Again(0, 0, AWAY, 2, 1.0) in slots.decide(11.0)
    assert dispatched(slots.decide(11.9)) == []
    assert dispatched(slots.decide(12.0)) == [(0, 0)]


def test_a_broken_network_draws_no_keys_beyond_what_the_workers_hold() -> None:
    slots = started(workers=2, units=4, in_flight=2, exhausted=False, transients=99)
    taken, now_s = 4, 0.0
    for _ in range(200):
        now_s += 0.01
        for action in slots.decide(now_s):
            if isinstance(action, Dispatch):
                slots.raised(action.slot, action.unit, AWAY, now_s)
        for _ in range(slots.wanted(now_s)):
            slots.add(taken)
            taken += 1
    assert taken <= 8
    assert len(slots.units) == taken
    assert slots.wanted(now_s + 1000) == 0  # those that waited are due, and go first


def test_kinds_have_budgets_of_their_own() -> None:
    slots = started(workers=1, units=1)
    now_s = 0.0
    for fault in (AWAY, FIRST, AWAY, AWAY):
        assert dispatched(slots.decide(now_s)) == [(0, 0)]
        slots.raised(0, 0, fault, now_s)
        now_s += 100
    assert dispatched(slots.decide(now_s)) == [(0, 0)]
    slots.raised(0, 0, SECOND, now_s)
    assert settled(slots.decide(now_s)) == [Settle(0, fault=SECOND, attempts=5)]


def test_too_little_memory_means_alone_next_time() -> None:
    slots = started(workers=1, units=3)
    assert dispatched(slots.decide(0.0)) == [(0, 0), (0, 1)]
    slots.raised(0, 0, Fault(Kind.MEMORY, "no room"), 1.0)
    assert dispatched(slots.decide(1.5)) == [(0, 2)]
    slots.succeeded(0, 1, None, 2.0)
    assert dispatched(slots.decide(2.0)) == []
    slots.succeeded(0, 2, None, 3.0)
    assert dispatched(slots.decide(3.0)) == [(0, 0)]
    slots.add(9)
    assert dispatched(slots.decide(3.0)) == []


def test_a_fatal_fault_gives_nothing_up() -> None:
    slots = started(units=3)
    slots.decide(0.0)
    slots.succeeded(1, 1, "r", 1.0)
    slots.raised(0, 0, FULL, 1.0)
    actions = slots.decide(1.0)
    assert settled(actions) == [Settle(1, "r")]
    assert Abort(0, FULL) in actions


def test_a_fatal_fault_counts_beside_a_running_copy_too() -> None:
    slots = started(units=1)
    slots.decide(0.0)
    slots._durations_s.append(0.1)
    assert dispatched(slots.decide(10.0)) == [(1, 0)]
    slots.raised(0, 0, FULL, 10.1)
    assert slots.decide(10.1) == [Abort(0, FULL)]


def test_a_lasting_outage_stops_the_run_and_not_every_unit() -> None:
    slots = started(workers=1, units=50, in_flight=1, transients=1)
    given_up = 0
    for n in range(50):
        actions = slots.decide(float(n))
        given_up += len(settled(actions))
        aborts = [a for a in actions if isinstance(a, Abort)]
        if aborts:
            assert aborts[0].given_up == given_up == Policy(1).respawns + 1
            return
        ((slot, unit),) = dispatched(actions)
        slots.raised(slot, unit, AWAY, float(n))
    pytest.fail("it would give up every unit")


def test_a_fault_now_and_then_never_stops_a_run() -> None:
    slots = started(workers=1, units=50, in_flight=1, transients=1)
    for n in range(50):
        actions = slots.decide(float(n))
        assert not any(isinstance(a, Abort) for a in actions)
        ((slot, unit),) = dispatched(actions)
        if n % 2:
            slots.succeeded(slot, unit, None, float(n))
        else:
            slots.raised(slot, unit, AWAY, float(n))


def test_the_tail_is_hedged_while_a_unit_waits_for_its_next_try() -> None:
    slots = started(units=2, in_flight=1)
    slots.decide(0.0)
    slots._durations_s.append(0.1)
    slots.raised(1, 1, AWAY, 20.0)
    assert Dispatch(1, 0, hedge=True) in slots.decide(20.0)


def test_units_with_bad_data_are_given_up_without_end() -> None:
    slots = started(workers=1, units=50, in_flight=1, attempts=1)
    for n in range(50):
        ((slot, unit),) = dispatched(slots.decide(float(n)))
        slots.raised(slot, unit, FIRST, float(n))
    actions = slots.decide(50.0)
    assert not any(isinstance(a, Abort) for a in actions)
    assert slots.finished


def test_a_broken_worker_is_replaced_and_its_units_go_elsewhere() -> None:
    slots = started(workers=1, units=2)
    slots.decide(0.0)
    slots.raised(0, 1, Fault(Kind.NODE, "CUDA error"), 1.0)
    actions = slots.decide(1.0)
    assert killed(actions) == [0]
    assert Spawn(1) in actions
    slots.ready(1, 2.0)
    assert dispatched(slots.decide(2.0)) == [(1, 0)]  # alone: either may be what broke it


def test_another_node_is_better_than_another_worker() -> None:
    slots = started(workers=3, units=1)
    for number, node in enumerate("aab"):
        slots.ready(number, 0.0, node)
    assert dispatched(slots.decide(0.0)) == [(0, 0)]
    slots.raised(0, 0, FIRST, 0.1)
    assert dispatched(slots.decide(0.1)) == [(2, 0)]


def test_a_silent_worker_is_probed_and_killed_even_if_it_is_the_only_one() -> None:
    slots = started(workers=1, units=2)
    slots.decide(5.0)
    assert slots.decide(35.0) == []
    assert slots.decide(35.1) == [Probe(0)]
    assert slots.decide(95.0) == []
    actions = slots.decide(95.2)
    assert killed(actions) == [0]
    assert Spawn(1) in actions
    slots.ready(1, 96.0)
    assert dispatched(slots.decide(96.0)) == [(1, 0), (1, 1)]  # the node's fault: nobody is blamed


def test_units_that_hang_workers_are_blamed_in_the_end() -> None:
    slots = started(workers=1, units=2)
    now_s, given, last = 0.0, [], 0
    while not slots.finished:
        now_s += 1.0
        for action in slots.decide(now_s):
            match action:
                case Spawn(slot):
                    slots.ready(slot, now_s)
                    last = slot
                case Settle():
                    given.append((action.unit, action.fault))
        if slots.slots and 0 not in slots.slots[last].units and slots.slots[last].units:
            slots.succeeded(last, 1, None, now_s)  # unit 0 holds the whole process, unit 1 none
    given += [(s.unit, s.fault) for s in settled(slots.decide(now_s))]
    assert [unit for unit, fault in given if fault is None] == [1]
    ((unit, fault),) = [pair for pair in given if pair[1] is not None]
    assert (unit, fault.kind) == (0, Kind.SILENT)


def test_an_answer_or_a_result_sets_the_wait_anew() -> None:
    slots = started(workers=1, units=2)
    slots.decide(0.0)
    assert slots.decide(30.5) == [Probe(0)]
    slots.answered(0, 31.0)
    assert slots.decide(61.0) == []
    assert slots.decide(61.1) == [Probe(0)]
    slots.succeeded(0, 0, None, 62.0)
    assert slots.slots[0].state is State.READY
    slots.decide(62.0)
    assert not killed(slots.decide(90.0))


def test_who_looked_away_cannot_tell_silence() -> None:
    slots = started(workers=2, units=2, in_flight=1, unit_limit_s=100.0)
    slots.decide(0.0)
    slots.unavailable(1, None, MUTE, 9.0)
    slots.decide(9.0)
    slots.away(1000.0)
    assert slots.decide(1010.0) == []
    assert slots.decide(1030.1) == [Probe(0)]
    assert killed(slots.decide(1070.0)) == [1]


def test_an_idle_worker_is_left_in_peace() -> None:
    slots = started(workers=1, units=0, exhausted=False)
    assert slots.decide(1000.0) == []
    slots.add(0)
    assert dispatched(slots.decide(2000.0)) == [(0, 0)]
    assert slots.decide(2029.0) == []  # its wait begins with the work


def test_a_unit_that_answers_but_never_ends_is_ended() -> None:
    slots = started(workers=1, units=3, unit_limit_s=10.0)
    slots.decide(0.0)
    slots.succeeded(0, 1, None, 6.0)
    assert dispatched(slots.decide(6.0)) == [(0, 2)]
    actions = slots.decide(10.5)
    assert killed(actions) == [0]
    retries = {a.unit: a.fault.kind for a in actions if isinstance(a, Again)}
    assert retries == {0: Kind.OVERDUE, 2: Kind.TAKEN}
    slots.ready(1, 11.0)
    assert dispatched(slots.decide(11.0)) == [(1, 0)]  # blamed: alone
    (given_up,) = settled(slots.decide(21.5))
    assert (given_up.unit, given_up.attempts) == (0, 2)
    assert "unit_limit_s = 10.0 s" in given_up.fault.error
    slots.ready(2, 22.0)
    assert dispatched(slots.decide(22.0)) == [(2, 2)]


def starting(workers: int = 1, **policy: Any) -> Slots:
    slots = Slots(Policy(workers, look_s=0.0, start_limit_s=100.0, **policy))
    slots.add(0)
    slots.exhausted = True
    slots.decide(0.0)
    return slots


def test_a_worker_that_waits_for_a_machine_is_never_ended() -> None:
    slots = starting()
    assert slots.decide(1e9) == []
    slots.placed(0, 1e9)
    assert slots.decide(1e9 + 50.0) == []


def test_a_worker_that_hangs_at_its_start_is_asked_then_ended() -> None:
    slots = starting()
    slots.placed(0, 10.0)
    slots.placed(0, 90.0)  # the first word counts
    assert slots.decide(60.0) == []
    assert slots.decide(60.1) == [Ask(0)]
    slots.told(0, "File bundles.py, in read\n")
    assert slots.decide(110.0) == []
    actions = slots.decide(110.1)
    assert killed(actions) == [0]
    assert Spawn(1) in actions
    (fault,) = [a.fault for a in actions if isinstance(a, Kill)]
    assert fault.kind is Kind.START
    assert fault.error.splitlines() == [
        "File bundles.py, in read",
        "not ready 100 s after its process started (start_limit_s)",
    ]
    slots.ready(1, 120.0)
    assert dispatched(slots.decide(120.0)) == [(1, 0)]
    assert slots.units[0].faults.total() == 0, "no unit is to blame"


def test_who_looked_away_cannot_tell_how_long_a_start_took() -> None:
    slots = starting()
    slots.placed(0, 10.0)
    slots.away(1000.0)
    assert slots.decide(1060.0) == []
    assert slots.decide(1060.1) == [Ask(0)]


def test_a_start_may_take_for_ever_where_no_limit_is_set() -> None:
    slots = Slots(Policy(1, look_s=0.0, start_limit_s=None))
    slots.decide(0.0)
    slots.placed(0, 0.0)
    assert slots.decide(1e9) == []


@pytest.mark.parametrize(("workers", "starts"), [(1, 1), (1, 3), (3, 2)])
def test_starts_that_hang_again_and_again_end_the_pool(workers: int, starts: int) -> None:
    slots, hung = starting(workers, starts=starts), 0
    for round_number in range(starts + 1):
        now_s = 1000.0 * round_number
        for slot in slots.slots:
            slots.placed(slot, now_s)
        actions = slots.decide(now_s + 101.0)
        hung += len(killed(actions))
        ends = [a for a in actions if isinstance(a, GiveUp)]
        if ends:
            assert hung == starts * workers
            assert f"{hung} workers hung before they were ready" in ends[0].reason
            assert "start_minutes" in ends[0].advice
            return
    pytest.fail("it would start for ever")


def test_a_node_where_workers_hang_does_not_stop_those_that_work() -> None:
    slots = started(workers=2, units=1, exhausted=False, start_limit_s=100.0)
    slots.decide(0.0)
    slots.died(1, PREEMPTED, 0.0)
    for n in range(50):
        now_s = 1000.0 * n
        for slot, there in slots.slots.items():
            if there.state is State.STARTING:
                slots.placed(slot, now_s)
        slots.answered(0, now_s + 100.0)  # at work on a long unit
        actions = slots.decide(now_s + 101.0)
        assert not any(isinstance(a, GiveUp) for a in actions)
    assert 0 in slots.slots


def test_a_stop_drops_what_waits_and_reports_what_runs() -> None:
    slots = started(workers=2, units=6, exhausted=False)
    slots.decide(0.0)
    slots.raised(0, 2, AWAY, 0.5)
    slots.stop()
    assert slots.wanted(1.0) == 0
    slots.succeeded(0, 0, "r", 1.0)
    slots.raised(1, 1, FIRST, 1.0)  # would be tried again
    assert dispatched(slots.decide(1.0)) == []
    assert not slots.finished
    slots.died(1, BOOM, 2.0)
    actions = slots.decide(2.0)
    assert not any(isinstance(a, Spawn | Dispatch) for a in actions)
    assert slots.finished


def test_a_stop_still_notices_that_a_worker_hangs() -> None:
    slots = started(workers=1, units=1)
    slots.decide(0.0)
    slots.stop()
    slots.decide(31.0)
    slots.decide(92.0)
    assert slots.finished


def test_failures_of_the_dead_count_once() -> None:
    slots = started(workers=1, units=1)
    slots.decide(0.0)
    slots.died(0, BOOM, 1.0)
    slots.raised(0, 0, FIRST, 1.0)
    slots.died(0, BOOM, 1.0)
    assert slots.units[0].faults.total() == 1
