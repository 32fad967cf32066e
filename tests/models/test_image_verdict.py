import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.image_verdict import VerdictRule, choose_min_area_px, has_class, image_scores

IMAGES = st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=1, max_size=40)


def test_area_and_probability_decide():
    probability = np.array([[0.9, 0.5, 0.49], [np.nan, 0.7, 0.0]])
    assert VerdictRule(3, 0.5).area_px(probability) == 3
    assert VerdictRule(3, 0.5).verdict(probability)
    assert not VerdictRule(4, 0.5).verdict(probability)
    assert not VerdictRule(2, 0.8).verdict(probability)
    assert VerdictRule(1, 0.8).area_px(probability, probability < 0.6) == 0


@pytest.mark.parametrize(("area", "probability"), [(0, 0.5), (1, 1.1)])
def test_rules_without_meaning_are_refused(area, probability):
    with pytest.raises(ValueError, match="min_area_px"):
        VerdictRule(area, probability)


def test_truth_is_what_the_label_holds():
    label = np.array([[0, 255], [1, 1]])
    assert has_class(label)
    assert not has_class(label, min_area_px=3)
    assert not has_class(label, index=2)
    assert has_class(np.full((2, 2), 255)) is None


@given(IMAGES, st.integers(1, 60))
def test_scores_are_counts_of_four_cases(images, min_area_px):
    areas, truths = zip(*images, strict=True)
    scores = image_scores(areas, truths, min_area_px)
    found = [area >= min_area_px for area in areas]
    assert scores.hits == sum(f and t for f, t in zip(found, truths, strict=True))
    assert scores.hits + scores.false_alarms == sum(found)
    assert scores.hits + scores.misses == sum(truths)
    assert scores.spared == pytest.approx(1 - sum(found) / len(found))
    assert scores.accuracy == pytest.approx(np.mean([f == t for f, t in zip(found, truths, strict=True)]))
    if scores.precision + scores.recall:
        mean = 2 * scores.precision * scores.recall / (scores.precision + scores.recall)
        assert scores.f1 == pytest.approx(mean)


@given(IMAGES, st.sampled_from([0.5, 0.8, 0.95, 1.0]))
def test_the_chosen_area_is_the_largest_with_that_recall(images, min_recall):
    areas, truths = zip(*images, strict=True)
    chosen = choose_min_area_px(areas, truths, min_recall)
    reaching = [a for a in range(1, 60) if image_scores(areas, truths, a).recall >= min_recall - 1e-9]
    assert chosen == (max(reaching) if reaching else 1)


def test_areas_and_truths_belong_together():
    with pytest.raises(ValueError, match="do not belong together"):
        image_scores([1], [], 1)
