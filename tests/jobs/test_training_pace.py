"""The time that a training needs is told from its own epochs."""

import logging
import time

import pytest

from cluster.storage import Storage
from jobs.supervise import Supervision
from jobs.training_pace import FILE, TrainingClock, time_left


class Time:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def trained(storage: Storage, epochs: int, *, begun: int = 0, per_epoch: int = 7, step_s: float = 3.0, of: int = 10):
    """Train from the first step of epoch `begun` on, as steps and epochs are told."""
    now = Time()
    clock = TrainingClock(storage, "key", of, 2, now)
    for epoch in range(begun, epochs):
        for step in range(per_epoch):
            clock.step(epoch * per_epoch + step, per_epoch)
            now.now_s += step_s
        clock.epoch(epoch + 1)
    return clock


def test_before_the_first_epoch_nothing_is_known(tmp_path):
    storage = Storage(str(tmp_path))
    assert time_left(storage, "key", 10).seconds is None
    TrainingClock(storage, "key", 10, 1).epoch(0)  # an epoch that a checkpoint had finished: no step was seen
    assert not storage.exists(FILE)


@pytest.mark.parametrize("begun", [0, 2])
def test_what_is_left_takes_as_long_as_what_was_measured(tmp_path, begun):
    storage = Storage(str(tmp_path))
    trained(storage, 4, begun=begun)
    # The clock starts with the first step that is told, so of n steps n - 1 lie between the first and the last.
    steps = (4 - begun) * 7 - 1
    expected = 6 * 7 * ((steps + 1) * 3.0) / steps
    told = time_left(storage, "key", 10)
    assert told.seconds == pytest.approx(expected)
    assert told.known_from == f"as measured on {steps} steps of it with 2 workers"
    assert time_left(storage, "key", 4).seconds == 0
    assert time_left(storage, "another recipe", 10).seconds is None


@pytest.mark.parametrize("damaged", [b"", b"{", b"[]", b'{"key": "key"}'])
def test_a_damaged_file_tells_nothing(tmp_path, damaged):
    storage = Storage(str(tmp_path))
    storage.put(FILE, damaged)
    assert time_left(storage, "key", 10).seconds is None


def test_a_training_that_falls_behind_is_said_once(tmp_path, monkeypatch, caplog):
    here = Supervision(ends_s=time.monotonic() + 60)
    monkeypatch.setattr("jobs.training_pace.supervision", lambda: here)
    with caplog.at_level(logging.WARNING):
        trained(Storage(str(tmp_path)), 5)
    assert [record.event for record in caplog.records] == ["behind"]
