"""Evaluate: the numbers of the stitched map are those of whole arrays, on held-back pixels alone."""

import csv
import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image

from jobs import map as map_job
from jobs.config import EvaluateConfig, RunConfig
from jobs.evaluate import main, plan_evaluate
from jobs.evaluation.cells import SampleCells, ScoreCells
from jobs.evaluation.objects import objects_of, pieces_of, tally
from jobs.evaluation.text import table
from jobs.parsing import load, parse
from models.boundary import boundary_counts, boundary_scores
from models.confusion import confusion as confusion_of
from models.pixel_rules import NDVI_BINS, NdviRule, PixelRules, best_interval, ndvi_bins
from tests.jobs.worlds import SPLIT, Stand, World, answering, image, moved, small_cells, world, write_bundle, write_tif
from tests.pictures import drawn
from tiler.grids import Box
from tiler.labels import IGNORE
from tiler.regions import Regions
from tiler.split import Split


def labelled(folder: Path) -> World:
    """Two scenes that overlap, with labels of which some are to be ignored and some pixels have none."""
    here = world(folder)
    for name, size, seed, at in (("a", (150, 190), 1, (0, 0)), ("b", (90, 110), 2, (100, 120))):
        array = image(*size, seed)
        array[:, 20:50, 30:60] = 0
        here.scene(name, array, transform=moved(*at))
    codes = np.where(image(180, 200, 7)[1] > 5000, 8, 3).astype(np.uint8)
    codes[:, 40:55] = 99
    write_tif(folder / "labels.tif", codes, transform=moved(12, -6), nodata=0)
    here.settings["evaluate"] = {"resamples": 100}
    here.settings["labels"] = {"files": str(folder / "labels.tif"), "codes": {8: 1}, "ignore": [99]}
    return here


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> World:
    """A published map, evaluated."""
    here = labelled(tmp_path_factory.mktemp("judged"))
    with answering(), small_cells():
        assert map_job.main(here.command()) == 0
        with drawn():
            assert main(here.command()) == 0
    return here


@pytest.fixture
def without_pictures(monkeypatch) -> None:
    """Draw nothing: that takes longer than all the rest."""
    monkeypatch.setattr("jobs.evaluation.files.pictures", lambda _: {})
    monkeypatch.setattr("jobs.page.page_figures", lambda *_: [])


def found_in(here: World) -> dict:
    return json.loads((here.out / "evaluation" / "evaluation.json").read_text())


class Whole:
    """The judged ground as whole arrays over the map's extent, worked out from the files alone."""

    def __init__(self, here: World) -> None:
        with rasterio.open(here.out / "map" / "class.tif") as data:
            self.classes, place = data.read(1), ~data.transform
        with rasterio.open(here.out / "map" / "probability.tif") as data:
            self.probability = data.read(1)
        shape = self.classes.shape
        self.truth, self.trained = np.full(shape, IGNORE, np.uint8), np.zeros(shape, bool)
        self.bands, self.seen = np.zeros((4, *shape), np.uint16), np.zeros(shape, bool)
        with rasterio.open(here.folder / "labels.tif") as data:
            codes, labels_at = data.read(1), data.transform
        for name in ("a", "b"):
            with rasterio.open(here.folder / "scenes" / f"{name}.tif") as data:
                array, transform = data.read(), data.transform
            x, y = ~transform @ (labels_at.c, labels_at.f)
            label = np.full(array.shape[1:], IGNORE, np.uint8)
            for row, col in np.ndindex(label.shape):
                r, c = row - round(y), col - round(x)
                if 0 <= r < codes.shape[0] and 0 <= c < codes.shape[1] and codes[r, c] not in (0, 99):
                    label[row, col] = codes[r, c] == 8
            held = Split(**SPLIT).held_back(name, Box(0, 0, *label.shape))
            col, row = place @ (transform.c, transform.f)
            at = slice(round(row), round(row) + label.shape[0]), slice(round(col), round(col) + label.shape[1])
            first = (self.truth[at] == IGNORE) & (label != IGNORE)
            self.truth[at][first] = label[first]
            self.trained[at] |= (label != IGNORE) & ~held
            new = (array != 0).all(axis=0) & ~self.seen[at]
            self.bands[(slice(None), *at)][:, new] = array[:, new]
            self.seen[at] |= new
        self.judged = np.where(self.trained | (self.classes == 255), IGNORE, self.truth).astype(np.uint8)


