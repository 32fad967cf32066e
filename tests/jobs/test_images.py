"""Collections of images, from files to trained and judged networks."""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

from jobs import evaluate, status, train
from jobs.config import RunConfig
from jobs.datasets import plan_dataset
from jobs.evaluation.objects import SIZE_EDGES_PX
from jobs.ingest import main
from jobs.parsing import load
from jobs.recipe_config import DataConfig
from jobs.shell import BAD_INPUT, DONE, INCOMPLETE
from jobs.training_data import plan_data
from tests.jobs.worlds import ARCHITECTURE, ENCODER
from tests.tiler.images_for_tests import picture, save, scratch_mask, write_scratches
from tiler.tile_store import TileStore

SIDE, COUNT = 64, 21


def write_run(folder: Path, **dataset: object) -> Path:
    images = {"layout": "images", "root": str(folder / "in/images"), "side_px": SIDE, "classes": "folder"}
    images |= {"masks": {"kind": "png", "root": str(folder / "in/masks")}, **dataset}
    settings = {"out": str(folder / "out"), "dataset": images, "engine": {"kind": "serial", "threads_per_worker": 1}}
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(settings, allow_unicode=True))
    return path


@pytest.fixture
def run(tmp_path) -> Path:
    write_scratches(tmp_path / "in", COUNT, 60, 82)
    return write_run(tmp_path)


def changed(run: Path, *changes: str) -> list[str]:
    return [str(run), *(word for change in changes for word in ("--set", change))]


def store_of(run: Path, *changes: str) -> TileStore:
    return TileStore(plan_dataset(load(RunConfig, str(run), changes)).url)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_images_become_a_store_with_lists_and_a_report(run, capsys):
    (run.parent / "in/images/public/lost.png").write_bytes(save(run.parent / "x.png", picture(60, 82)).read_bytes())
    assert main([str(run)]) == DONE
    told = capsys.readouterr()
    assert "classes: company 7, public 14" in told.err
    assert "split: test 4, train 13, validation 4" in told.err
    assert f"{COUNT} of {COUNT} tiles kept" in told.out
    listed = rows(run.parent / "out/tiles.csv")
    store = store_of(run)
    assert [r["id"] for r in listed] == [t["id"] for t in store.tiles]
    assert {(r["width"], r["height"]) for r in listed} <= {(str(82 + w), str(60 + h)) for w in (0, 2) for h in range(3)}
    assert [float(r["pixel"]) for r in listed] == store.facts("pixel").tolist()
    assert [r["reason"] for r in rows(run.parent / "out/unmatched.csv")] == ["no mask of its name"]
    assert rows(run.parent / "out/damaged.csv") == []
    facts = json.loads((run.parent / "out/quality.json").read_text())
    assert [(c["class"], c["images"]) for c in facts["classes"]] == [("company", 7), ("public", 14)]
    assert sum(c["train"] for c in facts["classes"]) == 13
    counts = store.facts("class_counts").sum(axis=0)
    assert facts["positive_share"] == pytest.approx(counts[1] / counts.sum())
    page = (run.parent / "out/report.html").read_text()
    assert "Samples with labels" in page
    assert "company" in page


def test_a_second_run_reads_nothing_again_and_its_status_is_told(run, capsys, monkeypatch):
    assert status.main([str(run)]) == INCOMPLETE
    assert main([str(run)]) == DONE
    monkeypatch.setattr("jobs.datasets.fill_shard", lambda *_: pytest.fail("read again"))
    assert main([str(run)]) == DONE
    assert status.main([str(run)]) == DONE


def test_damaged_images_are_quarantined_and_the_rest_is_there(run, capsys):
    cut = run.parent / "in/images/public/차량 001.png"
    cut.write_bytes(cut.read_bytes()[:500])
    save(run.parent / "in/masks/public/차량 004.png", np.zeros((9, 9), np.uint8))
    assert main([str(run)]) == INCOMPLETE
    told = capsys.readouterr()
    assert "quarantined: public/차량 001.png" in told.err
    assert f"{COUNT - 2} of {COUNT} tiles kept" in told.out
    damaged = {r["id"]: r["reason"] for r in rows(run.parent / "out/damaged.csv")}
    assert list(damaged) == ["public/차량 001.png", "public/차량 004.jpg"]
    assert "must be equal" in damaged["public/차량 004.jpg"]
    assert Counter(r["reason"] for r in rows(run.parent / "out/tiles.csv")) == {"": COUNT - 2, "damaged": 2}


