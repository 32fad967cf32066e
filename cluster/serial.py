"""The serial engine, which is the reference for all others."""

from __future__ import annotations

import os
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from cluster import events
from cluster.contract import Done, Failed, FatalFault, K, R, T, limit_torch_threads
from cluster.decisions import Policy
from cluster.faults import Fault, Kind, Seen, fault_of
from cluster.resources import Auto
from cluster.retry import Halt, Quarantine, verdict
from cluster.stopping import Stop
from cluster.worker import attempt

_POLL_S = 0.25
_END: Any = object()


@dataclass(frozen=True)
class _Alone:
    """A unit that is to be tried again while no other runs."""

    key: Any
    faults: Counter[Kind]


class SerialEngine:
    """This process, results in order: what every other engine is compared with.

    `concurrency` keys are worked on at once, at most, so that one is read while another computes. A unit that hangs or
    kills its worker hangs or kills this process: only another engine can help. For the same reason a unit that is
    worked on in the caller's own thread (`concurrency` 1) is finished, whatever the grace of a stop.
    """

    def __init__(
        self,
        threads: int | Auto = "auto",
        concurrency: int = 1,
        policy: Policy | None = None,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._threads: int = os.cpu_count() or 1 if threads == "auto" else threads
        self._explicit = threads != "auto"
        self._concurrency = concurrency
        self._policy = policy or Policy(workers=1)
        self._sleep, self._jitter = sleep, jitter

    def run(
        self, factory: Callable[[], Callable[[K], R]], keys: Iterable[K], stop: Stop | None = None, at_once: int = 2
    ) -> Iterator[Done[K, R] | Failed[K]]:
        """See ``Engine.run``; an exception of the factory is raised as it is."""
        stop = stop or Stop()
        work = factory()
        if self._explicit:
            limit_torch_threads(self._threads)
        at_once, begun = min(at_once, self._concurrency), _until(keys, stop)
        results = self._one_by_one(work, begun, stop) if at_once == 1 else self._on_threads(work, begun, stop, at_once)
        in_row = 0
        for result in results:
            yield result
            lost = isinstance(result, Failed) and result.kind is not Kind.INPUT
            in_row = 0 if isinstance(result, Done) else in_row + lost
            if in_row > self._policy.respawns and isinstance(result, Failed):
                raise FatalFault(events.unit_name(result.key), Fault(result.kind, result.error), in_row)

    def _one_by_one(self, work: Callable[[K], R], keys: Iterator[K], stop: Stop) -> Iterator[Done[K, R] | Failed[K]]:
        for key in keys:
            result = self._one(work, key, stop)
            if isinstance(result, Done | Failed):
                yield result

    def _on_threads(
        self, work: Callable[[K], R], keys: Iterator[K], stop: Stop, at_once: int
    ) -> Iterator[Done[K, R] | Failed[K]]:
        begun: deque[Future[Any]] = deque()
        pool = ThreadPoolExecutor(at_once, "serial")

        def first() -> Iterator[Done[K, R] | Failed[K]]:
            result = _awaited(begun.popleft(), stop)
            if isinstance(result, _Alone) and _all_done(begun, stop):
                result = self._one(work, result.key, stop, result.faults)
            if isinstance(result, Done | Failed):
                yield result

        try:
            for key in keys:
                begun.append(pool.submit(self._one, work, key, stop, beside=True))
                if len(begun) == 2 * at_once:  # some wait, so that no thread does while the first is slow
                    yield from first()
            while begun:
                yield from first()
        finally:
            pool.shutdown(wait=not stop.overdue(time.monotonic()), cancel_futures=True)

    def _one(
        self,
        work: Callable[[K], R],
        key: K,
        stop: Stop | None = None,
        faults: Counter[Kind] | None = None,
        beside: bool = False,
    ) -> Any:
        """Try a key until its fate is decided: ``Done``, ``Failed``, ``_Alone``, or None where a stop came first."""
        faults = Counter() if faults is None else faults
        while stop is None or not stop.requested:
            found = attempt(work, key)
            if not isinstance(found, Seen):
                events.heed(found[0])
                return Done(key, *found, faults.total() + 1)
            fault = fault_of(found)
            faults[fault.kind] += 1
            decided = verdict(fault.kind, faults[fault.kind], self._jitter(), self._policy)
            # A process that can compute no more is the only one here.
            if isinstance(decided, Halt) or fault.kind is Kind.NODE:
                raise FatalFault(events.unit_name(key), fault)
            if isinstance(decided, Quarantine):
                events.quarantined(key, fault, faults.total())
                return Failed(key, fault.error, faults.total(), fault.kind)
            events.retried(key, fault, faults.total(), decided.after_s)
            self._wait(decided.after_s, stop)
            if decided.blame and beside:
                return _Alone(key, faults)
        return None

    def _wait(self, seconds: float, stop: Stop | None) -> None:
        while seconds > 0 and not (stop is not None and stop.requested):
            self._sleep(min(seconds, _POLL_S))
            seconds -= _POLL_S

    def ask(self, function: Callable[[], T], beside: Callable[[], object] | None = None) -> T:
        """See ``Engine.ask``; there is nobody beside this process."""
        return function()

    def facts(self) -> dict[str, Any]:
        """See ``Engine.facts``."""
        cpus = os.cpu_count() or 1
        return {
            "kind": "serial",
            "workers": 1,
            "cpus": cpus,
            "gpus": 0,
            "threads": self._threads,
            "concurrency": self._concurrency,
        }

    def close(self) -> None:
        """Nothing to release."""

    def __enter__(self) -> SerialEngine:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _until(keys: Iterable[K], stop: Stop) -> Iterator[K]:
    """Yield keys, one at a time, until a stop is asked for."""
    source = iter(keys)
    while not stop.requested:
        key = next(source, _END)
        if key is _END:
            return
        yield key


def _awaited(future: Future[Any], stop: Stop) -> Any:
    """What came of a unit; None where it has not ended when the grace of a stop is over."""
    while not future.done():
        if stop.overdue(time.monotonic()):
            return None
        wait([future], _POLL_S)
    return future.result()


def _all_done(futures: Iterable[Future[Any]], stop: Stop) -> bool:
    """Wait until none of the units runs; False where a stop is asked for before."""
    while not stop.requested:
        if not wait(futures, _POLL_S).not_done:
            return True
    return False
