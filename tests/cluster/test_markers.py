"""A unit is done when its marker exists, and the first marker stands."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.markers import Markers, unit_of
from cluster.storage import Storage


@dataclass(frozen=True)
class Cell:
    row: int
    col: int

    @property
    def unit(self) -> str:
        return f"r{self.row}_c{self.col}"


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
