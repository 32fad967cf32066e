"""The files of a sample: labels are read as people save them, and designs are checked."""

import json

import pytest

from cluster.storage import Storage
from jobs.sample_design import TABLE, read_design, read_labels, with_earlier_labels, write_sample

POINTS = [
    {"id": f"r-{n}c7", "lon": 127.0, "lat": 37.0, "row": -n, "col": 7, "stratum": "a", "mapped": "a",
     "probability": 0.9, "label": "", "note": ""}
    for n in (3, 5, 8)
]  # fmt: skip
DESIGN = {
    "strata": [{"name": "a", "area_m2": 100.0, "units": 9}],
    "points": [{"id": "r-3c7", "row": -3, "col": 7, "stratum": "a"}],
    "crs": "EPSG:5179",
    "resolution": [10.0, 10.0],
    "phase": [0.0, 0.0],
}


@pytest.mark.parametrize("text", ["id,label,note\nr-3c7, 공장 ,x\n", "id;note;label\r\nr-3c7;x;공장\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_labels_are_read_as_spreadsheets_save_them(text, encoding):
    assert read_labels(text.encode(encoding), "x.csv") == {"r-3c7": {"label": "공장", "note": "x"}}


def test_a_table_without_notes_is_read_and_one_without_labels_is_not():
    assert read_labels(b"label,id\nwater,p1\n", "x.csv") == {"p1": {"label": "water", "note": ""}}
    for text in (b"", b"id,label\n", b"id,class\n1,2\n"):
        with pytest.raises(ValueError, match=r"x\.csv has no columns `id` and `label`, or no rows"):
            read_labels(text, "x.csv")


def test_earlier_labels_go_with_their_points(tmp_path):
    out = Storage(str(tmp_path))
    assert with_earlier_labels(out, POINTS) == (POINTS, 0)
    labelled = [POINTS[0] | {"label": "a", "note": "n"}, POINTS[1]]
    write_sample(out, labelled, DESIGN, blind=True)
    assert b"mapped" not in out.get(TABLE)
    found, kept = with_earlier_labels(out, POINTS)
    assert (found, kept) == ([labelled[0], *POINTS[1:]], 1)
    with pytest.raises(ValueError, match="holds 1 labels of points that are not in the new sample"):
        with_earlier_labels(out, POINTS[1:])


@pytest.mark.parametrize("missing", ["strata", "points", "crs", "resolution"])
def test_what_is_no_design_is_refused(missing):
    assert read_design(json.dumps(DESIGN).encode(), "x.json") == DESIGN
    with pytest.raises(ValueError, match=r"x\.json is no design of a sample"):
        read_design(json.dumps({k: v for k, v in DESIGN.items() if k != missing}).encode(), "x.json")
    with pytest.raises(ValueError, match="no design"):
        read_design(b"[]", "x.json")
