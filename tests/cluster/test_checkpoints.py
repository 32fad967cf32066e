"""Checkpoints: whole or not there whenever a writer dies, checked when read, patient with stores."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster import checkpoints
from cluster.checkpoints import KEPT_CHECKPOINTS, CheckpointFolder, patiently
from cluster.storage import Storage, StorageError


def files(number: int) -> dict[str, bytes]:
    return {"state.pt": b"state %d " % number * 99, "history.json": b"[%d]" % number}


def folder(path: Path, written: int = 0) -> CheckpointFolder:
    made = CheckpointFolder(Storage(str(path)))
    for number in range(1, written + 1):
        made.write(files(number), {"loss": 1 / number})
    return CheckpointFolder(Storage(str(path)))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What would have been slept."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


def test_the_newest_comes_back_and_two_are_kept(tmp_path: Path) -> None:
    assert folder(tmp_path).newest() is None
    made = folder(tmp_path, 5)
    assert made.newest() == (5, files(5))
    assert made.read(4) == files(4)
    assert made.numbers() == [4, 5]
    assert KEPT_CHECKPOINTS == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000004", "000004.json", "000005", "000005.json"]
    made.clear()
    assert list(tmp_path.iterdir()) == []


class Killed(BaseException):
    """Nobody catches it."""


def operations(monkeypatch: pytest.MonkeyPatch, die_at: int) -> list[str]:
    """Let the writer die before its n-th touch of the disk."""
    done: list[str] = []

    def counted(name: str, function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **settings: object) -> object:
            if len(done) == die_at:
                raise Killed
            done.append(name)
            return function(*arguments, **settings)

        return call

    monkeypatch.setattr(Path, "mkdir", counted("mkdir", Path.mkdir))
    monkeypatch.setattr(os, "fsync", counted("fsync", os.fsync))
    monkeypatch.setattr(os, "replace", counted("rename", os.replace))
    monkeypatch.setattr(Storage, "delete", counted("delete", Storage.delete))
    monkeypatch.setattr(checkpoints.shutil, "rmtree", counted("rmtree", checkpoints.shutil.rmtree))
    return done


def test_a_writer_that_dies_at_any_touch_of_the_disk_leaves_a_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for die_at in range(100):
        path = tmp_path / str(die_at)
        made = folder(path, 3)
        with monkeypatch.context() as patch:
            done = operations(patch, die_at)
            try:
                made.write(files(4), {})
            except Killed:
                finished = False
            else:
                finished = True
        found = folder(path).newest()
        assert found in ((3, files(3)), (4, files(4)))
        assert caplog.records == [], "nothing was damaged"
        after = folder(path)
        after.write(files(9), {})
        assert after.newest() == (found[0] + 1, files(9))
        assert 2 <= len(after.numbers()) <= 3, "what a kill kept from being deleted goes next time"
        if finished:
            break
    assert done[:4] == ["mkdir", "fsync", "rename", "fsync"]  # beside, flushed, renamed, the name flushed
    assert done[-2:] == ["delete", "rmtree"]
    assert len(done) == die_at == 14


WRITER = """
import sys
from cluster.checkpoints import CheckpointFolder
from cluster.storage import Storage
made = CheckpointFolder(Storage(sys.argv[1]))
for number in range(1, 10_000):
    made.write({"state.pt": b"%d " % number * 100_000, "history.json": b"%d" % number}, {})
    print(number, flush=True)
