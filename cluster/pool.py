"""The actor pool: the thin Ray shell around ``slots``. Driver-side, pinned actors, no retries of Ray's own."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from cluster import decisions as d
from cluster import events, metrics
from cluster.contract import Done, Failed, FatalFault, WorkerError
from cluster.faults import Fault, Kind, describe, fault_of
from cluster.hiring import hire
from cluster.ray_state import draining_nodes, running
from cluster.resources import ResolvedResources
from cluster.slots import Slots
from cluster.stopping import Stop

logger = logging.getLogger(__name__)

_WAIT_S = 0.25
_AWAY_S = 5.0
"""The longest time that a turn of the driver counts for: in a longer one it was stopped itself, or reports were taken
slowly, and the silence of the workers proves nothing."""
_STALE_S = 0.05
"""The age from which what was heard is no ground for decisions; to listen again costs a tenth of a unit's overhead."""
_STATE_POLL_S = 5.0
"""How often Ray is asked which nodes drain, and which workers that start have a process."""
_START_WARN_S = 60.0
NODE_LOST = ("its node has died", "the actor's node was ", "Node is dead")
"""What Ray says of an actor that went with its node."""


class Pool:
    """Actors of one factory, for one run; ``run`` starts them and, however it ends, kills them."""

    def __init__(
        self,
        factory: Callable[[], Callable[[Any], Any]],
        resources: ResolvedResources,
        policy: d.Policy | None = None,
        waiting: Iterable[Any] = (),
    ) -> None:
        """Keep what a run needs; ``waiting`` are workers of the same resources that work for nobody yet."""
        import ray
        import ray.cloudpickle

        self._ray: Any = ray
        self._resources = resources
        self._factory = self._ray.cloudpickle.dumps(factory)
        self._slots = Slots(policy or policy_of(resources))
        self._actors: dict[int, Any] = {}
        self._waiting = list(waiting)
        self._calls: dict[Any, tuple[str, int, int | None]] = {}
        """What each open reference is: its kind, its slot and its unit."""
        self._keys: dict[int, Any] = {}
        self._next_unit = 0
        self._last_state_s = self._heard_s = 0.0
        self._last_turn_s = time.monotonic()

    def run(self, keys: Iterable[Any], stop: Stop | None = None) -> Iterator[Done[Any, Any] | Failed[Any]]:
        """See ``Engine.run``."""
        started_s, warned, stop = time.monotonic(), False, stop or Stop()
        source = iter(keys)
        try:
            while True:
                self._heed(stop)
                self._fill(source)
                self._look_up()
                if time.monotonic() - self._heard_s > _STALE_S:  # to take a key, or to report a unit, may take long
                    self._listen(0)
                yield from self._act(self._slots.decide(time.monotonic()))
                if self._slots.finished or stop.overdue(time.monotonic()):
                    break
                self._listen(_WAIT_S)
                started = any(slot.placed_s is not None for slot in self._slots.slots.values())
                if not warned and not started and time.monotonic() - started_s > _START_WARN_S:
                    warned = True
                    logger.warning("no worker after %g s: asked for %s; waiting", _START_WARN_S, self._resources)
            if stop.requested:
                events.stopped(stop.reason, len(self._slots.units))
        finally:
            self._kill_all()

    def _heed(self, stop: Stop) -> None:
        if stop.requested and not self._slots.stopping:
            self._slots.stop()
            events.stopping(stop.reason, len(self._slots.units))

    def _look_up(self) -> None:
        last_s, self._last_turn_s = self._last_turn_s, time.monotonic()
        self._slots.away(max(0.0, self._last_turn_s - last_s - _AWAY_S))

    def _fill(self, source: Iterator[Any]) -> None:
        for _ in range(self._slots.wanted(time.monotonic())):
            try:
                self._keys[self._next_unit] = next(source)
            except StopIteration:
                self._slots.exhausted = True
                return
            self._slots.add(self._next_unit)
            self._next_unit += 1

    def _act(self, actions: list[d.Action]) -> Iterator[Done[Any, Any] | Failed[Any]]:
        """Do everything, then report: whoever takes a report may take his time, and workers must not wait for him."""
        end: Exception | None = None
        for action in actions:
            match action:
                case d.Spawn(slot):
                    events.worker_asked(slot, again=slot >= self._resources.workers)
                    self._spawn(slot)
                case d.Dispatch(slot, unit, hedge):
                    if hedge:
                        events.hedged(self._keys[unit], slot)
                    call = self._actors[slot].do.remote(self._ray.cloudpickle.dumps(self._keys[unit]))
                    self._calls[call] = ("do", slot, unit)
                case d.Probe(slot):
                    events.probed(slot)
                    self._probe(slot, "probe")
                case d.Ask(slot):
                    self._probe(slot, "where")
                case d.Kill(slot, fault):
                    events.worker_lost(slot, fault)
                    self._kill(slot)
                case d.Again(unit, slot, fault, attempts, after_s):
                    events.retried(self._keys[unit], fault, attempts, after_s, slot)
                case d.Abort(unit, fault, given_up):
                    end = FatalFault(events.unit_name(self._keys[unit]), fault, given_up)
                case d.GiveUp(reason, advice):
                    end = WorkerError(f"asked for {self._resources.workers} workers; {reason}\n{advice}")
        for action in actions:
            match action:
                case d.Settle(unit, result, None, attempts):
                    record, seconds = result
                    yield Done(self._keys.pop(unit), record, seconds, attempts)
                case d.Settle(unit, _, Fault() as fault, attempts):
                    key = self._keys.pop(unit)
                    events.quarantined(key, fault, attempts)
                    yield Failed(key, fault.error, attempts, fault.kind)
        if end is not None:
            raise end

    def _spawn(self, slot: int) -> None:
        self._actors[slot] = self._waiting.pop(0) if self._waiting else hire(self._resources)
        self._calls[self._actors[slot].start.remote(self._factory)] = ("start", slot, None)
        self._probe(slot, "placed")

    def _probe(self, slot: int, kind: str) -> None:
        probe = self._actors[slot].probe.options(concurrency_group="probe")
        self._calls[probe.remote()] = (kind, slot, None)

    def _listen(self, wait_s: float) -> None:
        """Wait until something happens, this long at most, and tell the slots."""
        if not self._calls:
            time.sleep(wait_s)  # every unit that is left waits for its next try
            return
        calls = list(self._calls)
        ready, others = self._ray.wait(calls, num_returns=1, timeout=wait_s)
        if ready and others:
            ready += self._ray.wait(others, num_returns=len(others), timeout=0)[0]
        for call in ready:
            kind, slot, unit = self._calls.pop(call)
            if slot in self._slots.slots:
                self._hear(call, kind, slot, unit)
        self._heard_s = time.monotonic()
        self._ask_ray()

    def _hear(self, call: Any, kind: str, slot: int, unit: int | None) -> None:
        errors, now_s = self._ray.exceptions, time.monotonic()
        try:
            what, value = self._ray.get(call)
        except errors.ActorUnavailableError as error:
            fault = Fault(Kind.SILENT, str(error))
            if kind == "do":
                self._slots.unavailable(slot, unit, fault, now_s)
            elif kind == "start":
                self._slots.died(slot, fault, now_s)
            return  # an unanswered probe is left to its deadline
        except errors.RayActorError as error:
            fault = Fault(Kind.TAKEN if node_lost(error) else Kind.NODE, str(error))
            self._slots.died(slot, fault, now_s)
            return
        except errors.RayError as error:
            what, value = "error", str(error) if kind == "start" else describe(error)
        self._tell(kind, what, value, slot, unit, now_s)

    def _tell(self, kind: str, what: str, value: Any, slot: int, unit: int | None, now_s: float) -> None:
        if kind == "start":
            if what == "error":
                raise WorkerError(f"a worker could not start: its factory raised\n{value}")
            self._slots.ready(slot, now_s, node=value)
        elif kind == "placed":
            self._slots.placed(slot, now_s)
        elif kind == "where" and what == "answer":
            self._slots.told(slot, value)
            events.slow_start(slot, value)
        elif kind == "probe":
            self._slots.answered(slot, now_s)
        elif unit is not None and what == "ok":
            events.heed(value[0], slot)  # also of a copy that comes too late to count
            self._slots.succeeded(slot, unit, value, now_s)
        elif unit is not None:
            self._slots.raised(slot, unit, fault_of(value), now_s)

    def _ask_ray(self) -> None:
        now_s, slots = time.monotonic(), self._slots.slots
        if now_s - self._last_state_s < _STATE_POLL_S:
            return
        self._last_state_s = now_s
        draining = draining_nodes()
        self._slots.drain([number for number, slot in slots.items() if slot.node in draining])
        for slot in running((n, self._actors[n]) for n, s in slots.items() if s.placed_s is None):
            self._slots.placed(slot, now_s)
        if (meter := metrics.current()) is not None:
            states = Counter("draining" if slot.draining else slot.state.value for slot in slots.values())
            meter.pool(states, len(self._slots.units))

    def _kill(self, slot: int) -> None:
        actor = self._actors.pop(slot, None)
        if actor is not None:
            self._ray.kill(actor, no_restart=True)

    def _kill_all(self) -> None:
        for slot in list(self._actors):
            self._kill(slot)
        while self._waiting:  # more than there were places
            self._ray.kill(self._waiting.pop())
        self._calls.clear()


def policy_of(resources: ResolvedResources) -> d.Policy:
    """The policy of a pool: a worker is given as many units as it may work on at once."""
    r = resources
    return d.Policy(r.workers, in_flight=r.concurrency, unit_limit_s=r.unit_limit_s, start_limit_s=r.start_limit_s)


def node_lost(error: Any) -> bool:
    """Whether an actor is dead because its node is: preempted, drained or killed."""
    # There is no field for it in Ray 2.60; a sentence that changes costs a unit one blame, no more.
    return bool(error.preempted) or any(sentence in str(error) for sentence in NODE_LOST)
