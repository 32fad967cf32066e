"""The progress that a run leaves in its folder while it works."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from cluster.storage import Storage, StorageError
from jobs import progress_file as module
from jobs.config import RunConfig
from jobs.progress_file import progress_of, progress_text, shown
from jobs.supervise import supervised


@pytest.fixture
def config(tmp_path) -> RunConfig:
    return RunConfig.model_validate({"out": str(tmp_path / "out"), "scenes": "s"})


def wait_until(true) -> None:
    until = time.monotonic() + 20
    while not true() and time.monotonic() < until:
        time.sleep(0.005)
    assert true()


def test_it_is_there_from_the_start_follows_and_says_how_it_ended(config, monkeypatch):
    monkeypatch.setattr(module, "EVERY_S", 0.01)
    storage = Storage(config.out)
    assert progress_of(storage) is None
    with supervised("map", config, "sandan map x.yaml", join=False) as here:
        with shown(storage, 7, "infer", unit="windows", restored=2) as progress:
            wait_until(lambda: progress_of(storage))
            found = progress_of(storage)
            assert (found["run"], found["state"], found["stage"]) == (here.run, "running", "infer")
            progress.advance(3, failed=1)
            wait_until(lambda: progress_of(storage)["done"] == 5)
            progress.advance(2)
        found = progress_of(storage)
        assert (found["state"], found["done"], found["total"], found["failed"]) == ("done", 7, 7, 1)
        with pytest.raises(KeyError), shown(storage, 7, "mosaic", unit="cells"):
            raise KeyError("cell")
        assert (progress_of(storage)["stage"], progress_of(storage)["state"]) == ("mosaic", "stopped")
        with shown(storage, 7, "mosaic", unit="cells") as progress:
            progress.advance(2)
            here.stop.request("SIGTERM", 7.0)  # units that were begun are finished, and the stage ends without an error
        assert (progress_of(storage)["done"], progress_of(storage)["state"]) == (2, "stopped")
    assert "progress" not in {thread.name for thread in threading.enumerate()}


def test_readers_never_see_a_half(config, monkeypatch):
    monkeypatch.setattr(module, "EVERY_S", 0.0)
    storage = Storage(config.out)
    supervision = supervised("map", config, "sandan map x.yaml", join=False)
    with supervision, shown(storage, 10**6, "infer", unit="windows") as progress:
        wait_until(lambda: progress_of(storage))
        for _ in range(200):
            progress.advance(1000)
            assert json.loads(storage.get("progress.json"))["stage"] == "infer"


def test_nothing_is_kept_outside_of_a_run_nor_by_one_that_helps(config, tmp_path):
    storage = Storage(config.out)
    with shown(storage, 7, "infer", unit="windows"):
        pass
    with supervised("map", config, "sandan map x.yaml", join=False) as here:
        here.joins = True
        with shown(storage, 7, "infer", unit="windows"):
            pass
    assert not storage.exists("progress.json")


def test_a_store_that_takes_nothing_is_said_once_and_stops_nobody(config, monkeypatch, capsys):
    tried = []

    def refuse(self, key, data):
        tried.append(key)
        raise StorageError("asked to write; found 403 for password=hunter2")

    monkeypatch.setattr(module, "EVERY_S", 0.0)
    with supervised("map", config, "sandan map x.yaml", join=False), monkeypatch.context() as patch:
        patch.setattr(Storage, "put", refuse)
        with shown(Storage(config.out), 7, "infer", unit="windows") as progress:
            wait_until(lambda: len(tried) > 3)
            progress.advance(7)
    told = capsys.readouterr().err
    assert told.count("progress.json cannot be written") == 1
    assert "hunter2" not in told


def test_a_store_that_hangs_keeps_no_run_from_ending(config, monkeypatch):
    hung = threading.Event()
    monkeypatch.setattr(module, "LAST_S", 0.01)
    with supervised("map", config, "sandan map x.yaml", join=False), monkeypatch.context() as patch:
        patch.setattr(Storage, "put", lambda self, key, data: hung.wait())
        with shown(Storage(config.out), 7, "infer", unit="windows"):
            pass
        hung.set()


def test_it_works_on_an_object_store(bucket):
    config = RunConfig.model_validate({"out": bucket, "scenes": "s"})
    with supervised("map", config, "sandan map x.yaml", join=False), shown(Storage(bucket), 3, "infer", unit="shards"):
        pass
    assert progress_of(Storage(bucket))["state"] == "done"


def test_a_line_for_people():
    facts = {
        **{"run": "r", "state": "running", "stage": "infer", "unit": "windows", "done": 60, "total": 100},
        **{"restored": 50, "failed": 0, "elapsed_s": 4.0, "rate_per_s": 2.5, "left_s": 16.0},
        "updated": "2026-11-22T10:00:00+00:00",
    }
    now = datetime(2026, 11, 22, 10, tzinfo=UTC) + timedelta(seconds=3)
    assert progress_text(facts, now) == "infer   60/100 windows  60 %  2.5/s  left 0:16  (running, 3 s ago)"
    facts |= {"failed": 2, "state": "stopped"}
    assert progress_text(facts, now).endswith("left 0:16  2 failed  (stopped, 3 s ago)")
