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


A, B, C, D, HALF, GONE = (letter * 12 for letter in "abcdef")


@pytest.mark.parametrize(
    ("pointer", "keep", "gone"),
    [
        ({}, 0, []),  # nothing is published: nobody knows what these are
        ({"key": D}, 0, []),  # of an earlier version
        ({"key": D, "earlier": [B, A, C]}, 0, [A, B, C, HALF]),
        ({"key": D, "earlier": [B, A, C]}, 1, [A, C, HALF]),
        ({"key": D, "earlier": [B, GONE, A, C]}, 2, [C, HALF]),  # one was swept before
        ({"key": D, "earlier": [B, A, C]}, 9, [HALF]),
        ({"key": HALF, "earlier": [D, B, A, C]}, 9, []),
    ],
)
def test_maps_go_from_the_oldest(pointer, keep, gone):
    assert old_maps(pointer, [C, A, HALF, D, B, "may 2026 (mine)"], keep) == gone


def test_logs_go_from_the_oldest_and_sweeps_do_not_crowd_out_the_others():
    names = [f"2026112{day}T000000Z-{job}-aa" for day in range(5) for job in ("map", "sweep")]
    assert [is_sweep(name) for name in names[:2]] == [False, True]
    assert old_logs(names, 5) == []
    assert old_logs(names, 2) == names[:6]
    assert old_logs(names[1::2], 1) == names[1:8:2]


def test_markers_without_a_store_go_and_those_of_another_kind_stay(tmp_path):
    storage = Storage(str(tmp_path))
    a, b, c, d, four, five, seven = (f"x-{letter * 12}" for letter in "abcd457")
    for key in (f"{a}/r0_c0", f"{b}/r0_c0", f"{b}_quality", f"{c}_quality", f"{four}_s0", f"{five}_s0"):
        storage.put(f"markers/ingest/{key}.json", b"{}")
    for name in (f"ingest/{a}", f"ingest/{d}", "ingest/my-copy", f"tiles/{four}", f"tiles/{seven}"):
        storage.put(f"{name}.zarr/zarr.json", b"{}")
    found = list(module._stores(storage, "ingest", frozenset({a})))
    assert found == [
        Store("ingest", b, (f"markers/ingest/{b}", f"markers/ingest/{b}_quality.json")),
        Store("ingest", c, (f"markers/ingest/{c}_quality.json",)),
        Store("ingest", d, ()),
    ]
    assert list(module._stores(storage, "tiles", frozenset({four}))) == [
        Store("tiles", five, (f"markers/ingest/{five}_s0.json",)),
        Store("tiles", seven, ()),
    ]
