"""Tables and remarks of an accuracy assessment: what is not known is said, never made up."""

import json

import numpy as np
import pytest

from cluster.storage import Storage
from jobs.accuracy_results import UNMAPPED, console_table, remarks_of, results_of, write_results
from models.stratified import Stratified, accuracy_of

STRATA = [
    {"name": "background", "units": 900, "area_m2": 90_000.0, "size": 6},
    {"name": "works", "units": 100, "area_m2": 10_000.0, "size": 4},
]
STRATUM = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1])
MAPPED = np.array([0, 0, 0, 0, 2, 1, 1, 1, 1])
THERE = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0])
NAMES = ("background", "works", UNMAPPED)


def results() -> dict:
    sample = Stratified(STRATUM, np.array([90_000.0, 10_000.0]), np.array([900.0, 100.0]))
    found = accuracy_of(sample, MAPPED, THERE, 3)
    return results_of(found, NAMES, {"background": 90_000.0, "works": 10_000.0}, STRATA, STRATUM)


def test_rows_are_classes_of_the_map_and_what_it_did_not_see():
    found = results()
    assert [one["class"] for one in found["classes"]] == ["background", "works"]
    assert [row["map"] for row in found["matrix"]] == list(NAMES)
    assert all(set(row) == {"map", "background", "works"} for row in found["matrix"])
    assert found["matrix"][2]["background"] == pytest.approx(0.9 / 5)
    assert found["classes"][1]["area_m2"] == 0
    assert found["classes"][1]["producers_accuracy"] is None
    assert found["classes"][0]["producers_accuracy"] == pytest.approx(0.9 * 4 / 5)
    assert [one["labelled"] for one in found["strata"]] == [5, 4]
    assert found["strata"][1]["background_m2"] == 10_000


def test_remarks_name_what_is_doubtful():
    told = remarks_of(results(), unlabelled=1, other_map=True, unmapped=1)
    assert len(told) == 5
    assert "1 points have no label" in told[0]
    assert "background, works" in told[1]
    assert "no labelled point is of works" in told[2]
    assert remarks_of({"strata": [], "classes": []}, 0, False, 0) == []


def test_unknown_numbers_are_unknown_everywhere(tmp_path):
    found = results()
    assert "unknown" in console_table(found)
    out = Storage(str(tmp_path))
    write_results(out, found, {"run": "runs/june", "map": "abc", "threshold": 0.5}, ["a remark <b>"])
    told = json.loads(out.get("accuracy.json"))
    assert (told["map"], told["remarks"], told["points"]) == ("abc", ["a remark <b>"], 9)
    page = out.get("report.html").decode()
    assert "a remark &lt;b&gt;" in page
    assert "NaN" not in page
    assert out.get("classes.csv").decode().splitlines()[2].endswith(",,,")
