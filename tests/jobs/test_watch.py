"""Budgets: a table of what exceeds them, and a run that is asked to stop when one is used up."""

import subprocess
import sys
import threading

import pytest

from cluster.stopping import Stop
from cluster.storage import Storage
from jobs import watch
from jobs.config import LimitsConfig
from jobs.watch import RESERVE_BYTES, disk_of, exceeded, run_memory, watching

ROOM = 10**12


@pytest.mark.parametrize(
    ("limits", "elapsed_s", "memory", "free", "total", "words"),
    [
        ({}, 1e9, 10**15, ROOM, ROOM, ""),
        ({"hours": 2}, 7200, 0, ROOM, ROOM, ""),
        ({"hours": 2}, 7201, 0, ROOM, ROOM, "ran for 2.00 hours, limits.hours is 2"),
        ({"memory_gb": 3}, 0, 3 * 10**9, ROOM, ROOM, ""),
        ({"memory_gb": 3}, 0, 3 * 10**9 + 1, ROOM, ROOM, "take 3.0 GB, limits.memory_gb is 3"),
        ({}, 0, 0, RESERVE_BYTES, ROOM, ""),
        ({}, 0, 0, RESERVE_BYTES - 1, ROOM, "500.0 MB left"),
        ({}, 0, 0, 3_000_000, 100_000_000, ""),
        ({}, 0, 0, 1_000_000, 100_000_000, "1.0 MB left, 2.0 MB are kept free"),
        ({"hours": 1, "memory_gb": 1}, 4000, 2 * 10**9, 0, ROOM, "hours"),
    ],
)
def test_what_exceeds_a_budget(limits, elapsed_s, memory, free, total, words):
    said = exceeded(LimitsConfig(**limits), elapsed_s, memory, free, total)
    assert bool(said) == bool(words)
    assert words in said


def test_a_run_is_asked_to_stop_once(tmp_path):
    stop, asked = Stop(), threading.Event()
    request = stop.request
    stop.request = lambda *words: (request(*words), asked.set())
    times = iter([0.0, 1.0, 3600.0, 3601.0, 3602.0])
    with watching(Storage(str(tmp_path)), LimitsConfig(hours=1), stop, every_s=0.001, clock=lambda: next(times)):
        assert asked.wait(10)
    assert "1.00 hours" in stop.reason
    assert next(times) == 3602.0, "nobody looked again"


def test_within_its_budgets_nobody_is_disturbed(tmp_path, monkeypatch):
    looks = threading.Semaphore(0)
    monkeypatch.setattr(watch, "disk_of", lambda _: (looks.release(), (ROOM, ROOM))[1])
    stop = Stop()
    with watching(Storage(str(tmp_path)), LimitsConfig(hours=1000, memory_gb=1e6), stop, every_s=0.001):
        for _ in range(3):
            assert looks.acquire(timeout=10)
    assert not stop.requested


def test_memory_counts_children():
    held = 300_000_000
    code = f"import sys; a = b'x' * {held}; print(1, flush=True); sys.stdin.read()"
    before = run_memory()
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout.readline()
        assert 0.9 * held < run_memory() - before < 1.5 * held
    finally:
        child.communicate()


def test_room_is_that_of_the_nearest_folder_that_exists(tmp_path):
    assert disk_of(Storage(str(tmp_path / "a" / "b")))[1] == disk_of(Storage(str(tmp_path)))[1] > 0
    assert disk_of(Storage("s3://bucket/x"))[0] > 10**18
