"""Evaluate: the numbers of the stitched map are those of whole arrays, on held-back pixels alone."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jobs import map as map_job
from jobs.evaluate import COLUMNS, NDVI_BINS, best_interval, evaluation_of, main, table
from tests.jobs.worlds import SPLIT, World, answering, image, moved, small_cells, world, write_bundle, write_tif
from tiler.grids import Box
from tiler.labels import IGNORE
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
    here.settings["labels"] = {"files": str(folder / "labels.tif"), "codes": {8: 1}, "ignore": [99]}
    return here


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> World:
    """A published map, evaluated."""
    here = labelled(tmp_path_factory.mktemp("judged"))
    with answering(), small_cells():
        assert map_job.main(here.command()) == 0
        assert main(here.command()) == 0
    return here


def truth_of(here: World, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]]:
    """Labels (IGNORE where they do not count), held-back pixels and image of a scene, and its place on the map."""
    with rasterio.open(here.folder / "scenes" / f"{name}.tif") as data:
        array, transform = data.read(), data.transform
    with rasterio.open(here.folder / "labels.tif") as data:
        codes, at = data.read(1), ~transform @ (data.transform.c, data.transform.f)
    with rasterio.open(here.out / "map" / "class.tif") as data:
        place = ~data.transform @ (transform.c, transform.f)
    label = np.full(array.shape[1:], IGNORE, np.uint8)
    for row, col in np.ndindex(label.shape):
        r, c = row - round(at[1]), col - round(at[0])
        if 0 <= r < codes.shape[0] and 0 <= c < codes.shape[1] and codes[r, c] != 99:
            label[row, col] = codes[r, c] == 8
    label[(array == 0).any(axis=0)] = IGNORE
    held = Split(**SPLIT).held_back(name, Box(0, 0, *label.shape))
    return label, held, array, (round(place[1]), round(place[0]))


def test_the_numbers_are_those_of_whole_arrays(judged):
    found = json.loads((judged.out / "evaluation.json").read_text())
    with rasterio.open(judged.out / "map" / "class.tif") as data:
        classes = data.read(1)
    confusion = np.zeros((2, 2), int)
    counts = np.zeros((2, 2, NDVI_BINS), int)
    for name in ("a", "b"):
        label, held, array, (row, col) = truth_of(judged, name)
        predicted = classes[row : row + label.shape[0], col : col + label.shape[1]]
        for truth in (0, 1):
            for answer in (0, 1):
                confusion[truth, answer] += ((label == truth) & (predicted == answer) & held).sum()
        red, nir = array[0].astype(float), array[3].astype(float)
        ndvi = (nir - red) / np.maximum(nir + red, 1e-6)
        bins = np.clip((ndvi + 1) / 2 * NDVI_BINS, 0, NDVI_BINS - 1).astype(int)
        for part in (0, 1):
            for truth in (0, 1):
                chosen = bins[(held == part) & (label == truth)]
                counts[part, truth] += np.bincount(chosen, minlength=NDVI_BINS)
    assert (confusion > 100).all()
    assert found["confusion"] == confusion.tolist()
    ours, background, rule = found["rows"]
    (tn, fp), (fn, tp) = confusion
    assert ours["name"] == "map"
    assert ours["iou_fg"] == pytest.approx(tp / (tp + fp + fn))
    assert ours["iou_bg"] == pytest.approx(tn / (tn + fp + fn))
    assert ours["mIoU"] == pytest.approx((ours["iou_fg"] + ours["iou_bg"]) / 2)
    assert ours["precision"] == pytest.approx(tp / (tp + fp))
    assert ours["recall"] == pytest.approx(tp / (tp + fn))
    assert ours["dice"] == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert ours["accuracy"] == pytest.approx((tp + tn) / confusion.sum())
    share = confusion[0].sum() / confusion.sum()
    assert background["name"] == "all background"
    assert (background["iou_fg"], background["recall"], background["precision"]) == (0, 0, None)
    assert background["accuracy"] == background["iou_bg"] == pytest.approx(share)
    assert background["mIoU"] == pytest.approx(share / 2)
    low, high = best_interval(counts[0])
    true_positive = counts[1, 1, low:high].sum()
    union = counts[1, 1].sum() + counts[1, 0, low:high].sum()
    assert rule["name"].startswith("NDVI rule (")
    assert rule["iou_fg"] == pytest.approx(true_positive / union, abs=2e-3)  # float32 beside a bin's edge
    assert f"{confusion.sum():,} pixels" in found["definition"]


def test_the_table_and_the_report_show_it(judged, capsys):
    found = json.loads((judged.out / "evaluation.json").read_text())
    with small_cells():
        assert main(judged.command()) == 0
    told = capsys.readouterr().out
    assert told.startswith(table(found))
    for row in found["rows"]:
        assert row["name"] in told
        assert row["name"].replace("<", "&lt;") in (judged.out / "report.html").read_text()
    assert f"{found['rows'][0]['mIoU']:.4f}" in told
    assert "–" in told  # precision of all background: 0/0


def test_any_order_of_cells_gives_the_same_numbers(judged, monkeypatch):
    from tests.jobs.worlds import ShuffledEngine

    before = (judged.out / "evaluation.json").read_bytes()
    monkeypatch.setattr("jobs.evaluate.engine_of", lambda _: ShuffledEngine(4))
    with small_cells():
        assert main(judged.command()) == 0
    assert (judged.out / "evaluation.json").read_bytes() == before


@given(arrays(np.int64, (2, 7), elements=st.integers(0, 20)))
@settings(max_examples=60)
def test_the_best_interval_is_the_best(counts):
    def score(low: int, high: int) -> float:
        tp, fp = counts[1, low:high].sum(), counts[0, low:high].sum()
        fn, tn = counts[1].sum() - tp, counts[0].sum() - fp
        return sum(float(a) / float(a + fp + fn) if a + fp + fn else 0.0 for a in (tp, tn))

    low, high = best_interval(counts)
    assert 0 <= low < high <= 7
    assert score(low, high) == pytest.approx(max(score(i, j) for i in range(7) for j in range(i + 1, 8)))


def refused(here: World, capsys, *changes: str) -> str:
    before = (here.out / "evaluation.json").exists() and (here.out / "evaluation.json").read_bytes()
    assert main(here.command(*changes)) == 2
    assert ((here.out / "evaluation.json").exists() and (here.out / "evaluation.json").read_bytes()) == before
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


def test_bundles_that_held_back_other_blocks_are_refused(tmp_path, capsys):
    here = labelled(tmp_path)
    here.settings["models"].append(write_bundle(tmp_path / "other", 2, split=SPLIT | {"seed": 4}))
    with answering(), small_cells():
        assert map_job.main(here.command()) == 0
        capsys.readouterr()
        told = refused(here, capsys)
    assert "held back different blocks" in told
    assert '"seed": 4' in told


def test_no_labelled_pixel_is_a_clear_error():
    empty = {"confusion": [[0, 0], [0, 0]], "ndvi": np.zeros((2, 2, NDVI_BINS), int).tolist()}
    with pytest.raises(ValueError, match="no labelled pixel lies in a held-back block"):
        evaluation_of([empty], "m", Split(), 0.5)


def test_without_training_pixels_there_is_no_rule():
    record = {"confusion": [[5, 1], [2, 3]], "ndvi": np.zeros((2, 2, NDVI_BINS), int).tolist()}
    found = evaluation_of([record, record], "m", Split(), 0.5)
    assert [row["name"] for row in found["rows"]] == ["map", "all background"]
    assert found["confusion"] == [[10, 2], [4, 6]]
    assert set(found["rows"][0]) == {"name", *COLUMNS}
