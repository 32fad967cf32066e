"""Cleaning of a synthetic country with planted cloud, haze, holes and another sensor, beside trivial rules."""

import pytest

from benchmarks.curation_map import best_threshold, measure, scores, write


@pytest.mark.slow
def test_planted_windows_are_found_and_no_good_one_is(tmp_path):
    path, kinds = write(tmp_path, seed=1, windows=81, share=0.15)
    assert {"cloud", "haze", "hole", "sensor"} <= set(kinds)
    rules = measure(path, kinds, 2)["rules"]
    cleaned = rules["suspect cluster or missing ratio"]
    assert cleaned["sensor"] == cleaned["hole"] == 1
    assert cleaned["cloud"] > 0
    assert cleaned["precision"] > 0.9
    assert cleaned["f1"] > 2 * rules["all windows"]["f1"]
    assert cleaned["f1"] > rules["missing ratio above 0.3"]["f1"]


def test_scores_and_the_best_threshold():
    import numpy as np

    truth, values = np.array([True, True, False, False]), np.array([9.0, 5.0, 6.0, np.nan])
    assert scores(values > 5.5, truth) == {"precision": 0.5, "recall": 0.5, "f1": 0.5}
    assert best_threshold(values, truth).tolist() == [True, True, True, False]
