"""The Ray pool under injected failures: processes killed, units hung, iterators closed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.decisions import Policy
from cluster.differences import kept
from cluster.engine import Done, Failed, ResolvedResources, Stop, WorkerError
from cluster.faults import Kind
from cluster.marked import Marked
from cluster.markers import Markers
from cluster.pool import Pool, policy_of
from cluster.storage import Storage
from cluster.worker import Worker
from tests.cluster.conftest import CPUS
from tests.cluster.stages import DiesAtStart, Faulty, Overlap, count

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
    asked = ResolvedResources(3, 0.0, 1, 4, 1.0, 9.0, 5.0)
    assert policy_of(asked) == Policy(3, in_flight=4, unit_limit_s=9.0, start_limit_s=5.0)
    assert [r.record["most"] for r in run(Overlap(), range(3), workers=1, concurrency=1)] == [1, 1, 1]


@dataclass(frozen=True)
class Undecided:
    """Answers with the number of the attempt; the first attempt at unit ``a``, and all at ``b``, are slow."""

    folder: str

    def __call__(self) -> Callable[[str], dict[str, Any]]:
        def work(key: str) -> dict[str, Any]:
            attempt = count(self.folder, f"unit-{key}")
            time.sleep({"a": (2.0, 0.0)[min(attempt, 1)], "b": 4.0}.get(key, 0.01))
            return {"attempt": attempt if key == "a" else 0, "work_s": float(attempt)}

        return work


def test_two_copies_with_different_answers_are_told_and_the_first_one_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = Storage(str(tmp_path / "run"))
    (tmp_path / "tries").mkdir()
    urls = (storage.child(f"{folder}/infer").url for folder in ("markers", "differences"))
    markers_url, differences_url = urls
    stage = Marked(Undecided(str(tmp_path / "tries")), markers_url, {}, differences_url)
    policy = Policy(2, hedge_factor=1.0, hedge_floor_s=0.2)
    with caplog.at_level("INFO", "cluster.events"):
        results = list(Pool(stage, resources(), policy).run(["c", "d", "e", "a", "b"]))
    assert sorted(r.key for r in results) == ["a", "b", "c", "d", "e"]
    assert {r.key: r.record["attempt"] for r in results}["a"] == 1, "the second copy was first"
    assert Markers(Storage(markers_url)).read("a")["record"]["attempt"] == 1
    assert "hedge" in {r.event for r in caplog.records}  # type: ignore[attr-defined]
    told = [r for r in caplog.records if r.event == "differs"]  # type: ignore[attr-defined]
    assert [(r.unit, r.facts["facts"]) for r in told] == [("a", {"attempt": [1, 0]})]  # type: ignore[attr-defined]
    assert kept(storage) == {"infer/a": told[0].facts}  # type: ignore[attr-defined]


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


@dataclass(frozen=True)
class HangsAtStart:
    """Its first ``times`` starts never end."""

    folder: str
    times: int

    def __call__(self) -> Callable[[int], int]:
        if count(self.folder, "start") < self.times:
            time.sleep(600)
        return abs


def test_a_worker_that_hangs_at_its_start_is_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pool = Pool(HangsAtStart(str(tmp_path), 1), resources(workers=1), Policy(1, start_limit_s=3.0))
    with caplog.at_level("INFO", "cluster.events"):
        results = list(pool.run(range(3)))
    assert sorted(r.key for r in results if isinstance(r, Done)) == [0, 1, 2]
    told = {r.event: r for r in caplog.records}  # type: ignore[attr-defined]
    assert set(told) == {"slow_start", "worker_lost", "worker_respawn"}
    assert ", in start\n" in told["slow_start"].error  # type: ignore[attr-defined]
    assert told["worker_lost"].kind == "start"  # type: ignore[attr-defined]


class Stuck(Worker):
    """Never leaves its constructor: an import from a mount that does not answer."""

    def __init__(self, threads: int, gpus: float) -> None:
        time.sleep(600)


def test_a_worker_that_never_leaves_its_constructor_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.hiring.Worker", Stuck)
    monkeypatch.setattr("cluster.pool._STATE_POLL_S", 0.5)
    pool = Pool(Overlap(), resources(workers=1), Policy(1, start_limit_s=0.5, starts=1))
    with pytest.raises(
        WorkerError, match=r"1 workers hung before they were ready; .*did not answer(.|\n)*start_minutes"
    ):
        list(pool.run(range(3)))


def test_to_wait_for_a_machine_is_not_to_hang(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    everything = ResolvedResources(2, 0.0, 1, 1, float(CPUS))  # a second one fits when the first has gone
    policy = Policy(2, in_flight=1, start_limit_s=2.0, hedge_floor_s=99.0)
    with caplog.at_level("INFO", "cluster.events"):
        results = list(Pool(Faulty(str(tmp_path), {0: ("sleep:3.5",)}), everything, policy).run(range(2)))
    assert len(results) == 2
    assert not caplog.records
