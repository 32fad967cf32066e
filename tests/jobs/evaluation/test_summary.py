"""Evaluation: scores and intervals of counts, for one class and for several, without NaN."""

import json

import numpy as np
import pytest

from jobs.config import EvaluateConfig
from jobs.evaluation.counts import Counts
from jobs.evaluation.scoring import Ground, Rule, count
from jobs.evaluation.summary import Subject, evaluation_of, plain, region_rows
from jobs.evaluation.text import definitions, map_definition
from models.bootstrap import block_bootstrap
from models.confusion import confusion
from models.metrics import class_scores, class_table, scores
from tiler.labels import IGNORE


def counted(classes: int = 1, seed: int = 0, blocks: int = 6) -> tuple[Counts, np.ndarray, np.ndarray]:
    """Counts of a map on a row of blocks, the truth and the map."""
    rng = np.random.default_rng(seed)
    labels, shape = max(classes, 2), (11, 9 * blocks)
    truth = (np.mgrid[0 : shape[0], 0 : shape[1]].sum(0) // 5 % labels).astype(np.uint8)
    logits = rng.normal(0, 1.5, (classes, *shape)).astype(np.float32)
    if classes == 1:
        logits[0] += np.where(truth == 1, 2, -2)
    else:
        logits += 2 * (truth == np.arange(classes)[:, None, None])
    truth[rng.random(shape) < 0.1] = IGNORE
    missing = np.zeros(shape, bool)
    missing[:, 7:10] = True
    cols = np.arange(shape[1]) // 9
    regions = np.broadcast_to(cols // 4, shape)
    ground = Ground(truth, missing, np.zeros(shape[0], int), cols, regions)
    return count(ground, {"map": logits}, {}, Rule(labels)), truth, logits


def subject(names: tuple[str, ...] = ("background", "industrial"), **more) -> Subject:
    settings = {"missing_counts": False, "groups": {}, "differences": (), "titles": {}, "resamples": 200, **more}
    return Subject(names, "map", **settings)


def test_intervals_are_those_of_the_blocks():
    counts, _, _ = counted()
    found = evaluation_of(counts, subject())
    row = found["rows"][0]
    expected = block_bootstrap(counts.confusion[:, 0, 0], scores, 200, seed=20250)
    for column in ("mIoU", "iou_fg", "dice", "accuracy"):
        assert row[column] == pytest.approx(expected[column].value)
        assert row["intervals"][column] == pytest.approx([expected[column].low, expected[column].high])
        assert row["intervals"][column][0] < row[column] < row["intervals"][column][1]
    assert row["intervals"]["boundary_f1"][0] <= row["boundary_f1"] <= row["intervals"]["boundary_f1"][1]
    assert found["blocks"] == 6


def test_several_classes_have_rows_of_their_own():
    names = ("background", "industrial", "port")
    counts, truth, logits = counted(3)
    found = evaluation_of(counts, subject(names, missing_counts=True))
    matrix = confusion(truth, logits.argmax(0).astype(np.uint8), 3)
    row, background = found["rows"]
    for key, value in class_scores(matrix).items():
        if key in row:
            assert row[key] == pytest.approx(value)
    assert {"mIoU", "macro_f1", "iou_0", "iou_1", "iou_2", "boundary_f1", "ece"} <= set(row)
    assert background["name"] == "all background"
    assert background["iou_1"] == background["iou_2"] == 0
    for told, expected in zip(found["by_class"], class_table(matrix, names), strict=True):
        assert {k: told[k] for k in expected} == pytest.approx(expected)
    assert [r["boundary_f1"] is None for r in found["by_class"]] == [True, False, False]
    assert found["confusion"] == matrix.tolist()
    assert found["share_of_classes"] == pytest.approx((matrix.sum(1) / matrix.sum()).tolist())
    assert 0.3 < found["calibration"]["map"]["temperature"] < 3
    words = definitions(found, EvaluateConfig())
    assert set(words) == set(found["columns"])
    assert words["iou_2"] == "IoU of port"
    assert "port" in map_definition(found, EvaluateConfig())


def test_one_block_has_no_interval():
    counts, _, _ = counted(blocks=1)
    row = evaluation_of(counts, subject())["rows"][0]
    assert row["mIoU"] > 0
    assert row["intervals"]["mIoU"] == [None, None]


def test_missing_imagery_counts_only_where_it_is_told_to():
    counts, truth, _ = counted()
    known = truth != IGNORE
    apart, whole = (evaluation_of(counts, subject(missing_counts=m)) for m in (False, True))
    assert whole["pixels"] == known.sum()
    assert apart["pixels"] == known.sum() - known[:, 7:10].sum()
    assert apart["missing"] == whole["missing"]
    assert apart["missing_pixels"] == whole["missing_pixels"] == known[:, 7:10].sum()


def test_blocks_of_missing_imagery_alone_are_not_drawn():
    counts, truth, _ = counted()
    hidden = Ground(truth, np.arange(54)[None, :] < 9 + np.zeros((11, 1), int), np.zeros(11, int), np.arange(54) // 9)
    found = count(hidden, {}, {"map": truth % 2}, Rule(2))
    assert evaluation_of(found, subject())["blocks"] == 5
    assert evaluation_of(counts, subject())["blocks"] == 6


def test_a_perfect_map_is_perfect_and_an_undefined_score_is_null():
    _, truth, _ = counted()
    truth[truth == 1] = 0
    ground = Ground(truth, np.zeros(truth.shape, bool), np.zeros(11, int), np.arange(54) // 9)
    found = evaluation_of(count(ground, {}, {"map": np.zeros_like(truth)}, Rule(2)), subject())
    row = found["rows"][0]
    assert (row["mIoU"], row["iou_bg"], row["iou_fg"], row["precision"]) == (1, 1, None, None)
    assert "NaN" not in json.dumps(found, allow_nan=False)


def test_nothing_counted_is_an_error():
    _, truth, logits = counted()
    ground = Ground(np.full_like(truth, IGNORE), truth > 9, np.zeros(11, int), np.arange(54) // 9)
    with pytest.raises(ValueError, match="no labelled pixel counts"):
        evaluation_of(count(ground, {"map": logits}, {}, Rule(2)), subject())


def test_regions_hold_their_own_scores():
    counts, truth, logits = counted()
    rows = region_rows(counts, ("west", "east"), subject())
    answer = (logits[0] >= 0).astype(np.uint8)
    seen = np.where(np.isin(np.arange(54), [7, 8, 9])[None, :], IGNORE, truth)
    for row, part in zip(rows, (slice(0, 36), slice(36, 54)), strict=True):
        expected = scores(confusion(seen[:, part], answer[:, part], 2))
        assert row["mIoU"] == pytest.approx(expected["mIoU"])
        assert row["pixels"] == (seen[:, part] != IGNORE).sum()
    assert [row["region"] for row in rows] == ["west", "east"]


def test_plain_values_have_no_nan_and_no_numpy():
    told = plain({"a": np.float64("nan"), "b": (np.int64(3), float("inf")), "c": [{"d": np.bool_(True)}]})
    assert told == {"a": None, "b": [3, float("inf")], "c": [{"d": True}]}
    assert type(told["b"][0]) is int
