"""A unit is done when its marker exists, and the first marker stands."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.markers import FOUND, Marked, Markers, unit_of
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


@pytest.fixture
def markers(tmp_path: Path) -> Markers:
    return Markers(Storage(str(tmp_path / "units")))


def test_first_record_stands(markers: Markers) -> None:
    assert markers.done() == set()
    assert markers.create("a.1", {"n": 1})
    assert not markers.create("a.1", {"n": 2})
    assert markers.create("b", {"name": "산단"})
    assert markers.done() == {"a.1", "b"}
    assert markers.read("a.1") == {"n": 1}
    assert markers.read_all() == {"a.1": {"n": 1}, "b": {"name": "산단"}}
    assert pickle.loads(pickle.dumps(markers)) == markers


def test_other_files_are_no_units(markers: Markers) -> None:
    for key in ("deep/a.json", "a.txt"):
        markers.storage.put(key, b"")
    assert markers.done() == set()


def test_units_of_a_folder_are_told_by_its_own_listing(markers: Markers) -> None:
    assert markers.create("scene/r0_c1", {"n": 1})
    assert not markers.create("scene/r0_c1", {"n": 2})
    markers.create("scene-2/r0_c1", {"n": 3})
    markers.create("scene_quality", {"n": 4})
    assert (markers.done("scene"), markers.done()) == ({"scene/r0_c1"}, {"scene_quality"})
    assert markers.done("nothing") == set()
    assert markers.read("scene/r0_c1") == {"n": 1}
    assert markers.read_all("scene-2") == {"scene-2/r0_c1": {"n": 3}}


def test_unfinished_and_damaged_differ(markers: Markers) -> None:
    with pytest.raises(FileNotFoundError):
        markers.read("a")
    for damage in (b"{half", b"3"):
        markers.storage.put("a.json", damage)
        with pytest.raises(ValueError, match="delete it and run again"):
            markers.read("a")


def test_numbers_that_are_no_json_are_refused(markers: Markers) -> None:
    with pytest.raises(ValueError, match="JSON"):
        markers.create("a", {"x": float("nan")})
    assert markers.done() == set()


@pytest.mark.parametrize("key", ["", "a/b/c", "/b", "a/", "a/.b", "../x", ".hidden", "a b", "x" * 201, 7, ("a",)])
def test_unsafe_units_are_refused(key: Any) -> None:
    with pytest.raises(ValueError, match="unit"):
        unit_of(key)


def test_keys_name_their_units() -> None:
    assert unit_of(Cell(3, 11)) == "r3_c11"
    assert unit_of("S2A_T52SDG/r0_c1") == "S2A_T52SDG/r0_c1"
    assert unit_of("S2A_T52SDG.2024-05-01") == "S2A_T52SDG.2024-05-01"


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


def test_a_second_copy_gets_the_first_record_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Both began before either was done."""

    class Overtaken(Digests):
        def __call__(self) -> Callable[[Cell], dict[str, str]]:
            work = super().__call__()

            def slow(key: Cell) -> dict[str, str]:
                Markers(Storage(str(tmp_path))).create(key.unit, {"record": {"digest": "d0"}})
                return work(key)

            return slow

    with caplog.at_level(logging.WARNING):
        assert Marked(Overtaken(), str(tmp_path))()(Cell(0, 1)) == {"digest": "d0"}
    assert "finished twice with different digests: d0, then d1" in caplog.text


def test_what_is_done_already_is_not_done_again(tmp_path: Path) -> None:
    """As a run finds it that joined another one, or a late unit's second copy."""
    work = Marked(Digests(), str(tmp_path))()
    found = {"digest": "d1", FOUND: True}
    assert [work(Cell(0, 1)) for _ in range(3)] == [{"digest": "d1"}, found, found]
    assert work(Cell(0, 2)) == {"digest": "d2"}, "the work was called twice in all"


def test_nothing_to_record_is_fine(tmp_path: Path) -> None:
    assert Marked(nothing, str(tmp_path))()("unit-1") == {}