"""


def test_a_process_killed_by_the_system_leaves_what_it_had_told(tmp_path: Path) -> None:
    for delay_s in (0.0, 0.003, 0.011):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            told = [int(writer.stdout.readline()) for _ in range(3)][-1]
            time.sleep(delay_s)
            os.kill(writer.pid, signal.SIGKILL)
            told = max([told, *(int(line) for line in writer.stdout.read().split())])
        found = folder(tmp_path).newest()
        assert found is not None
        number = int(found[1]["history.json"])
        assert found[1]["state.pt"] == b"%d " % number * 100_000
        assert told <= number <= told + 1
        folder(tmp_path).clear()


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [truncated, emptied, flipped, Path.unlink])
@pytest.mark.parametrize("name", ["000005/state.pt", "000005/history.json", "000005.json"])
def test_a_damaged_one_is_named_and_the_one_before_it_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None], name: str
) -> None:
    made = folder(tmp_path, 5)
    damage(tmp_path / name)
    if (damage, name) == (Path.unlink, "000005.json"):
        assert made.newest() == (4, files(4))  # as if it had never been
        return
    with caplog.at_level(logging.WARNING):
        assert made.newest() == (4, files(4))
    (warning,) = caplog.messages
    assert f"{tmp_path}/{name}" in warning
    assert "the checkpoint before it is tried" in warning
    made.write(files(6), {})
    assert made.numbers() == [4, 6], "two whole ones are kept; the damaged one goes"
    assert made.newest() == (6, files(6))


def test_where_all_are_damaged_there_is_none_and_a_warning_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = folder(tmp_path, 5)
    emptied(tmp_path / "000004/state.pt")
    (tmp_path / "000005.json").write_text(json.dumps({"files": [1, 2]}))
    with caplog.at_level(logging.WARNING):
        assert made.newest() is None
    assert len(caplog.messages) == 3
    assert caplog.messages[-1] == f"no checkpoint in {tmp_path} can be read: training starts anew"
    made.write(files(6), {})
    assert made.newest() == (6, files(6))


class Outage:
    """A store that fails some times and then answers."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> str:
        if self.left:
            self.left -= 1
            raise StorageError("asked to write s3://b/k; found no route to host")
        return "written"


def test_an_outage_is_waited_for_with_growing_waits(waits: list[float], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert patiently(Outage(3)) == "written"
    assert waits == [1.0, 2.0, 4.0]
    assert caplog.messages[1] == "asked to write s3://b/k; found no route to host; trying again in 2 s"
    waits.clear()
    with pytest.raises(StorageError, match="no route"):
        patiently(Outage(7))
    assert waits == list(checkpoints.BACK_OFF_S)
    assert 30 < sum(waits) < 90


def test_an_outage_while_writing_costs_no_checkpoint(
    tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At whichever file or deletion it begins, and on disks and object stores alike."""
    for start in range(6):
        made, calls = folder(tmp_path / str(start), 2), iter(range(100))

        def failing(function: Callable[..., None], start: int = start, calls: object = calls) -> Callable[..., None]:
            def call(*arguments: object) -> None:
                if start <= next(calls) < start + 2:  # type: ignore[call-overload]
                    raise StorageError("no route to host")
                function(*arguments)

            return call

        with monkeypatch.context() as patch:
            patch.setattr(Storage, "put", failing(Storage.put))
            patch.setattr(Storage, "delete", failing(Storage.delete))
            made.write(files(3), {})
        assert made.newest() == (3, files(3))
        assert made.numbers() == [2, 3]
    assert waits == [1.0, 2.0] * 4  # three files and a deletion


def test_an_outage_that_lasts_is_raised_and_what_was_written_before_stays(
    tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = folder(tmp_path, 3)

    def down(*arguments: object) -> None:
        raise StorageError("no route to host")

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "put", down)
        with pytest.raises(StorageError):
            made.write(files(4), {})
        patch.setattr(Storage, "get", down)
        with pytest.raises(StorageError):  # an older one is no answer to an outage
            made.newest()
    assert made.newest() == (3, files(3))


def test_an_object_store_is_written_whole_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, bytes] = {}
    monkeypatch.setattr(Storage, "put", lambda self, key, data: kept.update({key: data}))
    monkeypatch.setattr(Storage, "get", lambda self, key: kept[key])
    monkeypatch.setattr(Storage, "delete", lambda self, key: kept.pop(key, None))
    monkeypatch.setattr(Storage, "list", lambda self, prefix="": [k for k in kept if k.startswith(f"{prefix}/")])
    monkeypatch.setattr(Storage, "children", lambda self, prefix="": [k for k in kept if "/" not in k])
    made = CheckpointFolder(Storage("s3://bucket/run"))
    for number in (1, 2, 3):
        made.write(files(number), {})
    assert made.newest() == (3, files(3))
    assert sorted(kept) == [f"00000{n}{tail}" for n in (2, 3) for tail in (".json", "/history.json", "/state.pt")]
    kept["000003/state.pt"] = b""
    assert made.newest() == (2, files(2))
