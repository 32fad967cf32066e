"""One attempt at a unit: a record, or the exception as data."""

from __future__ import annotations

import os
import pickle
import threading

import pytest

from cluster.contract import RECORD_LIMIT_BYTES
from cluster.faults import Seen
from cluster.worker import THREADS, Worker, attempt, limit_worker


def test_an_attempt_is_a_record_and_its_time() -> None:
    found = attempt(abs, -3)
    assert not isinstance(found, Seen)
    assert found[0] == 3
    assert found[1] >= 0


def test_a_question_is_answered_and_an_exception_is_data() -> None:
    worker = Worker(1, 0)
    assert worker.ask(pickle.dumps(dict)) == ("ok", {})
    what, told = worker.ask(b"no pickle")
    assert what == "error"
    assert "UnpicklingError" in told


@pytest.mark.parametrize(
    ("work", "name"),
    [
        (lambda key: 1 // key, "ZeroDivisionError"),
        (lambda key: bytes(RECORD_LIMIT_BYTES), "ValueError"),
        (lambda key: lambda: key, "AttributeError"),
    ],
)
def test_an_exception_is_data(work, name: str) -> None:
    found = attempt(work, 0)
    assert isinstance(found, Seen)
    assert found.chain[0].names[0] in (name, "PicklingError")


def test_only_exceptions_are_data() -> None:
    def interrupted(key: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(interrupted, 0)


@pytest.fixture
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*THREADS, "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "before")
    monkeypatch.setattr("cluster.worker.limit_torch_threads", lambda threads: None)


@pytest.mark.usefixtures("_environment")
def test_a_key_that_cannot_be_unpickled_fails_its_unit_and_not_the_worker() -> None:
    worker = Worker(1, 0.0)
    worker._work = abs
    assert worker.do(pickle.dumps(-2))[1][0] == 2
    what, seen = worker.do(b"no pickle")
    assert what == "error"
    assert "Unpickling" in seen.trace
    assert worker.probe() == ("answer", "")


@pytest.mark.usefixtures("_environment")
def test_a_worker_that_starts_says_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def stuck_on_a_mount() -> object:
        inside.set()
        go_on.wait(10)
        raise OSError("stale mount")

    worker = Worker(1, 0.0)
    monkeypatch.setattr("cluster.worker.pickle.loads", lambda factory: stuck_on_a_mount)
    thread = threading.Thread(target=worker.start, args=(b"",))
    thread.start()
    inside.wait(10)
    what, where = worker.probe()
    go_on.set()
    thread.join()
    assert what == "answer"
    assert "in stuck_on_a_mount" in where
    assert worker.probe() == ("answer", "")


@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize(("gpus", "visible"), [(0.0, ""), (0.5, "before")])
def test_a_worker_has_its_threads_and_sees_the_gpus_it_reserved(gpus: float, visible: str) -> None:
    limit_worker(3, gpus)
    assert {os.environ[name] for name in THREADS} == {"3"}
    assert os.environ["CUDA_VISIBLE_DEVICES"] == visible