def test_the_numbers_are_those_of_whole_arrays(judged):
    found, whole = found_in(judged), Whole(judged)
    confusion = confusion_of(whole.judged, np.where(whole.classes == 255, 0, whole.classes), 2)
    assert (confusion > 100).all()
    assert found["confusion"] == confusion.tolist()
    rows = {row["id"]: row for row in found["rows"]}
    ours, background, positive = rows["map"], rows["all background"], rows["all positive"]
    assert next(iter(rows)) == "map"
    (tn, fp), (fn, tp) = confusion
    assert ours["iou_fg"] == pytest.approx(tp / (tp + fp + fn))
    assert ours["iou_bg"] == pytest.approx(tn / (tn + fp + fn))
    assert ours["mIoU"] == pytest.approx((ours["iou_fg"] + ours["iou_bg"]) / 2)
    assert ours["precision"] == pytest.approx(tp / (tp + fp))
    assert ours["recall"] == pytest.approx(tp / (tp + fn))
    assert ours["dice"] == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert ours["accuracy"] == pytest.approx((tp + tn) / confusion.sum())
    share = confusion[0].sum() / confusion.sum()
    assert (background["iou_fg"], background["recall"], background["precision"]) == (0, 0, None)
    assert background["accuracy"] == background["iou_bg"] == pytest.approx(share)
    assert background["mIoU"] == pytest.approx(share / 2)
    assert positive["iou_fg"] == pytest.approx(1 - share)
    assert positive["iou_bg"] == 0
    outline = boundary_scores(boundary_counts(whole.judged, whole.classes, 2.0))
    assert ours["boundary_f1"] == pytest.approx(outline["boundary_f1"])
    assert 0 < ours["boundary_f1"] < 1
    assert f"{confusion.sum():,} pixels" in found["definition"]


def test_rules_learn_from_training_pixels_and_are_judged_where_the_map_is(judged):
    found, whole = found_in(judged), Whole(judged)
    learnt = whole.trained & whole.seen & (whole.truth != IGNORE)
    bins = ndvi_bins(whole.bands[0], whole.bands[3])
    counts = [np.bincount(bins[learnt & (whole.truth == value)], minlength=NDVI_BINS) for value in (0, 1)]
    low, high = best_interval(np.stack(counts))
    rule = next(row for row in found["rows"] if row["id"] == "NDVI rule")
    assert rule["name"] == f"NDVI rule ({low / 40 - 1:.2f} <= NDVI < {high / 40 - 1:.2f})"
    answer = (whole.seen & (bins >= low) & (bins < high)).astype(np.uint8)
    (_, fp), (fn, tp) = confusion_of(whole.judged, answer, 2)
    assert rule["iou_fg"] == pytest.approx(tp / (tp + fp + fn))
    logistic = next(row for row in found["rows"] if row["id"] == "logistic regression")
    assert 0 < logistic["mIoU"] < 1
    assert logistic["ece"] is None


def test_calibration_is_that_of_the_judged_pixels(judged):
    found, whole = found_in(judged), Whole(judged)
    known = whole.judged != IGNORE
    sure, right = whole.probability[known].astype(float), whole.judged[known] == 1
    bins = np.minimum((sure * 15).astype(int), 14)
    gaps = [abs(sure[bins == b].mean() - right[bins == b].mean()) * (bins == b).sum() for b in set(bins.tolist())]
    told = found["calibration"]["map"]
    assert told["ece"] == pytest.approx(sum(gaps) / known.sum(), abs=2e-3)
    assert sum(told["equal_width"]["counts"]) == sum(told["equal_mass"]["counts"]) == known.sum()
    assert found["rows"][0]["ece"] == told["ece"]
    assert told["temperature"] is None or told["temperature"] > 0


def test_missing_pixels_are_told_both_ways(judged):
    found, whole = found_in(judged), Whole(judged)
    for ignore in (True, False):
        truth = whole.judged if ignore else np.where(whole.trained, IGNORE, whole.truth).astype(np.uint8)
        (tn, fp), (fn, tp) = confusion_of(truth, np.where(whole.classes == 255, 0, whole.classes), 2)
        row = next(r for r in found["missing"] if r["id"] == "map" and r["ignore_missing"] == ignore)
        assert row["iou_fg"] == pytest.approx(tp / (tp + fp + fn))
        assert row["accuracy"] == pytest.approx((tp + tn) / (tp + tn + fp + fn))
    assert found["missing_pixels"] == ((whole.classes == 255) & (whole.truth != IGNORE) & ~whole.trained).sum() > 0


