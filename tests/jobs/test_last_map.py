"""A map beside the last one: which one that is, and what the table says of both."""

import pytest

from jobs.last_map import last_map, last_map_table


def numbers(seen: int, positive: int, area: float | None = 100.0, index: float | None = None) -> dict:
    seams = {"window": None if index is None else {"index": index, "low": 0.9, "high": 1.1}, "cell": None}
    return {"seen_px": seen, "positive_px": positive, "pixel_area_m2": area, "seams": seams}


FIRST = {
    "key": "a",
    "map": "m1",
    "threshold": 0.5,
    "published": "2024-01-01",
    "numbers": numbers(1000, 10),
    "files": {},
}


def test_the_first_map_has_none_before_it_and_a_map_written_again_keeps_its_own():
    assert last_map({}, "a") is None
    second = {**FIRST, "key": "b", "last": last_map(FIRST, "b")}
    assert second["last"] == {name: value for name, value in FIRST.items() if name != "files"}
    assert last_map(second, "b") == second["last"]
    assert last_map(second, "c")["key"] == "b"
    assert "last" not in last_map(second, "c")


def test_the_table_has_both_maps_and_their_difference():
    last = {**FIRST, "numbers": numbers(1_000_000, 50_000, index=1.5)}
    now = {
        "numbers": numbers(2_000_000, 60_000, index=1.1),
        "last": last,
        "change": {"gained_px": 20_000, "lost_px": 7},
    }
    (table,) = last_map_table(now)
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["mapped, km²"] == (100, 200, 100)
    assert rows["of the class, km²"] == (5, 6, 1)
    assert rows["share of the class"] == pytest.approx((0.05, 0.03, -0.02))
    assert rows["seam index of windows"] == (1.5, 1.1, None)
    assert rows["gained, km²"] == (None, 2, None)
    assert rows["lost, km²"][1] == pytest.approx(7e-4)
    assert "seam index of cells" not in rows
    assert "both saw" in table.caption


def test_degrees_have_pixels_and_what_is_not_known_is_said():
    last = {**FIRST, "numbers": numbers(0, 0, None)}
    now = {"numbers": numbers(50, 5, None), "last": last, "change": {"gained_px": 3, "lost_px": 0}}
    rows = {row[0]: row[1:] for row in last_map_table(now)[0].rows}
    assert rows == {
        "share of the class": (0, 0.1, 0.1),
        "gained, pixels": (None, 3, None),
        "lost, pixels": (None, 0, None),
    }
    assert "not known" in last_map_table({**now, "change": None})[0].caption
    assert last_map_table({**now, "last": None}) == []
