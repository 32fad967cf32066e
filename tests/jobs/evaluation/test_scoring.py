"""Scoring: counts are those of plain loops, and parts add up to the whole, whatever the cut and the order."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.evaluation.counts import Counts
from jobs.evaluation.scoring import Ground, Rule, classes_of, count
from models.boundary import boundary_counts
from models.calibration import Reliability, logit_histogram
from models.confusion import confusion
from tiler.labels import IGNORE

ORIGIN = (-70, 41)
BLOCK = 16


def made(classes: int, seed: int = 0, shape: tuple[int, int] = (53, 67)):
    """Logits with holes, labels with ignored pixels, another map, regions: lopsided, in an odd place."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    logits = np.stack([3 * np.sin(y / 7 + k) + 3 * np.cos(x / (9 + k)) for k in range(classes)]).astype(np.float32)
    logits += rng.normal(0, 1, logits.shape).astype(np.float32)
    labels = max(classes, 2)
    truth = (np.abs(2 * np.sin(y / 7 + 0.3) + 2 * np.cos(x / 9)) % labels).astype(np.uint8)
    truth[rng.random(shape) < 0.1] = IGNORE
    truth[:, 30:37] = IGNORE
    logits[:, 20:29, 10:33] = np.nan
    other = rng.integers(0, labels, shape).astype(np.uint8)
    regions = (x // 23 + 3 * (y // 31)) - 1
    return logits, truth, other, regions


def ground_of(truth, missing, regions, y=slice(None), x=slice(None), inner=(slice(None), slice(None))) -> Ground:
    rows = (np.arange(truth.shape[0]) + ORIGIN[0]) // BLOCK
    cols = (np.arange(truth.shape[1]) + ORIGIN[1]) // BLOCK
    return Ground(truth[y, x], missing[y, x], rows[y], cols[x], regions[y, x], inner)


def same(a: Counts, b: Counts) -> None:
    assert (a.names, a.labels) == (b.names, b.labels)
    for kind in ("blocks", "regions"):
        np.testing.assert_array_equal(getattr(a, kind).keys, getattr(b, kind).keys)
        np.testing.assert_array_equal(getattr(a, kind).values, getattr(b, kind).values)
    for name, found in a.calibration.items():
        for part in ("counts", "correct", "confidence"):
            np.testing.assert_array_equal(
                getattr(found.reliability, part), getattr(b.calibration[name].reliability, part)
            )
        if isinstance(found.logits, np.ndarray):
            np.testing.assert_array_equal(found.logits, b.calibration[name].logits)
        else:
            np.testing.assert_allclose(found.logits.slopes, b.calibration[name].logits.slopes)


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("missing_counts", [False, True])
def test_the_counts_are_those_of_whole_arrays(classes, missing_counts):
    logits, truth, other, regions = made(classes)
    missing = np.isnan(logits).any(0)
    labels = max(classes, 2)
    rule = Rule(labels, 0.3, 2.0, missing_counts)
    found = count(ground_of(truth, missing, regions), {"map": logits}, {"other": other}, rule)
    answers = classes_of(logits, 0.3)
    assert (answers[missing] == IGNORE).all()
    assert (answers[~missing] != IGNORE).all()
    for place, answer in enumerate((np.where(missing, 0, answers), other)):
        for stratum in (0, 1):
            chosen = np.where(missing == stratum, truth, IGNORE)
            np.testing.assert_array_equal(found.confusion[:, stratum, place].sum(0), confusion(chosen, answer, labels))
    judged = truth if missing_counts else np.where(missing, IGNORE, truth).astype(np.uint8)
    for place, answer in enumerate((answers, other)):
        for label in range(1, labels):
            expected = boundary_counts(judged, answer, 2.0, label=label)
            np.testing.assert_array_equal(found.boundary[:, place, label - 1].sum(0), expected)
    assert set(found.calibration) == {"map"}
    if classes == 1:
        known = ~missing & (truth != IGNORE)
        sure = 1 / (1 + np.exp(-logits[0][known].astype(float)))
        np.testing.assert_array_equal(
            found.calibration["map"].reliability.counts, Reliability.of(sure, truth[known] == 1).counts
        )
        np.testing.assert_array_equal(
            found.calibration["map"].logits, logit_histogram(logits[0][known].astype(float), truth[known])
        )


def test_blocks_and_regions_count_their_own_pixels():
    logits, truth, other, regions = made(1)
    missing = np.isnan(logits).any(0)
    found = count(ground_of(truth, missing, regions), {}, {"other": other}, Rule(2))
    rows, cols = ((np.arange(n) + o) // BLOCK for n, o in zip(truth.shape, ORIGIN, strict=True))
    for (row, col), matrix in zip(found.blocks.keys.tolist(), found.confusion[:, :, 0].sum(1), strict=True):
        chosen = (rows[:, None] == row) & (cols[None, :] == col)
        np.testing.assert_array_equal(matrix, confusion(np.where(chosen, truth, IGNORE), other, 2))
    assert -1 not in found.regions.keys[:, 0]
    assert (regions == -1).any()
    for (region,), matrix in zip(found.regions.keys.tolist(), found.region_confusion[:, :, 0].sum(1), strict=True):
        np.testing.assert_array_equal(matrix, confusion(np.where(regions == region, truth, IGNORE), other, 2))


@given(st.integers(0, 10_000), st.sampled_from([1, 3]), st.integers(7, 40), st.integers(7, 50), st.booleans())
@settings(max_examples=15, deadline=None)
def test_the_cut_and_the_order_do_not_show(seed, classes, side_y, side_x, missing_counts):
    logits, truth, other, regions = made(classes, seed)
    missing = np.isnan(logits).any(0)
    rule = Rule(max(classes, 2), 0.4, 2.0, missing_counts)
    whole = count(ground_of(truth, missing, regions), {"map": logits}, {"other": other}, rule)
    parts = []
    for y0 in range(0, truth.shape[0], side_y):
        for x0 in range(0, truth.shape[1], side_x):
            y1, x1 = min(y0 + side_y, truth.shape[0]), min(x0 + side_x, truth.shape[1])
            wide = (
                slice(max(0, y0 - 3), min(truth.shape[0], y1 + 3)),
                slice(max(0, x0 - 3), min(truth.shape[1], x1 + 3)),
            )
            inner = slice(y0 - wide[0].start, y1 - wide[0].start), slice(x0 - wide[1].start, x1 - wide[1].start)
            ground = ground_of(truth, missing, regions, *wide, inner)
            parts.append(count(ground, {"map": logits[(slice(None), *wide)]}, {"other": other[wide]}, rule))
    np.random.default_rng(seed).shuffle(parts)
    told = [Counts.from_json(json.loads(json.dumps(part.to_json(), allow_nan=False))) for part in parts]
    same(Counts.total(told), whole)
    same(sum(told[1:], start=told[0]), whole)


def test_blocks_without_a_labelled_pixel_do_not_travel():
    logits, truth, _, regions = made(1)
    truth[:, :] = IGNORE
    truth[4, 5] = 1
    found = count(ground_of(truth, np.isnan(logits).any(0), regions), {"map": logits}, {}, Rule(2))
    assert found.blocks.keys.tolist() == [[(4 + ORIGIN[0]) // BLOCK, (5 + ORIGIN[1]) // BLOCK]]


def test_a_label_beyond_the_classes_is_refused():
    logits, truth, _, regions = made(1)
    truth[0, 0] = 7
    with pytest.raises(ValueError, match="below 2 or 255, found 7"):
        count(ground_of(truth, np.isnan(logits).any(0), regions), {"map": logits}, {}, Rule(2))


def test_the_class_is_from_the_threshold_on_and_of_equal_ones_the_first():
    logit = np.float32(np.log(0.3 / 0.7))
    logits = np.array([[[logit, np.nextafter(logit, np.float32(-9)), np.nan, 2]]], np.float32)
    assert classes_of(logits, 0.3).tolist() == [[1, 0, IGNORE, 1]]
    several = np.array([[[1, 0, np.nan]], [[1, 2, 0]], [[0, 2, 5]]], np.float32)
    assert classes_of(several, 0.5).tolist() == [[0, 1, IGNORE]]