def test_objects_are_those_of_the_whole_map(judged):
    found, whole = found_in(judged), Whole(judged)
    settings = EvaluateConfig()
    told = pieces_of(whole.judged, whole.classes, 2, Box(0, 0, *whole.judged.shape), None, alone=True)
    objects = objects_of([told], ("industrial",), settings, lambda _, row, col: (col, row, 100.0))
    assert found["objects"]["total"] == tally(objects)
    assert min(found["objects"]["total"][k] for k in ("found", "missed", "mapped")) > 0
    rows = list(csv.DictReader(io.StringIO((judged.out / "evaluation" / "objects.csv").read_text())))
    assert sorted(int(r["pixels"]) for r in rows) == sorted(o.pixels for o in objects)
    assert sum(found["objects"]["by_size"][k]["labelled"] for k in range(5)) == found["objects"]["total"]["labelled"]
    with rasterio.open(judged.out / "map" / "class.tif") as data:
        left, bottom, right, top = data.bounds
    assert all(left < float(r["x"]) < right and bottom < float(r["y"]) < top for r in rows)


@pytest.mark.usefixtures("without_pictures")
def test_another_size_of_cells_gives_the_same_evaluation(judged, tmp_path, monkeypatch):
    here = labelled(tmp_path)
    monkeypatch.setattr("tiler.map_store.CHUNK_PX", 64)
    with answering(), small_cells(64):
        assert map_job.main(here.command()) == 0
        assert main(here.command()) == 0
    one, other = found_in(judged), found_in(here)
    for key in ("confusion", "objects", "calibration", "blocks", "missing_pixels", "definition"):
        assert other[key] == one[key], key
    for a, b in zip(one["rows"], other["rows"], strict=True):
        if a["id"] != "logistic regression":  # is fitted to a sample of every cell
            assert a == b
    for name in ("objects.csv", "sizes.csv"):
        assert (here.out / "evaluation" / name).read_bytes() == (judged.out / "evaluation" / name).read_bytes()


def test_an_evaluation_before_tells_how_long_the_next_one_takes(judged, tmp_path):
    def expected(here: World):
        (one,) = plan_evaluate(load(RunConfig, here.config, ["evaluate.boundary_tolerance_px=5"])).estimates()
        return one.time

    here = labelled(tmp_path)
    with answering(), small_cells():
        assert 0 < expected(judged).seconds < 600
        assert expected(judged).known_from.startswith("as measured on")
        assert map_job.main(here.command()) == 0
        assert expected(here).seconds is None


@pytest.mark.usefixtures("drawn_pictures")  # they are compared below
def test_the_table_and_the_report_show_it(judged, capsys):
    found = found_in(judged)
    with small_cells():
        assert main(judged.command()) == 0
    told = capsys.readouterr().out
    assert told.startswith(table(found))
    page = (judged.out / "report.html").read_text()
    for row in found["rows"]:
        assert row["name"] in told
        assert row["name"].replace("<", "&lt;") in page
    assert f"{found['rows'][0]['mIoU']:.4f}" in told
    assert "–" in told  # precision of all background: 0/0
    for title in ("Objects by size", "Reliability", "With and without missing pixels", "By class"):
        assert f"<h3>{title}</h3>" in page


def test_the_files_hold_the_same_numbers(judged):
    found, folder = found_in(judged), judged.out / "evaluation"
    rows = list(csv.DictReader(io.StringIO((folder / "evaluation.csv").read_text())))
    assert [r["name"] for r in rows] == [r["name"] for r in found["rows"]]
    for row, expected in zip(rows, found["rows"], strict=True):
        assert float(row["mIoU"]) == expected["mIoU"]
        low, high = expected["intervals"]["mIoU"]
        assert (float(row["mIoU_low"]), float(row["mIoU_high"])) == (low, high)
        assert low <= expected["mIoU"] <= high
    assert {p.stem for p in (folder / "figures").iterdir()} == {"reliability", "confusion", "scores", "sizes"}
    for picture in (folder / "figures").iterdir():
        assert np.asarray(Image.open(picture).convert("L")).std() > 1
    assert "NaN" not in (folder / "evaluation.json").read_text()


@pytest.mark.usefixtures("without_pictures")
def test_any_order_of_cells_gives_the_same_numbers(judged, tmp_path, monkeypatch):
    from tests.jobs.worlds import ShuffledEngine

    before = (judged.out / "evaluation" / "evaluation.json").read_bytes()
    for marker in (judged.out / "markers" / "evaluate").rglob("*.json"):
        marker.unlink()
    monkeypatch.setattr("jobs.evaluation.on_map.engine_of", lambda _: ShuffledEngine(4))
    with small_cells():
        assert main(judged.command()) == 0
    assert (judged.out / "evaluation" / "evaluation.json").read_bytes() == before


