"""Classes without an image, and with one: said by whatever begins with a data set, and an error of none of it."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from cluster.serial import SerialEngine
from jobs import curate, ingest
from jobs.recipe_config import DataConfig
from jobs.shell import DONE
from jobs.training_data import plan_data
from tests.tiler.images_for_tests import picture, save
from tiler.tile_store import TileStore

EMPTY = ("empty", "text")


@pytest.fixture
def run(tmp_path) -> Path:
    """Three images of a, one of b, and two folders that hold none."""
    for index, name in enumerate(("a/1.png", "a/2.png", "a/3.png", "b/1.png")):
        save(tmp_path / "in" / name, picture(20, 26, index))
    (tmp_path / "in/empty").mkdir()
    (tmp_path / "in/text").mkdir()
    (tmp_path / "in/text/readme.txt").write_text("images are to come")
    (tmp_path / "in/.hidden").mkdir()
    dataset = {"layout": "images", "root": str(tmp_path / "in"), "classes": "folder", "side_px": 32}
    settings = {"out": str(tmp_path / "out"), "dataset": dataset, "engine": {"kind": "serial", "threads_per_worker": 1}}
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def told(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("class ")]


def test_ingest_training_and_curation_name_empty_classes_and_those_of_one_image(run, capsys):
    wanted = [
        "class b has one image: it cannot both train and be judged",
        *(f"class {name} has no image that can be used" for name in EMPTY),
    ]
    assert ingest.main([str(run), "--dry-run"]) == DONE
    assert told(capsys.readouterr().out) == wanted
    assert ingest.main([str(run)]) == DONE
    assert told(capsys.readouterr().err) == wanted
    page = (run.parent / "out/report.html").read_text()
    assert all(line in page for line in wanted)
    data = plan_data(DataConfig(run=str(run), tile_px=32))
    assert TileStore(data.ingest(SerialEngine())[0]).class_names == ("a", "b")
    assert told(capsys.readouterr().err) == wanted, "also where nothing is left to ingest"

    assert curate.main(["report", str(run)]) == DONE
    facts = json.loads((run.parent / "out/curation/curation.json").read_text())
    assert facts["counts"] == {"a": 3, "b": 1, "empty": 0, "text": 0}
    assert facts["verdicts"]["balance"].endswith("without any image: empty, text")
    assert facts["verdicts"]["single"] == "one tile, which cannot both train and judge: b"
    said = capsys.readouterr().out
    assert "without any image: empty, text" in said
    assert facts["verdicts"]["single"] in said
    page = (run.parent / "out/curation/report.html").read_text()
    assert facts["verdicts"]["single"] in page
    (run.parent / "two.csv").write_text("id\na/1.png\na/2.png\n")
    assert curate.main(["filter", str(run), "--list", str(run.parent / "two.csv")]) == DONE
    assert curate.main(["apply", str(run)]) == DONE
    facts = json.loads((run.parent / "out/curation/curation.json").read_text())
    assert facts["verdicts"]["single"].endswith(": a, b"), "of what is kept"
    with (run.parent / "out/curation/kept.csv").open() as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["a/3.png", "b/1.png"]
