"""Evaluate on a data set: rows are those of every network run alone over whole arrays, on validation tiles only."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from jobs.bundles import read_bundles
from jobs.config import EvaluateConfig, RunConfig
from jobs.datasets import plan_dataset
from jobs.evaluate import main
from jobs.evaluation.text import table
from jobs.evaluation.tile_scores import Judgement, evaluate_tiles
from jobs.ingest import main as ingest
from jobs.parsing import load
from models.boundary import boundary_counts, boundary_scores
from models.calibration import Reliability
from models.confusion import confusion
from models.metrics import imagewise_iou_fg, scores
from models.pixel_rules import NDVI_BINS, best_interval, ndvi_bins
from models.predict import load_ensemble
from tests.jobs.worlds import CHANNELS, World, image, moved, write_bundle, write_tif
from tiler.labels import IGNORE
from tiler.tile_store import TileStore

SIDE = 32
SPLITS = "TTTVVVVVT"


def write_delivery(folder: Path) -> Path:
    """Nine tiles of two countries; the validation tile 5 misses half its pixels and is dropped, tile 6 a few."""
    for index, split in enumerate(SPLITS):
        name = f"SN10_{'CHN' if index % 3 else 'KOR'}_{index:05d}_230409.tif"
        array = image(SIDE, SIDE, index)
        array[:, : {5: 16, 6: 5}.get(index, 0)] = 0
        write_tif(folder / f"{split}S_SN10_SN10/{name}", array)
        label = np.where(image(SIDE, SIDE, index + 1)[2] > 5000, 10, 90).astype(np.uint8)
        label[-2] = 7
        if index == 4:
            label[:] = 90
        write_tif(folder / f"{split}L_SN10/{name}", label, transform=moved(0, 100 * index))
    return folder


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> World:
    """An ingested data set and two bundles, judged."""
    folder = tmp_path_factory.mktemp("tiles")
    settings = {
        "out": str(folder / "out"),
        "sensor": "SN10",
        "dataset": {"root": str(write_delivery(folder / "delivery")), "tile_px": SIDE},
        "models": [
            write_bundle(folder / "one", 1),
            write_bundle(folder / "two", 2, channels=("nir", "mask", "red")),
        ],
        "infer": {"tta": "flips4", "precision": "fp32", "batch": 2},
        "engine": {"kind": "serial", "threads_per_worker": 1},
        "evaluate": {"resamples": 100},
    }
    made = World(folder, settings)
    assert ingest(made.command()) == 0
    assert main(made.command()) == 0
    return made


def found_in(here: World) -> dict:
    return json.loads((here.out / "evaluation" / "evaluation.json").read_text())


def store_of(here: World) -> TileStore:
    return TileStore(plan_dataset(load(RunConfig, here.config)).url)


def judged_rows(store: TileStore) -> list[int]:
    return store.kept(0.3, "validation").tolist()


@pytest.fixture(scope="module")
def logits(here) -> dict[str, np.ndarray]:
    """The logits of every row, each network by itself in a run of its own: (n, h, w)."""
    store = store_of(here)
    tiles = np.stack([store.network_input(row) for row in judged_rows(store)])
    one, two = read_bundles(here.settings["models"])
    found = {}
    for tta, suffix in (("none", ""), ("flips4", " + TTA")):
        for name, bundles in (("one", [one]), ("two", [two]), ("ensemble", [one, two])):
            ensemble = load_ensemble(bundles, CHANNELS, tta=tta, precision="fp32", batch=2)
            found[name + suffix] = ensemble.predict(tiles)[0][:, 0]
    return found


def test_rows_are_those_of_networks_run_alone(here, logits):
    found, store = found_in(here), store_of(here)
    kept = judged_rows(store)
    assert kept == [
        row
        for row, tile in enumerate(store.tiles)
        if SPLITS[int(tile["id"][9:14])] == "V" and "00005" not in tile["id"]
    ]
    truth = np.stack([store.read("label", row) for row in kept])
    rows = {row["id"]: row for row in found["rows"]}
    assert list(rows)[:8] == [
        *("one", "two", "mean of members", "ensemble"),
        *("one + TTA", "two + TTA", "mean of members + TTA", "ensemble + TTA"),
    ]
    for name, values in logits.items():
        answer = (values >= 0).astype(np.uint8)
        for key, value in scores(confusion(truth, answer, 2)).items():
            if key in rows[name]:
                assert rows[name][key] == pytest.approx(value, abs=2e-3), (name, key)
        assert rows[name]["iou_fg_imagewise"] == pytest.approx(imagewise_iou_fg(truth, answer).mean(), abs=5e-3)
        outlines = sum(boundary_counts(t, a) for t, a in zip(truth, answer, strict=True))
        assert rows[name]["boundary_f1"] == pytest.approx(boundary_scores(outlines)["boundary_f1"], abs=5e-3)
        known = truth != IGNORE
        sure = 1 / (1 + np.exp(-values[known].astype(float)))
        assert rows[name]["ece"] == pytest.approx(Reliability.of(sure, truth[known] == 1).curve().error, abs=2e-3)
    mean = rows["mean of members"]
    assert mean["mIoU"] == pytest.approx((rows["one"]["mIoU"] + rows["two"]["mIoU"]) / 2)
    assert mean["ece"] is None
    assert found["principal"] == "ensemble + TTA"
    assert found["blocks"] == found["tiles"] == len(kept)
    assert len({round(rows[n]["mIoU"], 6) for n in logits}) == len(logits)


def test_differences_are_told_with_paired_intervals(here):
    found = found_in(here)
    rows = {row["id"]: row for row in found["rows"]}
    told = {row["name"]: row for row in found["differences"]}
    assert set(told) == {
        *(f"ensemble minus {n}" for n in ("mean of members", "one", "two")),
        "TTA minus one view, ensemble",
    }
    for row in told.values():
        assert row["mIoU"] == pytest.approx(rows[row["first"]]["mIoU"] - rows[row["second"]]["mIoU"])
        low, high = row["intervals"]["mIoU"]
        assert low <= high
    wide = np.subtract(*rows["ensemble + TTA"]["intervals"]["mIoU"][::-1])
    assert np.subtract(*told["TTA minus one view, ensemble"]["intervals"]["mIoU"][::-1]) < wide


def test_missing_pixels_count_unless_told(here, logits):
    found, store = found_in(here), store_of(here)
    truth = np.stack([store.read("label", row) for row in judged_rows(store)])
    valid = np.stack([store.read("valid", row) for row in judged_rows(store)])
    assert found["missing_pixels"] == (~valid & (truth != IGNORE)).sum() > 0
    answer = (logits["one"] >= 0).astype(np.uint8)
    for ignore in (False, True):
        chosen = np.where(valid, truth, IGNORE) if ignore else truth
        row = next(r for r in found["missing"] if (r["id"], r["ignore_missing"]) == ("one", ignore))
        assert row["iou_fg"] == pytest.approx(scores(confusion(chosen, answer, 2))["iou_fg"], abs=2e-3)


def test_baselines_learn_from_training_tiles(here):
    found, store = found_in(here), store_of(here)
    counts = np.zeros((2, NDVI_BINS), int)
    for row in store.kept(0.3, "train").tolist():
        label, valid, pixels = (store.read(name, row) for name in ("label", "valid", "image"))
        bins = ndvi_bins(pixels[0], pixels[3])
        counts += [np.bincount(bins[(label == k) & valid], minlength=NDVI_BINS) for k in (0, 1)]
    low, high = best_interval(counts)
    rows = {row["id"]: row for row in found["rows"]}
    assert rows["NDVI rule"]["name"] == f"NDVI rule ({low / 40 - 1:.2f} <= NDVI < {high / 40 - 1:.2f})"
    assert list(rows)[8:] == ["NDVI rule", "logistic regression", "all background", "all positive"]
    truth = np.stack([store.read("label", row) for row in judged_rows(store)])
    share = (truth == 1).sum() / (truth != IGNORE).sum()
    assert rows["all positive"]["iou_fg"] == pytest.approx(share)
    assert rows["all positive"]["mIoU"] == pytest.approx(share / 2)


def test_regions_are_countries_and_objects_end_at_tiles(here, logits):
    found, store = found_in(here), store_of(here)
    kept = judged_rows(store)
    countries = np.array([store.tiles[row]["source"] for row in kept])
    truth = np.stack([store.read("label", row) for row in kept])
    answer = (logits["ensemble + TTA"] >= 0).astype(np.uint8)
    assert [row["region"] for row in found["regions"]] == ["CHN", "KOR"]
    for row in found["regions"]:
        mine = countries == row["region"]
        assert row["mIoU"] == pytest.approx(scores(confusion(truth[mine], answer[mine], 2))["mIoU"], abs=3e-3)
    rows = list(csv.DictReader(io.StringIO((here.out / "evaluation" / "objects.csv").read_text())))
    labelled = [r for r in rows if r["kind"] == "labelled"]
    assert sum(int(r["pixels"]) for r in labelled) == (truth == 1).sum()
    assert {r["tile"] for r in labelled} == {
        store.tiles[r]["id"] for r, t in zip(kept, truth, strict=True) if (t == 1).any()
    }
    for r in labelled:
        place = kept[[store.tiles[row]["id"] for row in kept].index(r["tile"])]
        row, col = store.grid(place).rowcol(float(r["x"]), float(r["y"]))
        assert 0 < row < SIDE
        assert 0 < col < SIDE
        assert float(r["area_ha"]) == pytest.approx(int(r["pixels"]) / 100)  # 10 m pixels
        assert r["crs"] == "EPSG:32652"


def test_the_function_gives_what_the_job_writes(here):
    store = store_of(here)
    judgement = evaluate_tiles(
        store,
        judged_rows(store),
        read_bundles(here.settings["models"]),
        training_rows=store.kept(0.3, "train"),
        settings=EvaluateConfig(resamples=100),
        precision="fp32",
        batch=2,
    )
    assert isinstance(judgement, Judgement)
    assert json.loads(json.dumps(judgement.evaluation, allow_nan=False)) == found_in(here)
    one = evaluate_tiles(
        store, judged_rows(store), read_bundles(here.settings["models"][:1]), "none", precision="fp32", batch=2
    ).evaluation
    assert [row["id"] for row in one["rows"]] == ["one", "all background", "all positive"]
    assert one["rows"][0]["mIoU"] == pytest.approx(found_in(here)["rows"][0]["mIoU"], abs=2e-3)
    assert one["differences"] == []


def test_it_prints_its_table_and_a_second_run_runs_no_network(here, capsys, monkeypatch):
    before = (here.out / "evaluation" / "evaluation.json").read_bytes()
    monkeypatch.setattr("models.members.Members.predict_each", lambda *_: pytest.fail("run again"))
    assert main(here.command()) == 0
    assert table(found_in(here)) in capsys.readouterr().out
    assert (here.out / "evaluation" / "evaluation.json").read_bytes() == before
    assert {p.stem for p in (here.out / "evaluation" / "figures").iterdir()} == {
        *("reliability", "confusion", "scores", "sizes"),
    }


def test_bad_input_is_refused_before_anything_starts(here, capsys, tmp_path):
    def told(*changes: str) -> str:
        assert main(here.command(*changes)) == 2
        return capsys.readouterr().err

    assert "set `models`" in told("models=[]")
    assert "no bundle at nowhere" in told("models=[nowhere]")
    assert "not ingested" in told(f"out={tmp_path}/other")
    odd = write_bundle(tmp_path / "odd", 3, channels=("red", "gems0"))
    assert "need channels ['gems0']" in told(f"models=[{odd}]")
    other = write_bundle(tmp_path / "other", 3, classes=("quarry",))
    assert "find the same classes" in told(f"models=[{here.settings['models'][0]}, {other}]")
    assert "names of their own" in told(f"models=[{other}, {other}]")
    assert not (tmp_path / "other" / "markers").exists()


def test_a_dry_run_names_the_shards(here, capsys):
    assert main([*here.command(), "--dry-run"]) == 0
    assert "evaluate" in capsys.readouterr().out
