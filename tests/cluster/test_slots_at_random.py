"""The pool's state machine under any sequence of faults: every unit is settled once, and no slot gets too much."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.decisions import Abort, Again, Ask, Dispatch, GiveUp, Kill, Policy, Probe, Settle, Spawn, State
from cluster.faults import Fault, Kind
from cluster.placement import has_room
from cluster.slots import Slots

KINDS = {name: Fault(Kind(name), name) for name in ("input", "transient", "memory", "node", "taken", "silent")}
FAULTS = (*["ok"] * 8, *["input", "transient", "memory", "node", "die", "taken", "unavailable", "hang", "endless"])
START_LIMIT_S = 20.0


class World:
    """Workers that do, at random, everything that workers do; time goes on in steps of a quarter of a second."""

    def __init__(self, seed: int, units: int, policy: Policy, stop_at_s: float, hangs: float = 0.1) -> None:
        self.chance = random.Random(seed)
        self.hangs = hangs
        self.policy, self.stop_at_s = policy, stop_at_s
        self.slots, self.now_s = Slots(policy, self.chance.random), 0.0
        self.given = list(range(units))
        self.events: list[tuple[float, int, str, int, int]] = []
        self.order = itertools.count()
        self.hung: set[int] = set()
        self.reported: list[int] = []
        self.due: dict[int, float] = {}
        self.dropped: set[int] = set()
        self.deaths_in_row = self.hung_in_row = 0
        self.stuck: dict[int, float | None] = {}
        self.ended = ""

    def later(self, what: str, slot: int, unit: int = 0, within_s: float = 2.0) -> None:
        heapq.heappush(self.events, (self.now_s + within_s * self.chance.random(), next(self.order), what, slot, unit))

    def run(self) -> None:
        for _ in range(40_000):
            if self.now_s >= self.stop_at_s and not self.slots.stopping:
                self.dropped = set(self.given) | set(self.slots._queue)
                self.slots.stop()
            self.fill()
            for action in self.slots.decide(self.now_s):
                self.act(action)
            there = {number for number, slot in self.slots.slots.items() if has_room(slot, self.policy)}
            assert self.slots._open == there
            if self.slots.finished or self.ended:
                return
            self.now_s += 0.25
            while self.events and self.events[0][0] <= self.now_s:
                _, _, what, slot, unit = heapq.heappop(self.events)
                if slot in self.slots.slots and slot not in self.hung:
                    self.happen(what, slot, unit)
        raise AssertionError(f"no end in sight: {self.slots.units}, {self.slots.slots}")

    def fill(self) -> None:
        wanted = self.slots.wanted(self.now_s)
        assert wanted <= self.policy.workers * self.policy.in_flight
        for _ in range(wanted):
            if not self.given:
                self.slots.exhausted = True
                return
            self.slots.add(self.given.pop(0))

    def act(self, action: object) -> None:
        match action:
            case Spawn(slot):
                assert not self.slots.stopping
                assert len(self.slots.slots) <= self.policy.workers
                self.spawn(slot)
            case Probe(slot):
                if self.chance.random() < 0.9:
                    self.later("answer", slot)
            case Dispatch(slot, unit, hedge):
                self.dispatch(slot, unit, hedge)
            case Ask(slot):
                assert self.slots.slots[slot].state is State.STARTING
                assert self.now_s - (self.stuck[slot] or self.now_s) > START_LIMIT_S / 2
            case Kill(slot, fault):
                self.killed(slot, fault)
            case Again(unit, _, _, _, after_s):
                assert unit not in self.reported
                self.due[unit] = self.now_s + after_s
            case Settle(unit):
                self.reported.append(unit)
                self.deaths_in_row = self.hung_in_row = 0
            case GiveUp():
                hung = self.hung_in_row >= self.policy.starts * self.policy.workers
                assert hung or self.deaths_in_row > self.policy.respawns
                self.ended = "deaths"
            case Abort(_, _, given_up):
                assert given_up > self.policy.respawns
                self.ended = "given up"

    def spawn(self, slot: int) -> None:
        fate, wait_s = self.chance.random(), 100.0 * self.chance.random() ** 4
        self.stuck[slot] = None
        self.later("die" if fate < 0.05 else "placed", slot, within_s=wait_s)
        if 0.05 < fate < 1 - self.hangs:
            self.later("ready", slot, within_s=wait_s + 5.0)

    def killed(self, slot: int, fault: Fault) -> None:
        placed_s = self.stuck[slot]
        if fault.kind is not Kind.START:
            self.deaths_in_row += fault.kind is not Kind.TAKEN
            return
        assert placed_s is not None, "it waited for a machine"
        assert self.now_s - placed_s > START_LIMIT_S
        self.hung_in_row += 1

    def dispatch(self, slot: int, unit: int, hedge: bool) -> None:
        held = self.slots.slots[slot].units
        assert self.slots.slots[slot].state is State.READY
        assert not self.slots.stopping
        assert unit not in self.reported
        assert hedge or self.now_s >= self.due.get(unit, 0.0)
        assert len(held) <= self.policy.in_flight
        assert len(held) == 1 or not any(self.slots.units[u].blamed for u in held if u in self.slots.units)
        assert sum(unit in s.units for s in self.slots.slots.values()) <= (self.policy.copies if hedge else 1)
        fault = self.chance.choice(FAULTS)
        if fault != "endless":
            self.later(fault, slot, unit, within_s=8.0)

    def placed(self, slot: int) -> None:
        if self.stuck[slot] is None:
            self.stuck[slot] = self.now_s

    def happen(self, what: str, slot: int, unit: int) -> None:
        slots, now_s = self.slots, self.now_s
        match what:
            case "placed":
                slots.placed(slot, now_s)
                self.placed(slot)
            case "ready":
                self.placed(slot)
                self.hung_in_row = 0
                slots.ready(slot, now_s, node=f"node {self.chance.randrange(3)}")
            case "answer":
                slots.answered(slot, now_s)
            case "ok":
                slots.succeeded(slot, unit, None, now_s)
            case "hang":
                self.hung.add(slot)
            case "unavailable":
                slots.unavailable(slot, unit, KINDS["silent"], now_s)
            case "die" | "taken":
                slots.died(slot, KINDS["node" if what == "die" else what], now_s)
            case _:
                slots.raised(slot, unit, KINDS[what], now_s)


def policy_of(workers: int, in_flight: int) -> Policy:
    return Policy(
        workers,
        in_flight,
        quiet_floor_s=3.0,
        quiet_limit_s=9.0,
        probe_s=4.0,
        unit_limit_s=30.0,
        start_limit_s=START_LIMIT_S,
        back_off_limit_s=5.0,
    )


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 5), st.integers(0, 30), st.integers(1, 3))
def test_every_unit_is_settled_once_whatever_happens(seed: int, workers: int, units: int, in_flight: int) -> None:
    world = World(seed, units, policy_of(workers, in_flight), stop_at_s=float("inf"))
    world.run()
    assert max(Counter(world.reported).values(), default=1) == 1
    if not world.ended:
        assert sorted(world.reported) == list(range(units))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 4), st.integers(1, 3), st.floats(0, 60))
def test_a_stop_ends_the_run_and_nothing_new_is_begun(
    seed: int, workers: int, in_flight: int, stop_at_s: float
) -> None:
    world = World(seed, 40, policy_of(workers, in_flight), stop_at_s)
    world.run()
    assert max(Counter(world.reported).values(), default=1) == 1
    assert not world.dropped & set(world.reported)
    assert not world.slots.units or world.ended


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 4), st.floats(0.5, 0.95))
def test_a_run_where_starts_hang_ends(seed: int, workers: int, hangs: float) -> None:
    world = World(seed, 10, policy_of(workers, 2), stop_at_s=float("inf"), hangs=hangs)
    world.run()
    assert world.ended or sorted(world.reported) == list(range(10))
