"""The Ray pool under injected failures: processes killed, units hung, iterators closed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.decisions import Policy
from cluster.engine import Done, Failed, ResolvedResources, Stop, WorkerError
from cluster.faults import Kind
from cluster.pool import Pool, draining_nodes, policy_of
from tests.cluster.stages import DiesAtStart, Faulty, Overlap

pytestmark = pytest.mark.usefixtures("ray_here")


def resources(workers: int = 2, concurrency: int = 2) -> ResolvedResources:
    return ResolvedResources(workers, 0.0, 1, concurrency, 1.0)


def run(factory: Callable, keys: range, **options: int) -> list[Any]:
    return list(Pool(factory, resources(**options)).run(keys))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def gone(pid: int, within_s: float = 10.0) -> bool:
    end_s = time.monotonic() + within_s
    while alive(pid) and time.monotonic() < end_s:
        time.sleep(0.05)
    return not alive(pid)


@pytest.mark.parametrize(
    "faults",
    [
        {0: ("exit",), 1: ("exit",), 7: ("exit", "exit")},
        {2: ("kill", "raise"), 5: ("raise",), 9: ("cuda",)},
    ],
)
def test_killed_workers_are_replaced(tmp_path: Path, faults: dict) -> None:
    results = run(Faulty(str(tmp_path), faults), range(12))
    assert sorted((r.key, r.record["square"]) for r in results) == [(n, n * n) for n in range(12)]


def test_a_unit_that_kills_is_given_up_and_takes_nobody_along(tmp_path: Path) -> None:
    results = run(Faulty(str(tmp_path), {4: ("exit",) * 99}), range(12))
    (failed,) = [r for r in results if isinstance(r, Failed)]
    assert failed.key == 4
    assert (failed.kind, failed.attempts) == (Kind.NODE, 4)
    assert failed.reason.startswith("4 workers were lost")
    assert sorted(r.key for r in results if isinstance(r, Done)) == [n for n in range(12) if n != 4]


def test_a_hung_unit_is_doubled_at_the_tail(tmp_path: Path) -> None:
    start_s = time.monotonic()
    results = run(Faulty(str(tmp_path), {3: ("sleep:60",)}), range(8))
    assert sorted(r.key for r in results) == list(range(8))
    assert time.monotonic() - start_s < 30


def test_a_stopped_worker_is_found_out_and_replaced_even_if_it_is_the_only_one(tmp_path: Path) -> None:
    policy = Policy(1, in_flight=1, quiet_floor_s=0.5, quiet_limit_s=0.5, probe_s=1.0)
    pool = Pool(Faulty(str(tmp_path), {1: ("stop",)}), resources(workers=1, concurrency=1), policy)
    results = list(pool.run(range(4)))
    assert sorted(r.key for r in results if isinstance(r, Done)) == list(range(4))
    assert len({r.record["pid"] for r in results}) == 2


def test_a_busy_worker_that_answers_is_left_alone(tmp_path: Path) -> None:
    policy = Policy(1, in_flight=2, quiet_floor_s=0.2, quiet_limit_s=0.2, probe_s=5.0)
    slow = {n: ("sleep:1.5",) for n in (0, 1)}  # as many as it may work on at once
    results = list(Pool(Faulty(str(tmp_path), slow), resources(workers=1), policy).run(range(2)))
    assert len({r.record["pid"] for r in results}) == 1
    assert len(list(tmp_path.glob("unit-*"))) == 2


def test_a_unit_that_never_ends_is_ended(tmp_path: Path) -> None:
    policy = Policy(1, in_flight=1, unit_limit_s=0.5)
    pool = Pool(Faulty(str(tmp_path), {1: ("sleep:60",) * 9}), resources(workers=1, concurrency=1), policy)
    results = list(pool.run(range(4)))
    (failed,) = [r for r in results if isinstance(r, Failed)]
    assert (failed.key, failed.kind, failed.attempts) == (1, Kind.OVERDUE, 2)
    assert len(results) == 4


def test_a_network_that_comes_back_costs_no_unit(tmp_path: Path) -> None:
    policy = Policy(2, back_off_s=0.2)
    faults = {n: ("away",) * 3 for n in range(6)}
    results = list(Pool(Faulty(str(tmp_path), faults), resources(), policy).run(range(8)))
    assert sorted(r.key for r in results if isinstance(r, Done)) == list(range(8))


def test_a_stop_reports_what_was_begun_and_begins_nothing(tmp_path: Path) -> None:
    stop = Stop()
    results = []
    for result in Pool(Faulty(str(tmp_path), {n: ("sleep:0.3",) for n in range(2, 99)}), resources()).run(
        range(99), stop
    ):
        results.append(result)
        stop.request("test", 60.0)
    begun = {int(path.name.split("-")[1].split(".")[0]) for path in tmp_path.glob("unit-*")}
    assert {r.key for r in results} == begun
    assert len(begun) < 10


def test_units_are_left_when_the_grace_is_over(tmp_path: Path) -> None:
    stop = Stop()
    pids = []
    for result in Pool(Faulty(str(tmp_path), {n: ("sleep:60",) for n in range(1, 9)}), resources()).run(range(9), stop):
        pids.append(result.record["pid"])
        stop.request("test", 0.5)
    assert len(pids) == 1
    assert gone(pids[0])


def test_what_happens_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "cluster.events"):
        run(Faulty(str(tmp_path), {1: ("kill",), 2: ("raise",) * 2}), range(4), workers=1)
    told = {r.event: r for r in caplog.records}  # type: ignore[attr-defined]
    assert set(told) == {"worker_lost", "worker_respawn", "retry", "quarantine"}
    assert (told["quarantine"].unit, told["quarantine"].levelname) == ("2", "ERROR")  # type: ignore[attr-defined]
    assert told["worker_lost"].worker == 0  # type: ignore[attr-defined]


def test_a_worker_holds_as_many_units_as_it_may_work_on_at_once() -> None:
    assert policy_of(ResolvedResources(3, 0.0, 1, 4, 1.0, 9.0)) == Policy(3, in_flight=4, unit_limit_s=9.0)
    assert [r.record["most"] for r in run(Overlap(), range(3), workers=1, concurrency=1)] == [1, 1, 1]


def test_workers_that_cannot_live_end_the_run(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="workers died and no unit finished in between"):
        run(DiesAtStart(str(tmp_path)), range(3), workers=1)
    assert len(list(tmp_path.iterdir())) == 8  # the respawn budget of one worker, and the first


def test_calls_overlap_in_a_worker_which_sees_its_threads_and_no_gpu() -> None:
    records = [r.record for r in run(Overlap(), range(8), workers=1)]
    assert max(r["most"] for r in records) == 2
    assert {(r["OMP_NUM_THREADS"], r["CUDA_VISIBLE_DEVICES"]) for r in records} == {("1", "")}


def test_workers_are_gone_after_a_run_however_it_ends() -> None:
    full = run(Overlap(), range(4))
    pool = Pool(Overlap(), resources())
    part: Iterator[Any] = pool.run(range(100))
    first = next(part)
    part.close()  # type: ignore[attr-defined]
    assert all(gone(r.record["pid"]) for r in [*full, first])


def test_ctrl_c_kills_the_workers() -> None:
    pids: list[int] = []

    def until_interrupted() -> None:
        for result in Pool(Overlap(), resources()).run(range(1000)):
            pids.append(result.record["pid"])
            if len(pids) == 3:
                signal.raise_signal(signal.SIGINT)

    # A shell that starts the tests in the background has told them to ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            until_interrupted()
    finally:
        signal.signal(signal.SIGINT, before)
    assert all(gone(pid) for pid in pids)


def test_a_stage_that_cannot_be_found_over_there_is_said_so() -> None:
    with pytest.raises(WorkerError, match="its factory raised"):
        run(eval, range(1))


def test_nodes_that_drain_can_be_listed() -> None:
    assert draining_nodes() == set()
