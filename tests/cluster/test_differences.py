"""Two answers for one unit: what counts as a difference, and where it is kept."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.differences import SHOWN, difference, differing, keep, kept
from cluster.storage import Storage

RECORDS = st.dictionaries(
    st.text(max_size=8), st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=3)
)


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ({}, {}, {}),
        ({"n": 1}, {"n": 1.0}, {}),
        ({"n": 1}, {"n": 2}, {"n": [1, 2]}),
        ({"n": 1}, {}, {"n": [1, None]}),
        ({"at": [1, 2]}, {"at": (1, 2)}, {}),
        ({"read_s": 1.0, "peak_memory_bytes": 5}, {"read_s": 2.0, "forward_s": 1.0}, {}),
        ({"bytes_written": 5}, {"bytes_written": 6}, {"bytes_written": [5, 6]}),
        ({"bad": {"r0": "NaN"}}, {"bad": {}}, {"bad": [{"r0": "NaN"}, {}]}),
    ],
)
def test_what_a_unit_made_is_compared_and_not_what_it_cost(first: Any, second: Any, found: Any) -> None:
    assert differing(first, second) == found


@settings(max_examples=50)
@given(RECORDS, RECORDS)
def test_a_record_is_like_itself_and_differences_are_mutual(first: dict, second: dict) -> None:
    assert differing(first, first) == {}
    assert differing(second, first) == {name: pair[::-1] for name, pair in differing(first, second).items()}


def test_a_difference_is_small_whatever_records_are() -> None:
    ((left, right),) = differing({"x": "a" * 10**6}, {"x": list(range(10**6))}).values()
    assert max(len(left), len(right)) < SHOWN + 10


def test_a_marker_without_a_record_differs_in_what_it_lacks() -> None:
    found = difference({}, {"unit": "u", "record": {"n": 1}, "host": "here", "pid": 3})
    assert found is not None
    assert (found["facts"], found["first"]["host"], found["second"]["host"]) == ({"n": [None, 1]}, None, "here")


def test_the_first_difference_of_a_unit_is_kept(tmp_path: Path) -> None:
    run = Storage(str(tmp_path))
    assert kept(run) == {}
    for number in (1, 2):
        keep(run.child("differences/infer").url, {"unit": "b/r0_c1", "facts": {"n": [0, number]}})
    keep(run.child("differences/ingest").url, {"unit": "a", "facts": {}})
    assert list(kept(run)) == ["infer/b/r0_c1", "ingest/a"]
    assert kept(run)["infer/b/r0_c1"]["facts"] == {"n": [0, 1]}


def test_a_unit_is_done_even_if_its_difference_cannot_be_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> bool:
        raise OSError("disk full")

    monkeypatch.setattr("cluster.differences.Markers.create", full)
    with caplog.at_level(logging.WARNING):
        keep(str(tmp_path), {"unit": "u", "facts": {}})
    assert "unit u cannot be kept" in caplog.text
