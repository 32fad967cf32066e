"""The serial engine under faults: it waits without a clock, stops in good order, and never gives up a whole country."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cluster.contract import Done, Failed, FatalFault
from cluster.decisions import Policy
from cluster.faults import Kind
from cluster.serial import SerialEngine
from cluster.stopping import Stop

AWAY = ConnectionResetError("the network is away")


class Failing:
    """A stage whose keys fail as often as a table says; counts the calls, and how many were inside at once."""

    def __init__(self, faults: dict[int, tuple[int, Exception]]) -> None:
        self.faults = faults
        self.calls: Counter[int] = Counter()
        self.beside: dict[int, list[int]] = {}
        self.inside: set[int] = set()
        self.lock = threading.Lock()

    def __call__(self) -> Callable[[int], int]:
        return self.work

    def work(self, key: int) -> int:
        with self.lock:
            self.inside.add(key)
            self.calls[key] += 1
            call = self.calls[key]
            self.beside.setdefault(key, []).append(len(self.inside))
        try:
            time.sleep(0.005)
            times, error = self.faults.get(key, (0, AWAY))
            if call <= times:
                raise error
            return key * key
        finally:
            with self.lock:
                self.inside.discard(key)


class Clockless:
    """An engine that never sleeps, but notes how long it would have."""

    def __init__(self, concurrency: int = 1, **policy: Any) -> None:
        self.slept: list[float] = []
        self.engine = SerialEngine(1, concurrency, Policy(1, **policy), self.slept.append, lambda: 0.5)


def collect(run: Iterator[Any], into: list[Any]) -> None:
    """Keep what came before an exception."""
    for result in run:
        into.append(result)


@pytest.fixture(params=[1, 3])
def concurrency(request: pytest.FixtureRequest) -> int:
    return request.param


def test_transient_faults_are_waited_for(concurrency: int) -> None:
    here, stage = Clockless(concurrency), Failing({2: (4, AWAY)})
    results = list(here.engine.run(stage, range(4)))
    assert [(r.key, r.record) for r in results if isinstance(r, Done)] == [(n, n * n) for n in range(4)]
    assert stage.calls == {0: 1, 1: 1, 2: 5, 3: 1}
    assert sum(here.slept) == pytest.approx(0.5 * (1 + 2 + 4 + 8))
    assert max(here.slept) <= 0.25  # so that a stop is heard


def test_what_stays_away_is_given_up_with_its_kind(concurrency: int) -> None:
    here, stage = Clockless(concurrency, transients=3), Failing({1: (99, AWAY)})
    failed = [r for r in here.engine.run(stage, range(3)) if isinstance(r, Failed)]
    assert [(f.key, f.kind, f.attempts, f.reason) for f in failed] == [
        (1, Kind.TRANSIENT, 3, "ConnectionResetError: the network is away")
    ]
    assert "Traceback" in failed[0].error


def test_bad_data_is_tried_twice_without_a_wait() -> None:
    here, stage = Clockless(), Failing({1: (99, ValueError("damaged"))})
    (failed,) = [r for r in here.engine.run(stage, range(3)) if isinstance(r, Failed)]
    assert (failed.kind, failed.attempts, here.slept) == (Kind.INPUT, 2, [])


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (OSError(28, "No space left on device"), 1),
        (OSError(30, "Read-only file system"), 1),
        (PermissionError(13, "Permission denied"), 2),
        (RuntimeError("CUDA error: unspecified launch failure"), 1),  # this process can compute no more
    ],
)
def test_what_every_unit_would_meet_stops_the_run(error: Exception, calls: int, concurrency: int) -> None:
    here, stage = Clockless(concurrency), Failing({2: (99, error)})
    done: list[Any] = []
    with pytest.raises(FatalFault, match="unit 2 met what every other would meet") as fatal:
        collect(here.engine.run(stage, range(20)), done)
    assert [r.key for r in done] == [0, 1]
    assert stage.calls[2] == calls
    assert fatal.value.reason.endswith(str(error))
    assert sum(stage.calls.values()) < 12, "those in flight at most"
    assert len(list(here.engine.run(Failing({}), range(2, 20)))) == 18, "the same engine goes on afterwards"


def test_a_lasting_outage_stops_the_run(concurrency: int) -> None:
    here, stage = Clockless(concurrency, transients=2), Failing({n: (99, AWAY) for n in range(5, 1000)})
    results: list[Any] = []
    with pytest.raises(FatalFault, match="8 units in a row were given up"):
        collect(here.engine.run(stage, range(1000)), results)
    assert len(results) == 5 + Policy(1).respawns + 1


def test_bad_data_alone_never_stops_a_run() -> None:
    here, stage = Clockless(), Failing({n: (99, ValueError("bad")) for n in range(20)})
    assert len(list(here.engine.run(stage, range(21)))) == 21


def test_a_fault_now_and_then_never_stops_a_run(concurrency: int) -> None:
    here, stage = Clockless(concurrency, transients=1), Failing({n: (99, AWAY) for n in range(0, 40, 2)})
    assert len(list(here.engine.run(stage, range(41)))) == 41


def test_too_little_memory_means_alone_and_still_in_order() -> None:
    here, stage = Clockless(3), Failing({n: (1, MemoryError("no room")) for n in (1, 2)})
    assert [r.key for r in here.engine.run(stage, range(9))] == list(range(9))
    assert [stage.beside[n][-1] for n in (1, 2)] == [1, 1]
    assert max(most for each in stage.beside.values() for most in each) > 1, "the others were together"


def endless(taken: list[int]) -> Iterator[int]:
    while True:
        taken.append(len(taken))
        yield taken[-1]


def test_a_stop_takes_no_further_key_and_reports_what_was_begun(concurrency: int) -> None:
    stop, taken, stage = Stop(), [], Failing({})
    run = SerialEngine(1, concurrency).run(stage, endless(taken), stop)
    results = [next(run)]
    stop.request("test", 60.0)
    before = len(taken)
    results += run
    assert len(taken) == before
    assert [r.key for r in results] == list(range(len(results)))
    assert {r.key for r in results} == set(stage.calls), "what was begun is reported, what was not is not"


def test_a_stop_before_the_start_begins_nothing(concurrency: int) -> None:
    stop, taken = Stop(), []
    stop.request("test", 60.0)
    assert list(SerialEngine(1, concurrency).run(Failing({}), endless(taken), stop)) == []
    assert taken == []


def test_a_unit_that_waits_for_its_next_try_is_not_waited_for(concurrency: int) -> None:
    stop, stage = Stop(), Failing({0: (99, AWAY)})

    def sleep(_: float) -> None:
        stop.request("test", 60.0)

    engine = SerialEngine(1, concurrency, Policy(1), sleep, lambda: 0.9)
    results = list(engine.run(stage, range(1), stop))
    assert results == []
    assert stage.calls[0] == 1


def test_what_waits_for_a_thread_is_not_begun_after_a_stop() -> None:
    stop, gate, called = Stop(), threading.Event(), []
    three = threading.Semaphore(0)

    def work(key: int) -> int:
        called.append(key)
        three.release()
        if key:
            gate.wait(60)
        return key

    run = SerialEngine(1, concurrency=2).run(lambda: work, range(99), stop)
    assert next(run).key == 0
    for _ in range(3):
        three.acquire()
    stop.request("test", 60.0)
    gate.set()
    assert [r.key for r in run] == [1, 2]
    assert sorted(called) == [0, 1, 2]


def test_threads_are_left_when_the_grace_is_over() -> None:
    stop, gate, begun = Stop(), threading.Event(), threading.Semaphore(0)

    def work(key: int) -> int:
        begun.release()
        if key:
            gate.wait(60)
        return key

    run = SerialEngine(1, concurrency=2).run(lambda: work, range(9), stop)
    assert next(run).key == 0
    for _ in range(3):
        begun.acquire()  # 0, 1 and 2 are, or were, at work
    stop.request("test", 0.0)
    assert list(run) == []
    assert not gate.is_set(), "nobody let them go"
    gate.set()
