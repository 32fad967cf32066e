"""What the actor pool decides, without Ray and without a clock: events go in, actions come out.

A slot is a place for one worker: STARTING -> READY -> SUSPECT -> DEAD. A dead slot is replaced by a new one, never
revived. A unit is settled at its first success; results of other copies are ignored.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from cluster import decisions as d
from cluster import placement
from cluster.decisions import Slot, State, Unit
from cluster.faults import Fault, Kind
from cluster.patience import Patience
from cluster.retry import Halt, Quarantine, Retry, last_words, verdict

_REMEMBERED = 256


class Slots:
    """The state of a pool: tell it events, and ``decide`` says what to do; times are seconds of the caller's clock."""

    def __init__(self, policy: d.Policy, jitter: Callable[[], float] = random.random) -> None:
        self.policy = policy
        self.slots: dict[int, Slot] = {}
        self.units: dict[int, Unit] = {}
        self.exhausted = False
        """No more units will be added."""
        self.stopping = False
        """Nothing new is begun."""
        self._jitter = jitter
        self._queue: deque[int] = deque()
        self._durations_s: deque[float] = deque(maxlen=_REMEMBERED)
        self._actions: list[d.Action] = []
        self._next_slot = 0
        self._open: set[int] = set()
        """Slots that may get a unit."""
        self._looked_s = -math.inf
        self._patience = Patience(policy)

    @property
    def finished(self) -> bool:
        """Every unit is settled, or, after ``stop``, none is worked on; and none will come."""
        return self.exhausted and not self.units

    def wanted(self, now_s: float) -> int:
        """How many more units to add now: as many as there is room for, so that keys are taken lazily.

        None while as many units wait for their next try as the workers hold: else a broken network would draw all keys.
        """
        waiting = sum(self.units[unit].not_before_s > now_s for unit in self._queue)
        if self.exhausted or waiting >= self.policy.workers * self.policy.in_flight:
            return 0
        room = sum(self.policy.in_flight - len(self.slots[slot].units) for slot in self._open)
        return max(0, room - len(self._queue) + waiting)

    def add(self, unit: int) -> None:
        """A new unit, to be worked on after those that wait."""
        self.units[unit] = Unit()
        self._queue.append(unit)

    def stop(self) -> None:
        """Begin nothing more: what waits is dropped without a report, what is worked on goes on."""
        self.stopping = self.exhausted = True
        for unit in self._queue:
            del self.units[unit]
        self._queue.clear()

    def placed(self, slot: int, now_s: float) -> None:
        """The worker's process runs: from now on it may hang, and no longer waits for a machine."""
        there = self.slots[slot]
        if there.placed_s is None:
            there.placed_s = now_s

    def told(self, slot: int, doing: str) -> None:
        """A worker that was long in starting has said where it is."""
        self.slots[slot].doing = doing

    def ready(self, slot: int, now_s: float, node: str = "") -> None:
        """The worker has started, on this node."""
        there = self.slots[slot]
        there.node, there.heard_s = node, now_s
        self.placed(slot, now_s)
        if there.state is State.STARTING:
            there.state = State.READY
            self._patience.ready()
            self._weigh(slot)

    def answered(self, slot: int, now_s: float) -> None:
        """Something came from a slot: it is there."""
        there = self.slots[slot]
        there.heard_s = now_s
        if there.state is State.SUSPECT:
            there.state = State.READY
            self._weigh(slot)

    def succeeded(self, slot: int, unit: int, result: Any, now_s: float) -> None:
        """A copy of a unit has returned; only the first is reported."""
        self.answered(slot, now_s)
        sent_s = self._take(slot, unit)
        if sent_s is not None:
            self._durations_s.append(now_s - sent_s)
        if unit in self.units:
            self._patience.given_up = 0
            self._settle(d.Settle(unit, result, attempts=self.units[unit].faults.total() + 1))

    def raised(self, slot: int, unit: int, fault: Fault, now_s: float) -> None:
        """A copy of a unit has raised: try again, or give it up; a worker that can compute no more goes with it."""
        if fault.kind is Kind.NODE:
            self.died(slot, fault, now_s)
            return
        self.answered(slot, now_s)
        if self._take(slot, unit) is not None:
            self._fail(unit, slot, fault, now_s)

    def unavailable(self, slot: int, unit: int | None, fault: Fault, now_s: float) -> None:
        """A slot could not be reached: its unit goes to another, and it gets no more until it answers a probe."""
        there = self.slots[slot]
        if there.state is State.READY:
            self._suspect(slot, now_s)
        if unit is not None and self._take(slot, unit) is not None:
            self._fail(unit, slot, fault, now_s)

    def died(self, slot: int, fault: Fault, now_s: float) -> None:
        """A worker is gone, and what it worked on is lost."""
        self._end(slot, fault, dict.fromkeys(self.slots[slot].units, fault), now_s)

    def drain(self, slots: Iterable[int]) -> None:
        """The nodes of these slots go away soon."""
        for slot in self.slots.keys() & set(slots):
            self.slots[slot].draining = True
            self._weigh(slot)

    def away(self, seconds: float) -> None:
        """The caller was stopped for so long that it cannot tell silence from its own absence: no wait counts it."""
        for slot in self.slots.values() if seconds else ():
            slot.since_s += seconds
            slot.heard_s += seconds
            slot.placed_s = None if slot.placed_s is None else slot.placed_s + seconds
            slot.units = {unit: sent_s + seconds for unit, sent_s in slot.units.items()}

    def decide(self, now_s: float) -> list[d.Action]:
        """What to do now, in order."""
        look = now_s - self._looked_s >= self.policy.look_s
        if look:
            self._looked_s = now_s
            self._watch(now_s)
            self._bury(now_s)
        if not self.finished and not self.stopping:
            if look:
                self._spawn()
            self._dispatch(now_s)
            if look:
                self._hedge(now_s)
        actions, self._actions = self._actions, []
        return actions

    def _watch(self, now_s: float) -> None:
        quiet_s = placement.quiet_after_s(self._durations_s, self.policy)
        for number, slot in self.slots.items():
            if slot.state is State.DEAD:
                continue
            ask, hung = placement.start_due(slot, now_s, self.policy)
            if ask:
                slot.asked = True
                self._actions.append(d.Ask(number))
            if hung is not None:
                self._end(number, hung, {}, now_s)
            lost = placement.overdue(slot, now_s, self.policy)
            if lost:
                self._end(number, next(f for f in lost.values() if f.kind is Kind.OVERDUE), lost, now_s)
            elif slot.state is State.READY and slot.units and now_s - slot.heard_s > quiet_s:
                self._suspect(number, now_s)

    def _bury(self, now_s: float) -> None:
        for number, slot in list(self.slots.items()):
            if slot.state is State.SUSPECT and now_s - slot.since_s > self.policy.probe_s:
                self.died(number, Fault(Kind.SILENT, f"no answer for {self.policy.probe_s:g} s"), now_s)
            elif slot.draining and not slot.units and slot.state is State.READY:
                self.died(number, Fault(Kind.TAKEN, "its node was drained"), now_s)
            if slot.state is State.DEAD:
                del self.slots[number]
                self._open.discard(number)

    def _spawn(self) -> None:
        working = any(slot.state in (State.READY, State.SUSPECT) for slot in self.slots.values())
        if end := self._patience.end(working):
            self._actions.append(end)
            return
        while len(self.slots) < self.policy.workers:
            self.slots[self._next_slot] = Slot()
            self._actions.append(d.Spawn(self._next_slot))
            self._next_slot += 1

    def _dispatch(self, now_s: float) -> None:
        for _ in range(len(self._queue) if self._open else 0):
            unit = self._queue.popleft()
            state = self.units[unit]
            slot = self._slot_for(state, state.avoid) if state.not_before_s <= now_s else None
            if slot is None:
                self._queue.append(unit)  # a full turn keeps the order
            else:
                self._send(d.Dispatch(slot, unit), now_s)

    def _hedge(self, now_s: float) -> None:
        if not self.exhausted or any(self.units[unit].not_before_s <= now_s for unit in self._queue):
            return
        limit_s = placement.late_after_s(self._durations_s, self.policy)
        for unit, sent_s in placement.first_sent_s(self.slots, self.units).items():
            held = placement.holders(self.slots, unit)
            if now_s - sent_s > limit_s and len(held) < self.policy.copies:
                slot = self._slot_for(self.units[unit], held)
                if slot is not None and slot not in held:
                    self._send(d.Dispatch(slot, unit, hedge=True), now_s)

    def _send(self, dispatch: d.Dispatch, now_s: float) -> None:
        slot = self.slots[dispatch.slot]
        if not slot.units:
            slot.heard_s = now_s
        slot.units[dispatch.unit] = now_s
        self._weigh(dispatch.slot)
        self._actions.append(dispatch)

    def _slot_for(self, unit: Unit, avoid: set[int]) -> int | None:
        return placement.slot_for(self.slots, unit, avoid, self.units, self.policy, self._open)

    def _take(self, slot: int, unit: int) -> float | None:
        """Take a unit from a slot; return when it was sent there, None where it was not."""
        sent_s = self.slots[slot].units.pop(unit, None)
        self._weigh(slot)
        return sent_s

    def _weigh(self, slot: int) -> None:
        """Note whether a slot may get one more unit, after anything that bears on it."""
        (self._open.add if placement.has_room(self.slots[slot], self.policy) else self._open.discard)(slot)

    def _suspect(self, slot: int, now_s: float) -> None:
        self.slots[slot].state, self.slots[slot].since_s = State.SUSPECT, now_s
        self._weigh(slot)
        self._actions.append(d.Probe(slot))

    def _end(self, slot: int, why: Fault, lost: dict[int, Fault], now_s: float) -> None:
        there = self.slots[slot]
        if there.state is State.DEAD:
            return
        there.state = State.DEAD
        self._weigh(slot)
        self._looked_s = -math.inf  # it is replaced at once
        self._patience.lost(why)
        self._actions.append(d.Kill(slot, why))
        for unit in reversed(list(lost)):
            self._fail(unit, slot, lost[unit], now_s, front=True)
        there.units.clear()

    def _fail(self, unit: int, slot: int, fault: Fault, now_s: float, front: bool = False) -> None:
        if unit not in self.units:
            return
        state = self.units[unit]
        state.faults[fault.kind] += 1
        attempts, faults = state.faults.total(), state.faults[fault.kind]
        decided = verdict(fault.kind, faults, self._jitter(), self.policy)
        if isinstance(decided, Halt):
            self._actions.append(d.Abort(unit, fault))
        elif placement.holders(self.slots, unit, alive=True):
            pass  # another copy is at work, and decides
        elif isinstance(decided, Quarantine):
            self._patience.given_up += fault.kind is not Kind.INPUT
            self._settle(d.Settle(unit, fault=last_words(fault, faults), attempts=attempts))
            if self._patience.given_up > self.policy.respawns:
                self._actions.append(d.Abort(unit, fault, self._patience.given_up))
        elif self.stopping:
            del self.units[unit]
        else:
            self._again(unit, slot, decided, now_s, front)
            self._actions.append(d.Again(unit, slot, fault, attempts, decided.after_s))

    def _again(self, unit: int, slot: int, retry: Retry, now_s: float, front: bool) -> None:
        state = self.units[unit]
        state.blamed |= retry.blame
        state.not_before_s = now_s + retry.after_s
        if retry.elsewhere:
            state.avoid.add(slot)
            state.avoid_nodes.add(self.slots[slot].node)
        if unit not in self._queue:
            (self._queue.appendleft if front else self._queue.append)(unit)

    def _settle(self, settled: d.Settle) -> None:
        del self.units[settled.unit]
        if settled.unit in self._queue:
            self._queue.remove(settled.unit)
        self._patience.settled()
        self._actions.append(settled)
