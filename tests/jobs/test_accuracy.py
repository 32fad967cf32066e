"""Accuracy from labels: the published example through the command line, and the truth of a map that is known."""

import csv
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from jobs import sample
from jobs.accuracy import main
from tests.jobs.published_maps import EXTENT, GRID, publish_made
from tests.jobs.worlds import small_cells
from tests.models.test_stratified import CLASSES, COUNTS
from tiler.pixel_areas import pixel_areas

SHAPE = EXTENT.height, EXTENT.width


@cache
def truth_and_map() -> tuple[np.ndarray, np.ndarray]:
    """Return what is there and logits of it that err for a tenth of all pixels."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    truth = (np.sin(y / 17) + np.cos(x / 23) > 0.8).astype(int)
    wrong = random.random(SHAPE) < 0.1
    return truth, (2.0 * (truth ^ wrong) - 1)[None].astype(np.float32)


@pytest.fixture
def made(tmp_path):
    with small_cells():
        yield publish_made(tmp_path / "out", truth_and_map()[1])


def label(table: Path, how) -> None:
    with table.open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["label"] = how(row)
    with table.open("w") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def by_truth(row: dict) -> str:
    return ("background", "Industrial")[truth_and_map()[0][int(row["row"]) - EXTENT.y0, int(row["col"]) - EXTENT.x0]]


def labelled(out: Path, *words: str, how=by_truth) -> Path:
    assert sample.main([str(out), "--size", "400", *words]) == 0
    label(out / "sample" / "sample.csv", how)
    return out / "sample" / "sample.csv"


def assessed(out: Path, *words: str) -> dict:
    assert main([str(out), *words]) == 0
    return json.loads((out / "accuracy" / "accuracy.json").read_text())


def test_the_example_of_olofsson_et_al_2014_from_files(tmp_path, capsys):
    """The paper's map in small (10 million pixels have their areas, 640 points lie in 640 pixels) and its labels."""
    rows, cols = np.nonzero(COUNTS)
    mapped, reference = rows.repeat(COUNTS[rows, cols]), cols.repeat(COUNTS[rows, cols])
    logits = np.full((4, *SHAPE), 0.0, np.float32)
    logits[mapped, np.arange(640) // 320, np.arange(640) % 320] = 3.0
    pixels = [200_000, 150_000, 3_200_000, 6_450_000]
    strata = [
        {
            "name": name,
            "value": value,
            "units": n,
            "area_m2": n * 900.0,
            "size": int(COUNTS[value].sum()),
            "expected": 1,
        }
        for value, (name, n) in enumerate(zip(CLASSES, pixels, strict=True))
    ]
    places = [(EXTENT.y0 + i // 320, EXTENT.x0 + i % 320) for i in range(640)]
    points = [{"id": f"p{i}", "row": r, "col": c, "stratum": CLASSES[mapped[i]]} for i, (r, c) in enumerate(places)]
    with small_cells():
        out = publish_made(tmp_path / "out", logits, classes=CLASSES)
        design = {"map": "0123456789ab", "threshold": 0.5, "classes": list(CLASSES), "strata": strata, "points": points}
        design |= {"crs": GRID.crs, "resolution": GRID.resolution, "phase": GRID.phase}
        (tmp_path / "s.json").write_text(json.dumps(design))
        lines = ["id,label", *(f"p{i},{CLASSES[k]}" for i, k in enumerate(reference))]
        (tmp_path / "s.csv").write_text("\n".join(lines))
        found = assessed(out, str(tmp_path / "s.csv"))
    assert round(found["overall_accuracy"]["value"], 3) == 0.947
    by_class = {one["class"]: one for one in found["classes"]}
    assert by_class["deforestation"]["mapped_m2"] == pytest.approx(18_000 * 1e4)
    hectares = [one["area_m2"] / 1e4 for one in found["classes"]]
    assert hectares == pytest.approx([21_158, 11_686, 285_770, 581_386], abs=0.6)
    widths = [one["area_m2_95"] / 1e4 for one in found["classes"]]
    assert widths == pytest.approx([6158, 3756, 15_510, 16_282], abs=3)  # strata are finite here
    assert [round(one["users_accuracy"], 2) for one in found["classes"]] == [0.88, 0.73, 0.93, 0.96]
    assert [round(one["producers_accuracy"], 2) for one in found["classes"]] == [0.75, 0.85, 0.93, 0.96]
    assert found["remarks"] == []
    assert "overall accuracy 0.9465" in capsys.readouterr().out.replace("0.9466", "0.9465").replace("0.9467", "0.9465")


@pytest.mark.parametrize("words", [[], ["--sure", "0.75"], ["--blind"]])
def test_estimates_hold_the_truth_of_a_map_that_is_known(made, words):
    found = assessed(made, str(labelled(made, *words)))
    truth, logits = truth_and_map()
    areas, mapped = pixel_areas(GRID, EXTENT), logits[0] > 0
    overall = areas[truth == mapped].sum() / areas.sum()
    assert abs(found["overall_accuracy"]["value"] - overall) < 1.5 * found["overall_accuracy"]["half_width_95"]
    for one, value in zip(found["classes"], (0, 1), strict=True):
        assert one["mapped_m2"] == pytest.approx(areas[mapped == value].sum(), rel=1e-9)
        assert abs(one["area_m2"] - areas[truth == value].sum()) < 1.5 * one["area_m2_95"]
        users = areas[(mapped == value) & (truth == value)].sum() / areas[mapped == value].sum()
        assert abs(one["users_accuracy"] - users) < 1.5 * one["users_accuracy_95"]
    assert sum(one["area_m2"] for one in found["classes"]) == pytest.approx(areas.sum(), rel=1e-9)
    for one in found["classes"]:
        by_stratum = sum(stratum[f"{one['class']}_m2"] for stratum in found["strata"])
        assert by_stratum == pytest.approx(one["area_m2"], rel=1e-9)
    assert sum(sum(v for k, v in row.items() if k != "map") for row in found["matrix"]) == pytest.approx(1)
    with (made / "accuracy" / "classes.csv").open() as file:
        assert [row["class"] for row in csv.DictReader(file)] == ["background", "industrial"]
    page = (made / "accuracy" / "report.html").read_text()
    assert "Error matrix" in page
    assert "industrial" in page


def test_labels_of_one_sample_judge_another_map(made, tmp_path):
    """Another map of the same ground, which does not see all of it: its points are errors, and areas stay."""
    table = labelled(made)
    first = assessed(made, str(table))
    truth, _ = truth_and_map()
    better = (2.0 * truth - 1)[None].astype(np.float32)
    better[:, :, :20] = np.nan
    other = publish_made(tmp_path / "other", better, name="ba9876543210")
    found = assessed(other, str(table))
    assert [one["area_m2"] for one in found["classes"]] == pytest.approx([one["area_m2"] for one in first["classes"]])
    assert found["overall_accuracy"]["value"] > first["overall_accuracy"]["value"]
    assert [one["users_accuracy"] for one in found["classes"]] == [1, 1]
    assert [row["map"] for row in found["matrix"]] == ["background", "industrial", "unmapped"]
    areas = pixel_areas(GRID, EXTENT)[:, 20:]
    assert found["classes"][1]["mapped_m2"] == pytest.approx(areas[truth[:, 20:] == 1].sum(), rel=1e-9)
    assert any("another map" in one for one in found["remarks"])
    assert any("saw nothing" in one for one in found["remarks"])


def test_labels_may_be_values_and_some_may_be_missing(made):
    numbers = {"background": "0", "Industrial": "1"}
    table = labelled(made, how=lambda row: numbers[by_truth(row)])
    whole = assessed(made, str(table))
    data = table.read_bytes()
    label(table, lambda row: row["label"] if int(row["col"]) % 9 else "")
    table.write_bytes(b"\xef\xbb\xbf" + table.read_text().replace(",", ";").encode())  # as a spreadsheet saves it
    part = assessed(made, str(table))
    assert 300 < part["points"] < whole["points"] == 400
    assert any("have no label" in one for one in part["remarks"])
    assert part["overall_accuracy"]["standard_error"] > 0
    table.write_bytes(data)


def test_what_does_not_fit_is_refused(made, tmp_path, capsys):
    table = labelled(made)
    text, design = table.read_text(), (made / "sample" / "sample.json").read_text()

    def refused(says: str, table_text: str = text, design_text: str = design, out: Path = made) -> None:
        (tmp_path / "s.csv").write_text(table_text)
        (tmp_path / "s.json").write_text(design_text)
        capsys.readouterr()
        assert main([str(out), str(tmp_path / "s.csv")]) == 2
        told = capsys.readouterr().err
        assert says in told
        assert told.count("\n") == 1
        assert not (out / "accuracy").exists()

    first = text.splitlines()[1]
    refused("are no classes of the map (the first is 'industriel'", text.replace("Industrial", "industriel", 1))
    refused("did you mean 'industrial'", text.replace("Industrial", "industriel", 1))
    refused("no columns `id` and `label`", text.replace("label", "labels", 1))
    refused("no columns `id` and `label`", "")
    refused("stands there twice", f"{text}{first}\n")
    refused("not in the design", text.replace(first, first.replace("r-", "q-", 1)))
    refused("no point has a label", "id,label\n" + f"{first.split(',')[0]},\n")
    refused(
        "two labelled points for its variance; label more of ['industrial']",
        "\n".join(
            [
                text.splitlines()[0],
                *(
                    line
                    for line in text.splitlines()
                    if "Industrial" not in line and "background" in line.split(",")[7]
                ),
            ]
        ),
    )
    refused("no design of a sample", design_text="{}")
    refused("lies on another grid", design_text=design.replace("EPSG:5179", "EPSG:5186"))
    refused("of the classes", design_text=design.replace('"industrial"', '"urban"'))
    (tmp_path / "s.json").unlink()
    assert main([str(made), str(tmp_path / "s.csv")]) == 2
    assert "s.json does not exist" in capsys.readouterr().err
    assert main([str(made), str(tmp_path / "nothing.csv")]) == 2
    (tmp_path / "s.csv").write_bytes(text.replace("label", "läbel").encode("latin-1"))
    assert main([str(made), str(tmp_path / "s.csv"), "--design", str(made / "sample" / "sample.json")]) == 2
    assert "is not UTF-8" in capsys.readouterr().err