def test_a_dry_run_counts_and_touches_nothing(run, capsys):
    assert main([str(run), "--dry-run"]) == DONE
    told = capsys.readouterr().out
    assert "shards of 64 tiles" in told
    assert "split: test 4, train 13, validation 4" in told
    assert not (run.parent / "out").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset.root=/nowhere", "is not a folder"),
        ("dataset.layout=imagse", "layout 'imagse' is unknown: known are ['aihub', 'images']; did you mean 'images'?"),
        ("dataset.sidepx=3", "unknown key 'dataset.sidepx'; did you mean 'side_px'"),
        ("dataset.masks.kind=gif", "dataset.masks.kind"),
        ("dataset.preprocess=[grey]", "did you mean 'gray'"),
        ("dataset.preprocess=[{resize: {height_px: 3, width_px: 3}}]", "`side_px` and `fit` say"),
        ("dataset.class_names=[company, pubilc]", "did you mean 'pubilc'"),
        ("dataset.sources=[x]", "'x' is unknown"),
        ("dataset.masks.root=/nowhere", "is not a folder"),
        ("dataset.side_px=0", "greater than or equal to 8"),
        ("sensor=SN10", "leave `sensor` out"),
        ("scenes=a.tif", "not both"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(run, override, message, capsys):
    assert main(changed(run, override)) == BAD_INPUT
    assert message in capsys.readouterr().err
    assert not (run.parent / "out").exists()


def test_masks_of_codes_that_would_all_be_background_are_refused(tmp_path, capsys):
    write_scratches(tmp_path / "in", 4)
    for index in range(4):
        path = f"in/masks/{'public' if index % 3 else 'company'}/차량 {index:03d}.png"
        save(tmp_path / path, scratch_mask(40 + index % 3, 52 + 2 * (index % 2), index).astype(np.uint8))
    run = write_run(tmp_path)
    assert main([str(run)]) == BAD_INPUT
    assert "set `masks.codes`" in capsys.readouterr().err
    assert main(changed(run, "dataset.masks.codes={0: 0, 1: 1}")) == DONE


def test_a_folder_of_text_is_no_collection(tmp_path, capsys):
    for index in range(3):
        (tmp_path / "in/images/a").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"in/images/a/{index}.jpg").write_text("not found")
    (tmp_path / "in/masks").mkdir()
    run = write_run(tmp_path, masks=None)
    assert main([str(run)]) == BAD_INPUT
    assert "none of the first images can be read" in capsys.readouterr().err


def test_what_labels_nothing_is_no_ground_for_segmentation(run, capsys):
    text = yaml.safe_load(run.read_text())
    text["dataset"]["masks"] = None
    run.write_text(yaml.safe_dump(text))
    assert plan_data(DataConfig(run=str(run), tile_px=SIDE)).label_values == ()
    recipe = run.parent / "recipe.yaml"
    network = {"architecture": ARCHITECTURE, "encoder": ENCODER, "weights": "random:1"}
    settings = {"out": str(run.parent / "m"), "network": network, "data": {"run": str(run), "tile_px": SIDE}}
    recipe.write_text(yaml.safe_dump(settings))
    assert train.main([str(recipe)]) == BAD_INPUT
    assert "labels no pixel" in capsys.readouterr().err


def test_the_test_part_judges_unless_the_run_says_otherwise(run):
    assert plan_dataset(load(RunConfig, str(run))).judged == "test"
    same = plan_dataset(load(RunConfig, str(run), ["dataset.split.test=same-as-val"]))
    assert same.judged == "validation"
    assert len(same.warnings) == 1
    assert Counter(e.split for e in same.source.entries) == {"train": COUNT - 4, "validation": 4}


@pytest.mark.slow
def test_workers_of_ray_write_what_one_process_does(run):
    assert main([str(run)]) == DONE
    ray = [f"out={run.parent / 'ray'}", "engine.kind=ray", "engine.workers=2"]
    assert main(changed(run, *ray)) == DONE
    one, two = store_of(run), store_of(run, *ray)
    assert one.tiles == two.tiles
    for name in ("image", "valid", "label", "sums", "median", "pixel", "width", "damaged"):
        np.testing.assert_array_equal(one.facts(name), two.facts(name))


@pytest.mark.slow
def test_a_network_learns_to_find_scratches_and_is_judged_on_other_photos(run, capsys):
    recipe = run.parent / "recipe.yaml"
    settings = {
        "out": str(run.parent / "models/tiny"),
        "classes": ["scratch"],
        "network": {"architecture": ARCHITECTURE, "encoder": ENCODER, "weights": "random:3"},
        "data": {"run": str(run), "tile_px": SIDE, "augment": ["HorizontalFlip"]},
        "train": {"epochs": 12, "batch": 4, "learning_rate": 1e-2, "precision": "fp32"},
        "engine": {"kind": "serial", "threads_per_worker": 1},
    }
    recipe.write_text(yaml.safe_dump(settings))
    assert train.main([str(recipe)]) == DONE
    judge = [f"models=[{settings['out']}]", "evaluate.resamples=100", "infer.precision=fp32"]
    assert evaluate.main(changed(run, *judge)) == DONE
    found = json.loads((run.parent / "out/evaluation/evaluation.json").read_text())
    rows_by_name = {row["id"]: row for row in found["rows"]}
    store = store_of(run)
    assert found["tiles"] == sum(t["split"] == "test" for t in store.tiles)
    assert rows_by_name["tiny + TTA"]["iou_fg"] > 0.5 > rows_by_name["all positive"]["iou_fg"]
    assert rows_by_name["all background"]["iou_fg"] == 0
    assert [row["size"] for row in found["objects"]["by_size"]][-1] == f"{SIZE_EDGES_PX[-1]:g} px and more"
    assert "labelled_ha" not in found["objects"]["total"]
    objects = rows(run.parent / "out/evaluation/objects.csv")
    assert {o["crs"] for o in objects} == {""}
    assert all(0 <= float(o["x"]) <= SIDE and 0 <= float(o["y"]) <= SIDE for o in objects)
    assert [row["region"] for row in found["regions"]] == ["company", "public"]
    capsys.readouterr()
    assert evaluate.main(changed(run, *judge, "dataset.split.test=0")) == BAD_INPUT
    assert "not ingested" in capsys.readouterr().err
    assert main(changed(run, "dataset.split.test=0")) == DONE
    assert evaluate.main(changed(run, *judge, "dataset.split.test=0")) == BAD_INPUT
    assert "say `dataset.split.test: same-as-val`" in capsys.readouterr().err
    assert main(changed(run, "dataset.split.test=same-as-val")) == DONE
    assert evaluate.main(changed(run, *judge, "dataset.split.test=same-as-val")) == DONE
    assert "WARNING: test is the same as validation" in capsys.readouterr().err
