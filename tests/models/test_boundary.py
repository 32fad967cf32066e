import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.boundary import boundary, boundary_counts, boundary_scores, widened


def maps(seed, shape=(19, 26)):
    rng = np.random.default_rng(seed)
    labels = (rng.random(shape) < 0.5).astype(np.uint8)
    labels[4:12, 3:15] = 1
    predictions = np.roll(labels, 1, 1)
    labels[rng.random(shape) < 0.1] = 255
    return labels, predictions


def outline(mask, seen):
    """Pixel by pixel: inside, with a seen neighbour outside."""
    found = []
    height, width = mask.shape
    for y in range(height):
        for x in range(width):
            if not (mask[y, x] and seen[y, x]):
                continue
            for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= v < height and 0 <= u < width and seen[v, u] and not mask[v, u]:
                    found.append((y, x))
                    break
    return found


def oracle(labels, predictions, tolerance):
    seen = labels != 255
    truth, found = outline(labels == 1, seen), outline(predictions == 1, seen)

    def near(point, others):
        return any(math.dist(point, other) <= tolerance for other in others)

    return [sum(near(p, truth) for p in found), len(found), sum(near(p, found) for p in truth), len(truth)]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 500), st.sampled_from([0.0, 1.0, 1.5, 3.0]))
def test_counts_equal_distances_between_all_pairs(seed, tolerance):
    labels, predictions = maps(seed)
    assert boundary_counts(labels, predictions, tolerance).tolist() == oracle(labels, predictions, tolerance)


def test_a_square_has_its_rim_and_the_border_of_the_map_has_none():
    mask = np.zeros((10, 12), bool)
    mask[2:7, 3:9] = True
    rim = boundary(mask, np.ones_like(mask))
    assert rim.sum() == 2 * 6 + 2 * 3
    assert not rim[3:6, 4:8].any()
    assert not boundary(np.ones((4, 5), bool), np.ones((4, 5), bool)).any()


def test_nothing_is_asked_along_ignored_pixels():
    labels = np.ones((8, 9), np.uint8)
    labels[:, 4:] = 255
    predictions = np.ones((8, 9), np.uint8)
    predictions[:, 4:] = 0
    assert boundary_counts(labels, predictions).tolist() == [0, 0, 0, 0]


def test_a_shift_is_forgiven_up_to_the_tolerance():
    labels, moved = np.zeros((40, 50), np.uint8), np.zeros((40, 50), np.uint8)
    labels[10:30, 10:35] = 1
    moved[10:30, 13:38] = 1
    assert boundary_scores(boundary_counts(labels, moved, 3.0))["boundary_f1"] == 1
    assert boundary_scores(boundary_counts(labels, moved, 2.9))["boundary_f1"] < 1
    assert boundary_scores(boundary_counts(labels, labels, 0.0))["boundary_f1"] == 1


def test_scores_of_counts():
    assert boundary_scores(np.array([3, 4, 2, 8])) == pytest.approx(
        {"boundary_precision": 0.75, "boundary_recall": 0.25, "boundary_f1": 2 * 0.75 * 0.25}
    )
    assert boundary_scores(np.array([0, 0, 0, 5]))["boundary_f1"] == 0
    assert boundary_scores(np.array([0, 5, 0, 0]))["boundary_f1"] == 0
    assert boundary_scores(np.array([0, 5, 0, 5]))["boundary_f1"] == 0
    assert math.isnan(boundary_scores(np.zeros(4, int))["boundary_f1"])


def test_parts_with_a_margin_add_up_to_the_whole():
    labels, predictions = maps(3, (60, 70))
    tolerance, margin = 2.5, 4
    total = np.zeros(4, np.int64)
    for y0 in range(0, 60, 25):
        for x0 in range(0, 70, 30):
            y1, x1 = min(y0 + 25, 60), min(x0 + 30, 70)
            top, left = max(y0 - margin, 0), max(x0 - margin, 0)
            part = slice(top, y1 + margin), slice(left, x1 + margin)
            inner = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
            total += boundary_counts(labels[part], predictions[part], tolerance, inner)
    assert total.tolist() == boundary_counts(labels, predictions, tolerance).tolist()


def test_of_another_class_and_of_wrong_shapes():
    labels = np.array([[0, 2, 2, 1]], np.uint8)
    assert boundary_counts(labels, labels, 1.0, label=2).tolist() == [2, 2, 2, 2]
    assert widened(np.array([[True, False]]), 5.0).tolist() == [[True, True]]
    with pytest.raises(ValueError, match=r"must be one \(h, w\)"):
        boundary_counts(labels, labels[:, :3])
