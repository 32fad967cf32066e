"""Samples to label: drawn once and again the same, in strata that add up to the map; labels are never lost."""

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pyproj
import pytest

from jobs.sample import main
from tests.jobs.published_maps import EXTENT, GRID, publish_made
from tests.jobs.worlds import small_cells
from tiler.pixel_areas import pixel_areas


def logits() -> np.ndarray:
    found = np.random.default_rng(0).normal(-2, 2, (1, EXTENT.height, EXTENT.width)).astype(np.float32)
    found[:, 30:60, 100:180] = np.nan
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with small_cells():
        yield publish_made(tmp_path_factory.mktemp("sample") / "out", logits())


def drawn(out, *words: str, folder: str = "sample") -> tuple[list[dict], dict]:
    assert main([str(out), *words]) == 0
    place = out / folder
    with (place / "sample.csv").open() as file:
        return list(csv.DictReader(file)), json.loads((place / "sample.json").read_text())


def test_points_lie_in_their_strata_and_strata_are_the_map(made, tmp_path):
    rows, design = drawn(
        made, "--size", "120", "--least", "30", "--out", str(tmp_path / "sample"), folder=str(tmp_path / "sample")
    )
    values = np.where(np.isnan(logits()[0]), 255, logits()[0] >= 0)
    areas = pixel_areas(GRID, EXTENT)
    assert [one["name"] for one in design["strata"]] == ["background", "industrial"]
    for value, one in enumerate(design["strata"]):
        assert one["units"] == (values == value).sum()
        assert one["area_m2"] == pytest.approx(areas[values == value].sum(), rel=1e-9)
    assert sum(one["size"] for one in design["strata"]) == len(rows) == 120
    assert min(one["size"] for one in design["strata"]) >= 30
    to_map = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:5179", always_xy=True)
    for row in rows:
        y, x = int(row["row"]) - EXTENT.y0, int(row["col"]) - EXTENT.x0
        assert row["mapped"] == row["stratum"] == ("background", "industrial")[values[y, x]]
        assert (row["label"], row["note"]) == ("", "")
        x_m, y_m = to_map.transform(float(row["lon"]), float(row["lat"]))
        assert (x_m, y_m) == (pytest.approx(float(row["x"]), abs=0.01), pytest.approx(float(row["y"]), abs=0.01))
        found = GRID.pixels.rowcol(np.array(x_m), np.array(y_m))
        assert tuple(np.floor(found).astype(int).tolist()) == (int(row["row"]), int(row["col"]))
    assert len({row["id"] for row in rows}) == 120
    first = [row["stratum"] for row in rows[:60]]
    assert 5 < first.count("industrial") < 55  # in an order that tells nothing of strata
    told = json.loads((tmp_path / "sample" / "sample.geojson").read_text())
    assert [one["properties"]["id"] for one in told["features"]] == [row["id"] for row in rows]
    table = pq.read_table(tmp_path / "sample" / "sample.parquet")
    assert table.column("id").to_pylist() == [row["id"] for row in rows]


def test_the_same_seed_is_the_same_sample_and_more_points_hold_the_fewer(made, tmp_path):
    a, _ = drawn(made, "--size", "100", "--out", str(tmp_path / "a"), folder=str(tmp_path / "a"))
    b, _ = drawn(made, "--size", "100", "--out", str(tmp_path / "b"), folder=str(tmp_path / "b"))
    c, _ = drawn(made, "--size", "150", "--out", str(tmp_path / "c"), folder=str(tmp_path / "c"))
    d, _ = drawn(made, "--size", "100", "--seed", "1", "--out", str(tmp_path / "d"), folder=str(tmp_path / "d"))
    assert a == b
    ids = [{row["id"] for row in rows} for rows in (a, c, d)]
    assert ids[0] < ids[1]
    assert ids[0] != ids[2]


def test_labels_stay_when_more_points_are_drawn_and_are_never_lost(made, capsys):
    rows, _ = drawn(made, "--size", "100")
    rows[7]["label"], rows[7]["note"] = "industrial", "크레인"
    with (made / "sample" / "sample.csv").open("w") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    before = (made / "sample" / "sample.csv").read_bytes()
    more, _ = drawn(made, "--size", "140")
    assert "1 labels of the sample that was there are kept" in capsys.readouterr().out
    kept = next(row for row in more if row["id"] == rows[7]["id"])
    assert (kept["label"], kept["note"]) == ("industrial", "크레인")
    assert (made / "sample" / "sample.csv").read_bytes() != before
    before = (made / "sample" / "sample.csv").read_bytes()
    assert main([str(made), "--size", "100", "--seed", "9"]) == 2
    assert "holds 1 labels of points that are not in the new sample" in capsys.readouterr().err
    assert (made / "sample" / "sample.csv").read_bytes() == before


def test_strata_of_class_and_certainty(made, tmp_path):
    folder = str(tmp_path / "sure")
    rows, design = drawn(made, "--sure", "0.8", "--size", "200", "--least", "20", "--out", folder, folder=folder)
    names = ["background, sure", "background, unsure", "industrial, sure", "industrial, unsure"]
    assert [one["name"] for one in design["strata"]] == names
    assert [one["value"] for one in design["strata"]] == [0, 0, 1, 1]
    for row in rows:
        assert (float(row["probability"]) >= 0.7999) == row["stratum"].endswith(", sure")
        assert row["stratum"].startswith(row["mapped"])


def test_a_blind_table_does_not_tell_what_the_map_says(made, tmp_path):
    rows, design = drawn(made, "--size", "100", "--blind", "--out", str(tmp_path / "b"), folder=str(tmp_path / "b"))
    assert {"stratum", "mapped", "probability"}.isdisjoint(rows[0])
    assert "industrial" not in (tmp_path / "b" / "sample.geojson").read_text()
    assert len(design["points"]) == 100


def test_the_size_follows_from_the_error_that_is_wanted(made, tmp_path, capsys):
    words = ["--expected", "industrial=0.6", "--expected", "background=0.95", "--standard-error", "0.02", "--dry-run"]
    assert main([str(made), *words, "--out", str(tmp_path / "x")]) == 0
    told = capsys.readouterr().out.splitlines()
    values = logits()[0][~np.isnan(logits()[0])] >= 0
    w = values.mean()
    expected = ((w * 0.24**0.5 + (1 - w) * 0.0475**0.5) / 0.02) ** 2
    assert int(told[-1].split()[-1]) == pytest.approx(expected, abs=1.1)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--expected", "forest=0.8"], "are no classes of the map"),
        (["--expected", "industrial"], "give CLASS=ACCURACY"),
        (["--expected", "industrial=1.5"], "not above 1"),
        (["--size", "60"], "ask for more"),
        (["--size", "99999999"], "ask for fewer"),
        (["--least", "1"], "two points"),
        (["--sure", "1.5"], "between 0 and 1"),
        (["--standard-error", "0"], "above 0"),
        (["--seed", "-1"], "0 or more"),
        (["--size", "0"], "1 or more"),
    ],
)
def test_what_cannot_be_is_refused(made, tmp_path, capsys, words, says):
    assert main([str(made), *words, "--out", str(tmp_path / "x")]) == 2
    told = capsys.readouterr().err
    assert says in told
    assert told.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_a_map_that_saw_nothing_has_no_sample(tmp_path, capsys):
    with small_cells():
        publish_made(tmp_path, np.full((1, EXTENT.height, EXTENT.width), np.nan, np.float32))
        assert main([str(tmp_path)]) == 2
    assert "nothing to sample" in capsys.readouterr().err


def test_help_tells_how(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "sandan accuracy" in capsys.readouterr().out
