"""The lock of a run: one holder, a heartbeat, and succession where the heart stands still."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path

import pytest

from cluster import lock as module
from cluster.lock import BEAT_S, STILL_S, Holder, Locked, RunLock, latest
from cluster.storage import Storage, StorageError


class Clock:
    """Time that passes only while somebody sleeps; what happens meanwhile is up to the test."""

    def __init__(self, now_s: float = 1_000_000.0) -> None:
        self.now_s, self.meanwhile = now_s, lambda: None

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.meanwhile()


@pytest.fixture
def storage(tmp_path) -> Storage:
    return Storage(str(tmp_path / "lock"))


@pytest.fixture
def far(monkeypatch):
    """Run the test as if holders wrote from another machine than this one."""
    machines = count()
    monkeypatch.setattr(module, "_machine", lambda: f"machine {next(machines)}")


def lock(storage: Storage, clock: Clock, run: str = "b", **more) -> RunLock:
    return RunLock(storage, run, f"sandan map {run}.yaml", clock=clock, sleep=clock.sleep, **more)


def test_the_second_is_refused_and_told_by_whom(storage):
    clock = Clock()
    with lock(storage, clock, "first") as first:
        clock.now_s += 12 * 60
        first.beat()
        with pytest.raises(Locked, match=r"'sandan map first.yaml' on \S+ \(process \d+, run first, for 12 minutes\)"):
            lock(storage, clock).acquire()
    with lock(storage, clock):
        assert latest(storage)[1].run == "b"
    assert latest(storage) == (2, None)


def test_numbers_only_rise(storage):
    clock = Clock()
    for number in range(1, 5):
        with lock(storage, clock, f"run {number}"):
            assert latest(storage)[0] == number
            assert [p.name for p in storage.path().iterdir()] == [f"{number}.json"]


def test_a_holder_whose_process_is_gone_is_succeeded_at_once(storage):
    code = (
        "import os, sys; from cluster.lock import RunLock; from cluster.storage import Storage;"
        "RunLock(Storage(sys.argv[1]), 'dead', 'sandan map dead.yaml').acquire(); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", code, storage.url], cwd=Path(module.__file__).parents[1], check=False)
    assert ended.returncode == -signal.SIGKILL
    clock = Clock()
    mine = lock(storage, clock)
    mine.acquire()
    assert clock.now_s == Clock().now_s, "nobody had to wait"
    assert mine.succeeded.run == "dead"
    mine.release()


def test_an_id_that_another_process_has_by_now_is_not_the_holder(storage):
    clock = Clock()
    first = lock(storage, clock, "first")
    first.acquire()
    holder = latest(storage)[1]
    assert holder.pid == os.getpid()
    assert not holder.is_gone
    assert replace(holder, born=holder.born - 1).is_gone
    assert not replace(holder, born=holder.born - 1, machine="another").is_gone, "nobody knows from here"
    first.release()


@pytest.mark.parametrize("ahead_s", [-3 * STILL_S, -STILL_S, 5.0, 1e6], ids=["long ago", "ago", "ahead", "far ahead"])
def test_a_still_heart_elsewhere_is_succeeded_whatever_the_clocks_say(storage, far, ahead_s):
    clock = Clock()
    storage.create("7.json", text(beat_at=clock.now_s + ahead_s))
    mine = lock(storage, clock)
    mine.acquire()
    assert clock.now_s - Clock().now_s == STILL_S
    assert latest(storage)[0] == 8
    mine.release()


@pytest.mark.parametrize("ahead_s", [-1e6, -STILL_S, -1.0, 1e6])
def test_a_beating_heart_elsewhere_is_not_whatever_the_clocks_say(storage, far, ahead_s):
    clock, beats = Clock(), count(1)
    storage.create("7.json", text(beat_at=clock.now_s + ahead_s))
    clock.meanwhile = lambda: storage.put("7.json", text(beat=next(beats), beat_at=clock.now_s + ahead_s))
    with pytest.raises(Locked, match="on elsewhere"):
        lock(storage, clock).acquire()
    assert latest(storage)[0] == 7


def text(**more) -> bytes:
    return json.dumps(asdict(Holder("x", "sandan map x.yaml", "elsewhere", "its kernel", 1, 2.0, 1e6, **more))).encode()


def test_who_was_taken_for_dead_learns_it_and_leaves_the_lock_alone(storage, far):
    clock, lost = Clock(), []
    first = lock(storage, clock, "first", on_lost=lost.append)
    first.acquire()
    assert first.beat()
    clock.now_s += 2 * STILL_S  # suspended, say
    second = lock(storage, clock, "second")
    second.acquire()
    before = latest(storage)
    assert not first.beat()
    assert len(lost) == 1
    assert "run second" in lost[0]
    first.release()
    assert latest(storage) == before
    second.release()
    assert not lock(storage, clock, "zombie").storage.exists("1.json")


def test_one_waits_until_the_other_is_done(storage):
    clock = Clock()
    first = lock(storage, clock, "first")
    first.acquire()

    def end_at_last() -> None:
        first.beat()
        if clock.now_s > Clock().now_s + 10 * STILL_S:
            first.release()

    clock.meanwhile = end_at_last
    second = lock(storage, clock)
    second.acquire(wait=True)
    assert clock.now_s - Clock().now_s > 10 * STILL_S
    assert second.succeeded is None
    second.release()


def test_a_damaged_lock_is_no_lock(storage):
    storage.put("3.json", b'{"run": "half')
    storage.put("note.txt", b"not ours")
    with lock(storage, Clock()):
        assert latest(storage)[0] == 4
    assert storage.exists("note.txt")


def test_an_outage_does_not_end_the_heartbeat(storage, monkeypatch, caplog):
    beaten, mine = threading.Event(), RunLock(storage, "a", "sandan map a.yaml")
    monkeypatch.setattr(module, "BEAT_S", 0.01)
    turns = count()

    def beat() -> bool:
        if next(turns) < 2:
            raise StorageError("no route to host")
        beaten.set()
        return True

    monkeypatch.setattr(mine, "beat", beat)
    with mine:
        assert beaten.wait(10)
    assert caplog.text.count("no route to host") == 2


def compete(url: str, number: int, barrier: object, out: object) -> None:
    barrier.wait()
    mine = RunLock(Storage(url), f"run {number}", "sandan map x.yaml")
    try:
        mine.acquire()
    except Locked:
        out.put((number, False))
    else:
        out.put((number, True))
    barrier.wait()  # nobody ends before all have tried
    mine.release()


def test_of_many_at_once_one_wins(storage):
    spawn = multiprocessing.get_context("spawn")
    barrier, out = spawn.Barrier(4), spawn.Queue()
    runs = [spawn.Process(target=compete, args=(storage.url, number, barrier, out)) for number in range(4)]
    for run in runs:
        run.start()
    won = [out.get(timeout=60)[1] for _ in runs]
    for run in runs:
        run.join()
    assert sorted(won) == [False] * 3 + [True]
    assert latest(storage)[1] is None


def test_beats_come_often_enough_to_be_seen():
    assert 4 * BEAT_S <= STILL_S


def test_numbers_exceed_what_is_known_and_tell_who_came_later(storage):
    first = lock(storage, Clock(), above=6)
    assert not first.is_mine()
    with first:
        assert first.number == 7
        assert first.is_mine()
        assert storage.create("8.json", b"somebody")
        assert not first.is_mine()
    with lock(storage, Clock(), above=3) as later:
        assert later.number == 9
