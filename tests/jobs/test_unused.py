"""What of a folder nobody needs: stores by name, maps by the pointer's order, logs by time."""

import pytest

from cluster.storage import Storage
from jobs import unused as module
from jobs.unused import Store, is_sweep, old_logs, old_maps, store_of


@pytest.mark.parametrize(
    ("folder", "unit", "store"),
    [
        ("infer", "a-5e/r0_c1", "a-5e"),
        ("infer", "a_r3", "a_r3"),
        ("ingest", "a_r3-5e_quality", "a_r3-5e"),
        ("ingest", "a_r3-5e/r10_c2", "a_r3-5e"),
        ("mosaic", "0f3_r-427/c208", "0f3"),
        ("tiles", "SN10-5e_s12", "SN10-5e"),
    ],
)
def test_units_tell_their_store(folder, unit, store):
    assert store_of(folder, unit) == store


@pytest.mark.parametrize(
    ("pointer", "keep", "gone"),
    [
        ({}, 0, []),  # nothing is published: nobody knows what these are
        ({"key": "d"}, 0, []),  # of an earlier version
        ({"key": "d", "earlier": ["b", "a", "c"]}, 0, ["a", "b", "c", "half"]),
        ({"key": "d", "earlier": ["b", "a", "c"]}, 1, ["a", "c", "half"]),
        ({"key": "d", "earlier": ["b", "x", "a", "c"]}, 2, ["c", "half"]),  # x was swept before
        ({"key": "d", "earlier": ["b", "a", "c"]}, 9, ["half"]),
        ({"key": "half", "earlier": ["d", "b", "a", "c"]}, 9, []),
    ],
)
def test_maps_go_from_the_oldest(pointer, keep, gone):
    assert old_maps(pointer, ["c", "a", "half", "d", "b"], keep) == gone


def test_logs_go_from_the_oldest_and_sweeps_do_not_crowd_out_the_others():
    names = [f"2026112{day}T000000Z-{job}-aa" for day in range(5) for job in ("map", "sweep")]
    assert [is_sweep(name) for name in names[:2]] == [False, True]
    assert old_logs(names, 5) == []
    assert old_logs(names, 2) == names[:6]
    assert old_logs(names[1::2], 1) == names[1:8:2]


def test_markers_without_a_store_go_and_those_of_another_kind_stay(tmp_path):
    storage = Storage(str(tmp_path))
    for key in ("a-1/r0_c0", "b-2/r0_c0", "b-2_quality", "c-3_quality", "SN10-4_s0", "SN10-5_s0"):
        storage.put(f"markers/ingest/{key}.json", b"{}")
    for name in ("ingest/a-1", "ingest/d-6", "tiles/SN10-4", "tiles/SN10-7"):
        storage.put(f"{name}.zarr/zarr.json", b"{}")
    found = list(module._stores(storage, "ingest", frozenset({"a-1"})))
    assert found == [
        Store("ingest", "b-2", ("markers/ingest/b-2", "markers/ingest/b-2_quality.json")),
        Store("ingest", "c-3", ("markers/ingest/c-3_quality.json",)),
        Store("ingest", "d-6", ()),
    ]
    assert list(module._stores(storage, "tiles", frozenset({"SN10-4"}))) == [
        Store("tiles", "SN10-5", ("markers/ingest/SN10-5_s0.json",)),
        Store("tiles", "SN10-7", ()),
    ]
