"""What the actor pool decides, without Ray and without a clock: events go in, actions come out.

A slot is a place for one worker: STARTING -> READY -> SUSPECT -> DEAD. A dead slot is replaced by a new one, never
revived. A unit is settled at its first success; results of other copies are ignored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from cluster.decisions import (
    Action,
    Dispatch,
    GiveUp,
    Kill,
    Policy,
    Probe,
    Settle,
    Slot,
    Spawn,
    State,
    Unit,
    can_take,
    given_up,
    late_after_s,
)

_REMEMBERED = 256


class Slots:
    """The state of a pool: tell it events, and ``decide`` says what to do; times are seconds of the caller's clock."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.slots: dict[int, Slot] = {}
        self.units: dict[int, Unit] = {}
        self.exhausted = False
        """No more units will be added."""
        self._queue: deque[int] = deque()
        self._durations_s: deque[float] = deque(maxlen=_REMEMBERED)
        self._actions: list[Action] = []
        self._next_slot = 0
        self._deaths_in_row = 0
        self._last_death = ""

    @property
    def finished(self) -> bool:
        """Every unit is settled and none will come."""
        return self.exhausted and not self.units

    def wanted(self) -> int:
        """How many more units to add now: as many as there is room for, so that keys are taken lazily."""
        if self.exhausted:
            return 0
        ready = [s for s in self.slots.values() if s.state is State.READY and not s.draining]
        return max(0, sum(self.policy.in_flight - len(s.units) for s in ready) - len(self._queue))

    def add(self, unit: int) -> None:
        """A new unit, to be worked on after those that wait."""
        self.units[unit] = Unit()
        self._queue.append(unit)

    def ready(self, slot: int) -> None:
        """The worker has started."""
        if self.slots[slot].state is State.STARTING:
            self.slots[slot].state = State.READY

    def succeeded(self, slot: int, unit: int, result: Any, now_s: float) -> None:
        """A copy of a unit has returned; only the first is reported."""
        sent_s = self.slots[slot].units.pop(unit, None)
        if sent_s is not None:
            self._durations_s.append(now_s - sent_s)
        if unit in self.units:
            self._settle(Settle(unit, result, attempts=self.units[unit].attempts + 1))

    def raised(self, slot: int, unit: int, error: str) -> None:
        """A copy of a unit has raised: try elsewhere, or give it up."""
        self.slots[slot].units.pop(unit, None)
        if unit not in self.units:
            return
        self.units[unit].attempts += 1
        self.units[unit].avoid.add(slot)
        self.units[unit].error = error
        self._requeue(unit, front=False)

    def unavailable(self, slot: int, unit: int | None, error: str, now_s: float) -> None:
        """A slot did not answer: its unit goes to another, and it gets no more until it answers a probe."""
        place = self.slots[slot]
        if unit is not None and place.units.pop(unit, None) is not None:
            self._lose(unit, error)
        if place.state is State.READY:
            place.state, place.since_s = State.SUSPECT, now_s
            self._actions.append(Probe(slot))

    def answered(self, slot: int) -> None:
        """A suspect slot has answered its probe."""
        if self.slots[slot].state is State.SUSPECT:
            self.slots[slot].state = State.READY

    def died(self, slot: int, error: str, blame: bool = True) -> None:
        """A worker is gone; with ``blame`` its units are suspected of it, without (its node went away) they are not."""
        place = self.slots[slot]
        if place.state is State.DEAD:
            return
        place.state = State.DEAD
        if blame:
            self._deaths_in_row += 1
            self._last_death = error
        for unit in reversed(list(place.units)):
            self._lose(unit, error, blame)
        place.units.clear()
        self._actions.append(Kill(slot))

    def drain(self, slots: Iterable[int]) -> None:
        """The nodes of these slots go away soon."""
        for slot in slots:
            if slot in self.slots:
                self.slots[slot].draining = True

    def decide(self, now_s: float) -> list[Action]:
        """What to do now, in order."""
        self._bury(now_s)
        if not self.finished:
            self._spawn()
            self._dispatch(now_s)
            self._hedge(now_s)
        actions, self._actions = self._actions, []
        return actions

    def _bury(self, now_s: float) -> None:
        for number, slot in list(self.slots.items()):
            if slot.state is State.SUSPECT and now_s - slot.since_s > self.policy.probe_s:
                self.died(number, f"no answer for {self.policy.probe_s:g} s")
            elif slot.draining and not slot.units and slot.state is State.READY:
                self.died(number, "its node was drained", blame=False)
            if slot.state is State.DEAD:
                del self.slots[number]

    def _spawn(self) -> None:
        if self._deaths_in_row > self.policy.respawns:
            reason = f"{self._deaths_in_row} workers died and no unit finished in between; the last: {self._last_death}"
            self._actions.append(GiveUp(reason))
            return
        while len(self.slots) < self.policy.workers:
            self.slots[self._next_slot] = Slot()
            self._actions.append(Spawn(self._next_slot))
            self._next_slot += 1

    def _dispatch(self, now_s: float) -> None:
        for _ in range(len(self._queue)):
            unit = self._queue.popleft()
            slot = self._place(unit, self.units[unit].avoid)
            if slot is None:
                self._queue.append(unit)  # a full turn keeps the order
            else:
                self._send(slot, unit, now_s)

    def _hedge(self, now_s: float) -> None:
        if self._queue or not self.exhausted:
            return
        limit_s = late_after_s(self._durations_s, self.policy)
        for unit, sent_s in sorted(self._first_sent().items(), key=lambda item: item[1]):
            holders = self._holders(unit)
            if now_s - sent_s > limit_s and len(holders) < self.policy.copies:
                slot = self._place(unit, holders)
                if slot is not None and slot not in holders:
                    self._send(slot, unit, now_s)

    def _place(self, unit: int, avoid: set[int]) -> int | None:
        """The emptiest slot that may take a unit, one outside ``avoid`` as long as any such slot is alive and READY."""
        ready = {n for n, s in self.slots.items() if s.state is State.READY and not s.draining}
        choice = (ready - avoid) or ready
        fit = [n for n in choice if can_take(self.slots[n], self.units[unit], self.units, self.policy)]
        return min(fit, key=lambda n: (len(self.slots[n].units), n), default=None)

    def _send(self, slot: int, unit: int, now_s: float) -> None:
        self.slots[slot].units[unit] = now_s
        self._actions.append(Dispatch(slot, unit))

    def _lose(self, unit: int, error: str, blame: bool = True) -> None:
        if unit in self.units:
            self.units[unit].losses += blame
            self.units[unit].error = error
            self._requeue(unit, front=True)

    def _requeue(self, unit: int, front: bool) -> None:
        if self._holders(unit, alive=True):
            return  # another copy is at work, and decides
        error = given_up(self.units[unit], self.policy)
        if error is not None:
            tries = self.units[unit].attempts + self.units[unit].losses
            self._settle(Settle(unit, error=error, attempts=tries))
        elif unit not in self._queue:
            (self._queue.appendleft if front else self._queue.append)(unit)

    def _settle(self, settled: Settle) -> None:
        del self.units[settled.unit]
        if settled.unit in self._queue:
            self._queue.remove(settled.unit)
        self._deaths_in_row = 0
        self._actions.append(settled)

    def _holders(self, unit: int, alive: bool = False) -> set[int]:
        return {n for n, s in self.slots.items() if unit in s.units and not (alive and s.state is State.DEAD)}

    def _first_sent(self) -> dict[int, float]:
        held = ((u, sent) for s in self.slots.values() for u, sent in s.units.items() if u in self.units)
        first: dict[int, float] = {}
        for unit, sent_s in held:
            first[unit] = min(sent_s, first.get(unit, sent_s))
        return first