@pytest.mark.usefixtures("without_pictures")
def test_everywhere_judges_every_labelled_pixel(judged, tmp_path):
    found = []
    with small_cells():
        for where in ("all", "held_back"):
            assert main(judged.command(f"evaluate.where={where}")) == 0
            found.append(found_in(judged))
    whole = Whole(judged)
    assert found[0]["pixels"] == ((whole.truth != IGNORE) & (whole.classes != 255)).sum() > found[1]["pixels"]
    assert "wherever the scenes are labelled" in found[0]["definition"]


@pytest.mark.usefixtures("without_pictures")
def test_regions_break_it_down(judged):
    with rasterio.open(judged.out / "map" / "class.tif") as data:
        bounds, crs, shape = data.bounds, data.crs.to_string(), data.shape
    middle = bounds.left + 10 * 90
    features = [
        {
            "type": "Feature",
            "properties": {"district": name},
            "geometry": {
                "type": "Polygon",
                "coordinates": [
                    [[a, bounds.bottom], [b, bounds.bottom], [b, bounds.top], [a, bounds.top], [a, bounds.bottom]]
                ],
            },
        }
        for name, a, b in (("west", bounds.left - 50, middle), ("east", middle, bounds.right + 50))
    ]
    told = {"type": "FeatureCollection", "crs": {"type": "name", "properties": {"name": crs}}, "features": features}
    path = judged.folder / "districts.geojson"
    path.write_text(json.dumps(told))
    with small_cells():
        assert main(judged.command(f"regions={{file: {path}, name: district}}")) == 0
        found, whole = found_in(judged), Whole(judged)
        assert main(judged.command()) == 0
    east = np.arange(shape[1])[None, :] >= 90
    for row, chosen in zip(found["regions"], (~east, east), strict=True):
        truth = np.where(chosen, whole.judged, IGNORE).astype(np.uint8)
        (_, fp), (fn, tp) = confusion_of(truth, np.where(whole.classes == 255, 0, whole.classes), 2)
        assert row["pixels"] == (truth != IGNORE).sum()
        assert row["iou_fg"] == pytest.approx(tp / (tp + fp + fn))
    assert [row["region"] for row in found["regions"]] == ["west", "east"]
    assert sum(row["labelled"] for row in found["regions"]) == found["objects"]["total"]["labelled"]
    assert found_in(judged)["regions"] == []


def refused(here: World, capsys, *changes: str) -> str:
    file = here.out / "evaluation" / "evaluation.json"
    before = file.exists() and file.read_bytes()
    assert main(here.command(*changes)) == 2
    assert (file.exists() and file.read_bytes()) == before
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told


def test_without_labels_it_is_refused(judged, capsys):
    assert "set `labels`" in refused(judged, capsys, "labels=null")


def test_before_publish_it_is_refused(judged, capsys):
    with small_cells():
        assert "not published" in refused(judged, capsys, "fuse.threshold=0.31")
        assert "no complete logits" in refused(judged, capsys, "infer.overlap_px=0")
        assert "are not ingested" in refused(judged, capsys, f"out={judged.folder}/elsewhere")


@pytest.mark.usefixtures("without_pictures")
def test_bundles_that_held_back_other_blocks_are_refused(tmp_path, capsys):
    here = labelled(tmp_path)
    here.settings["models"].append(write_bundle(tmp_path / "other", 2, split=SPLIT | {"seed": 4}))
    with answering(), small_cells():
        assert map_job.main(here.command()) == 0
        capsys.readouterr()
        told = refused(here, capsys)
    assert "held back different blocks" in told
    assert '"seed": 4' in told


def test_bad_settings_are_refused(judged, capsys, tmp_path):
    with small_cells():
        assert "does not exist" in refused(judged, capsys, f"regions={{file: {tmp_path}/x.gpkg, name: n}}")
    assert "must rise" in refused(judged, capsys, "evaluate.size_edges_ha=[0, 5, 1]")
    assert "must not exceed" in refused(judged, capsys, "evaluate.part_from=0.6")
    with pytest.raises(ValueError, match="where"):
        parse(EvaluateConfig, {"where": "everywhere"}, "evaluate")


