"""Groups of units: counted without being listed, and compared with the markers of their own folder."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import pytest

from cluster.markers import Markers
from cluster.storage import Storage
from cluster.units import THREADS, Units, grouped, prepared, unfinished


@dataclass(frozen=True)
class Page:
    book: str
    number: int

    @property
    def unit(self) -> str:
        return f"{self.book}/p{self.number}"


def pages(book: str, count: int) -> Units[Page]:
    return Units(book, count, lambda: (Page(book, n) for n in range(count)))


def test_a_group_is_counted_and_made_anew() -> None:
    group = pages("a", 3)
    assert len(group) == 3
    assert list(group) == list(group) == [Page("a", 0), Page("a", 1), Page("a", 2)]


def test_listed_keys_are_grouped_by_their_folders() -> None:
    keys = [*pages("a", 2), *pages("b", 1)]
    assert [(group.folder, list(group)) for group in grouped(keys)] == [("a", keys[:2]), ("b", keys[2:])]
    assert [(group.folder, len(group)) for group in grouped(["x", "y"])] == [("", 2)]
    assert grouped([]) == []


def test_what_is_left_is_a_byte_a_unit(tmp_path: Path) -> None:
    markers = Markers(Storage(str(tmp_path / "units")))
    groups = [pages("a", 4), pages("ab", 2), pages("b", 3)]
    assert unfinished(markers, groups) == [b"\1\1\1\1", b"\1\1", b"\1\1\1"]
    for unit in ("a/p1", "a/p3", "b/p0", "b/p1", "b/p2", "b/p9", "other/p0"):
        markers.create(unit, {})
    left = unfinished(markers, groups)
    assert left == [b"\1\0\1\0", b"\1\1", b"\0\0\0"]
    assert list(compress(groups[0], left[0])) == [Page("a", 0), Page("a", 2)]


def test_a_folder_is_listed_once_and_no_marker_is_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    markers = Markers(Storage(str(tmp_path / "units")))
    for page in pages("a", 50):
        markers.create(page.unit, {})
    asked: list[str] = []
    children = Storage.children

    def counted(self: Storage, prefix: str = "") -> object:
        asked.append(prefix)
        return children(self, prefix)

    monkeypatch.setattr(Storage, "children", counted)
    for name in ("exists", "get", "size", "list"):
        monkeypatch.setattr(Storage, name, lambda *_: pytest.fail("one by one"))
    assert unfinished(markers, [pages("a", 50), pages("b", 50)]) == [bytes(50), b"\1" * 50]
    assert sorted(asked) == ["a", "b"]


def test_items_come_in_order_each_after_its_preparation() -> None:
    ready: set[int] = set()
    for item in prepared(ready.add, range(100)):
        assert item in ready
        assert len(ready) <= item + 1 + THREADS
    assert ready == set(range(100))
    assert list(prepared(ready.add, iter("edcba"))) == list("edcba")


def test_preparations_run_beside_each_other() -> None:
    together = threading.Barrier(THREADS, timeout=30)  # breaks where they would wait for each other
    assert list(prepared(lambda _: together.wait(), range(THREADS))) == list(range(THREADS))


def test_a_failed_preparation_takes_the_place_of_its_item() -> None:
    def prepare(item: int) -> None:
        if item == 2:
            raise OSError("disk full")

    items = prepared(prepare, range(9))
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(OSError, match="disk full"):
        next(items)
