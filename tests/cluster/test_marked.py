"""Marked stages: the marker comes last, the first one stands, and who differs from it says so."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.differences import DIFFERS
from cluster.marked import FOUND, Marked
from cluster.markers import Markers
from cluster.storage import Storage


@dataclass(frozen=True)
class Cell:
    row: int
    col: int

    @property
    def unit(self) -> str:
        return f"r{self.row}_c{self.col}"


@dataclass(frozen=True)
class Digests:
    """Returns another digest at every call, and has a device."""

    device: str = "cpu x 1"

    def __call__(self) -> Any:
        class Work:
            device = self.device
            calls = 0

            def __call__(self, key: Cell) -> dict[str, Any]:
                if key.row < 0:
                    raise RuntimeError("no such row")
                self.calls += 1
                return {"digest": f"d{self.calls}"}

        return Work()


def nothing() -> Callable[[str], None]:
    return lambda key: None


def test_marked_work_leaves_a_marker_with_facts(tmp_path: Path) -> None:
    stage = pickle.loads(pickle.dumps(Marked(Digests(), str(tmp_path), {"contract": 3})))
    record = stage()(Cell(2, 5))
    marker = Markers(Storage(str(tmp_path))).read("r2_c5")
    assert record == marker["record"] == {"digest": "d1"}
    assert marker["contract"] == 3
    assert marker["device"] == "cpu x 1"
    assert marker["pid"] == os.getpid()
    assert marker["seconds"] >= 0
    assert set(marker) == {"contract", "unit", "record", "seconds", "device", "host", "pid", "finished"}


def test_work_that_raises_leaves_none(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no such row"):
        Marked(Digests(), str(tmp_path))()(Cell(-1, 0))
    assert Markers(Storage(str(tmp_path))).done() == set()


@dataclass(frozen=True)
class Overtaken:
    """While it works, somebody else finishes the unit, and answers ``first``."""

    folder: str
    first: dict[str, Any]
    second: dict[str, Any]

    def __call__(self) -> Callable[[Cell], dict[str, Any]]:
        def slow(key: Cell) -> dict[str, Any]:
            first = {"record": self.first, "host": "node-7", "pid": 11, "device": "cuda", "finished": "then"}
            Markers(Storage(self.folder)).create(key.unit, first)
            return self.second

        return slow


COSTS = {"read_s": 1.0, "peak_memory_bytes": 7}


def test_a_second_copy_with_the_same_answer_is_nothing_to_tell(tmp_path: Path) -> None:
    first = {"windows": 3, "digest": "d0", "corner": [1, 2], **COSTS}
    second = {**first, "corner": (1, 2), "read_s": 9.0, "peak_memory_bytes": 8, "wait_s": 0.0}
    marked = Marked(Overtaken(str(tmp_path / "m"), first, second), str(tmp_path / "m"), {}, str(tmp_path / "d"))
    assert marked()(Cell(0, 1)) == first
    assert not (tmp_path / "d").exists()


def test_a_second_copy_with_another_answer_gets_the_first_record_and_says_so(tmp_path: Path) -> None:
    first, second = {"digest": "d0", "windows": 3, **COSTS}, {"digest": "d1", "windows": 3, "clamped": 1}
    marked = Marked(Overtaken(str(tmp_path / "m"), first, second), str(tmp_path / "m"), {}, str(tmp_path / "d"))
    record = marked()(Cell(0, 1))
    found = record[DIFFERS]
    assert record == {**first, DIFFERS: found}
    assert Markers(Storage(str(tmp_path / "m"))).read("r0_c1")["record"] == first
    assert found["facts"] == {"clamped": [None, 1], "digest": ["d0", "d1"]}
    assert found["first"] == {"host": "node-7", "pid": 11, "device": "cuda", "finished": "then"}
    assert found["second"]["pid"] == os.getpid()
    assert Markers(Storage(str(tmp_path / "d"))).read("r0_c1") == found


def test_a_difference_without_a_place_is_told_by_the_record(tmp_path: Path) -> None:
    record = Marked(Overtaken(str(tmp_path), {"n": 1}, {"n": 2}), str(tmp_path))()(Cell(0, 1))
    assert record[DIFFERS]["facts"] == {"n": [1, 2]}
    assert [path.name for path in tmp_path.iterdir()] == ["r0_c1.json"]


def test_what_is_done_already_is_not_done_again(tmp_path: Path) -> None:
    """As a run finds it that joined another one, or a late unit's second copy."""
    work = Marked(Digests(), str(tmp_path))()
    found = {"digest": "d1", FOUND: True}
    assert [work(Cell(0, 1)) for _ in range(3)] == [{"digest": "d1"}, found, found]
    assert work(Cell(0, 2)) == {"digest": "d2"}, "the work was called twice in all"


def test_nothing_to_record_is_fine(tmp_path: Path) -> None:
    assert Marked(nothing, str(tmp_path))()("unit-1") == {}