@pytest.mark.usefixtures("without_pictures")
def test_a_map_without_labelled_ground_to_judge_on_says_so(tmp_path, capsys):
    here = labelled(tmp_path)
    write_tif(tmp_path / "labels.tif", np.full((180, 200), 99, np.uint8), transform=moved(12, -6), nodata=0)
    with answering(), small_cells():
        assert map_job.main(here.command()) == 0
        assert main(here.command()) == 1
    assert "no labelled pixel lies where the map is judged" in capsys.readouterr().err
    assert not (here.out / "evaluation").exists()


@pytest.mark.usefixtures("without_pictures")
def test_a_bundle_that_does_not_say_what_it_held_back_is_refused(tmp_path, capsys):
    here = labelled(tmp_path)
    here.settings["models"] = [write_bundle(tmp_path / "other", 2, split={"dataset": "tiles"})]
    with answering(), small_cells():
        assert map_job.main(here.command()) == 0
        capsys.readouterr()
        assert "set `evaluate.where: all`" in refused(here, capsys)
        assert main(here.command("evaluate.where=all")) == 0


@pytest.mark.usefixtures("without_pictures")
def test_a_cell_that_fails_is_named_and_done_when_the_command_is_repeated(judged, tmp_path, capsys, monkeypatch):
    here = labelled(tmp_path)
    from jobs.evaluation import cells

    count = cells.count
    with answering(), small_cells():
        assert map_job.main(here.command()) == 0

        def failing(ground, *rest):
            if ground.block_rows[3] * 128 % 512 == 0 and ground.block_cols[3] * 128 % 1024 == 0:
                raise RuntimeError("the disk is gone")
            return count(ground, *rest)

        monkeypatch.setattr(cells, "count", failing)
        assert main(here.command()) == 3
        told = capsys.readouterr().err
        assert "quarantined: evaluate/" in told
        assert "the disk is gone" in told
        part = found_in(here)
        monkeypatch.setattr(cells, "count", count)
        assert main(here.command()) == 0
    assert 0 < part["pixels"] < found_in(here)["pixels"]
    assert found_in(here)["confusion"] == found_in(judged)["confusion"]


def test_stages_travel(judged):
    config = load(RunConfig, judged.command()[0])
    with small_cells():
        planned = plan_evaluate(config)
    rules = PixelRules(NdviRule(3, 9))
    region = Regions(("a",), (shapely.to_wkb(shapely.box(0, 0, 3, 4)),), (0,))
    for stage in (SampleCells(planned._sight), ScoreCells(planned._sight, config.evaluate, 0.5, rules, region)):
        assert pickle.loads(pickle.dumps(stage)) == stage


class ThreeClasses(Stand):
    """A network of three classes whose answer at a pixel follows from that pixel alone."""

    def predict(self, tiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = np.stack([tiles[:, band] / np.float32(2000) for band in (2, 0, 1)], axis=1)
        return logits, np.zeros_like(logits)


@pytest.mark.usefixtures("without_pictures")
def test_a_map_of_several_classes_has_rows_per_class(tmp_path):
    here = labelled(tmp_path)
    names = ("background", "industrial", "port")
    here.settings["models"] = [write_bundle(tmp_path / "three", classes=names)]
    values = image(180, 200, 7)
    codes = np.where(values[1] > 5000, 8, np.where(values[0] > 6000, 5, 3)).astype(np.uint8)
    write_tif(tmp_path / "labels.tif", codes, transform=moved(12, -6), nodata=0)
    here.settings["labels"]["codes"] = {8: 1, 5: 2}
    with answering(ThreeClasses()), small_cells():
        assert map_job.main(here.command()) == 0
        assert main(here.command()) == 0
    found = found_in(here)
    with rasterio.open(here.out / "map" / "class.tif") as data:
        classes = data.read(1)
    matrix = np.array(found["confusion"])
    assert matrix.shape == (3, 3)
    assert (matrix.sum(1) > 0).all()
    assert (matrix.sum(0) > 0).all()
    assert found["classes"] == list(names)
    assert [row["id"] for row in found["rows"]] == ["map", "all background"]
    assert {row["class"] for row in found["by_class"]} == set(names)
    for index, row in enumerate(found["by_class"]):
        union = matrix[index].sum() + matrix[:, index].sum() - matrix[index, index]
        assert row["iou"] == pytest.approx(matrix[index, index] / union)
    rows = list(csv.DictReader(io.StringIO((here.out / "evaluation" / "objects.csv").read_text())))
    assert {row["label"] for row in rows} == {"industrial", "port"}
    assert set(np.unique(classes)) == {0, 1, 2, 255}
    assert "port" in (here.out / "report.html").read_text()
