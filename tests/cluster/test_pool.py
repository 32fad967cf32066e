"""The Ray pool under injected failures: processes killed, units hung, iterators closed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.engine import Done, Failed, ResolvedResources, WorkerError
from cluster.pool import Pool, draining_nodes
from tests.cluster.conftest import Faulty, count

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
        {2: ("exit", "raise"), 5: ("raise",)},
    ],
)
def test_killed_workers_are_replaced(tmp_path: Path, faults: dict) -> None:
    results = run(Faulty(str(tmp_path), faults), range(12))
    assert sorted((r.key, r.record["square"]) for r in results) == [(n, n * n) for n in range(12)]


def test_a_unit_that_kills_is_given_up_and_takes_nobody_along(tmp_path: Path) -> None:
    results = run(Faulty(str(tmp_path), {4: ("exit",) * 99}), range(12))
    (failed,) = [r for r in results if isinstance(r, Failed)]
    assert failed.key == 4
    assert failed.error.startswith("4 workers were lost")
    assert sorted(r.key for r in results if isinstance(r, Done)) == [n for n in range(12) if n != 4]


def test_a_hung_unit_is_doubled_at_the_tail(tmp_path: Path) -> None:
    start_s = time.monotonic()
    results = run(Faulty(str(tmp_path), {3: ("sleep:60",)}), range(8))
    assert sorted(r.key for r in results) == list(range(8))
    assert time.monotonic() - start_s < 30


@dataclass(frozen=True)
class DiesAtStart:
    folder: str

    def __call__(self) -> Any:
        count(self.folder, "start")
        os._exit(3)


def test_workers_that_cannot_live_end_the_run(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="workers died and no unit finished in between"):
        run(DiesAtStart(str(tmp_path)), range(3), workers=1)
    assert len(list(tmp_path.iterdir())) == 8  # the respawn budget of one worker, and the first


@dataclass(frozen=True)
class Overlap:
    """Counts how many calls are inside at once, and reports its process."""

    def __call__(self) -> Callable[[int], dict[str, Any]]:
        inside, most, lock = 0, 0, threading.Lock()

        def work(key: int) -> dict[str, Any]:
            nonlocal inside, most
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.05)
            with lock:
                inside -= 1
            environment = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")}
            return {"most": most, "pid": os.getpid(), **environment}

        return work


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
