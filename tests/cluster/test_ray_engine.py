"""What the Ray engine adds to the pool: it connects late, decides once, and holds its workers alone."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.engine import Done, Resources, WorkerError
from cluster.ray_engine import RayEngine, threads_limit
from tests.cluster.conftest import CPUS


def test_nothing_is_started_before_it_is_used() -> None:
    RayEngine(Resources(), "no-such-host:1").close()


@pytest.mark.usefixtures("ray_here")
def test_resources_are_decided_against_the_cluster_and_ray_stays() -> None:
    import ray

    with RayEngine(Resources()) as engine:
        assert (engine.resources.workers, engine.resources.threads_per_worker) == (2, CPUS // 2)
        assert engine.facts()["nodes"] == 1
    assert ray.is_initialized()  # who connected first disconnects


@pytest.mark.usefixtures("ray_here")
def test_one_stage_at_a_time() -> None:
    engine = RayEngine(Resources(workers=1, threads_per_worker=1))
    run: Any = engine.run(lambda: abs, range(5))
    next(run)
    with pytest.raises(RuntimeError, match="while a stage runs"):
        engine.ask(int)
    with pytest.raises(RuntimeError, match="while another runs"):
        next(iter(engine.run(lambda: abs, [1])))
    run.close()
    assert engine.ask(int) == 0


def pid(_: int = 0) -> int:
    return os.getpid()


def slow_pid(key: int) -> int:
    time.sleep(0.2)  # so that both workers get some
    return os.getpid()


def leave() -> None:
    os._exit(1)


@dataclass(frozen=True)
class Leave:
    """Ends the process at the first call, where a file says so afterwards."""

    file: str

    def __call__(self) -> int:
        if not Path(self.file).exists():
            Path(self.file).touch()
            os._exit(1)
        return os.getpid()


@dataclass(frozen=True)
class Note:
    """Leaves a file named after its process."""

    folder: str

    def __call__(self) -> None:
        (Path(self.folder) / str(os.getpid())).touch()


@pytest.mark.usefixtures("ray_here")
def test_who_was_asked_works_and_so_do_those_beside(tmp_path: Path) -> None:
    with RayEngine(Resources(workers=2, threads_per_worker=1)) as engine:
        asked = engine.ask(pid, Note(str(tmp_path)))
        assert engine.ask(pid) == asked
        did = {result.record for result in engine.run(lambda: slow_pid, range(8)) if isinstance(result, Done)}
        assert did == {asked, *(int(file.name) for file in tmp_path.iterdir())}
        assert len(did) == 2
        again = {result.record for result in engine.run(lambda: pid, range(4)) if isinstance(result, Done)}
        assert not again & did, "a run ends its workers"


@pytest.mark.usefixtures("ray_here")
def test_a_worker_that_dies_over_a_question_or_waiting_is_replaced(tmp_path: Path) -> None:
    with RayEngine(Resources(workers=1, threads_per_worker=1)) as engine:
        asked = engine.ask(Leave(str(tmp_path / "left")))
        os.kill(asked, signal.SIGKILL)
        (done,) = engine.run(lambda: pid, [1])
        assert isinstance(done, Done)
        assert done.record != asked
        with pytest.raises(WorkerError, match="asked 3 workers"):
            engine.ask(leave)


@pytest.mark.usefixtures("ray_here")
def test_more_workers_than_cpus_share_them() -> None:
    results = list(RayEngine(Resources(workers=CPUS + 1)).run(lambda: abs, range(-3, 0)))
    assert sorted(r.key for r in results) == [-3, -2, -1]


@pytest.mark.parametrize(
    ("nodes", "limit"),
    [
        ([(4, 0)], 4),
        ([(0, 0), (2, 0), (2, 0)], 2),
        ([(0, 0), (32, 0), (16, 4), (12, 2)], 4),
        ([(0, 0)], None),
        ([], None),
    ],
)
def test_a_worker_fits_on_one_node(nodes: list[tuple[int, int]], limit: int | None) -> None:
    assert threads_limit({"cpus": cpus, "gpus": gpus} for cpus, gpus in nodes) == limit
