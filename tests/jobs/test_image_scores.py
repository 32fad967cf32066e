import json

import numpy as np

from jobs.image_scores import score_files, told
from jobs.image_training import DRAWN
from jobs.watching import Curves

NAMES = ("a", "b", "c")


def test_a_collapsed_classifier_is_told_so():
    matrix = np.array([[0, 30, 0], [0, 29, 1], [0, 30, 0]])
    files, verdict, metrics = score_files({"validation": np.eye(3, dtype=int), "test": matrix}, NAMES)
    assert (verdict["part"], verdict["collapsed"], verdict["most_predicted"]) == ("test", True, "b")
    lines = told(json.loads(files["scores.json"]))
    assert lines[-1].startswith("COLLAPSED  99% of the answers are 'b'")
    assert metrics["test_accuracy"] == 29 / 90
    assert files["confusion.csv"].decode().splitlines()[2] == "b,0,29,1"


def test_validation_judges_where_there_is_no_test_part():
    files, verdict, metrics = score_files({"validation": np.diag([3, 2, 1])}, NAMES)
    report = json.loads(files["scores.json"])
    assert (report["judged"], verdict["collapsed"], metrics) == ("validation", False, {})
    assert report["scores"]["validation"]["macro_f1"] == 1
    assert len(told(report)) == 2


def test_without_images_there_is_nothing_to_score():
    assert score_files({}, NAMES) == ({}, {}, {})


def test_curves_show_the_numbers_that_are_named(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("jobs.watching.learning_curves", lambda histories: seen.append(histories) or b"png")
    history = [{"epoch": 0, "training_loss": 1.0, "accuracy": 0.5, "undefined": 3.0, "seconds": 2.0}]
    Curves(str(tmp_path), "kinds", DRAWN).epoch(history, 0)
    assert seen == [{"kinds": [{"epoch": 0, "train_loss": 1.0, "accuracy": 0.5}]}]
    assert (tmp_path / "curves.png").read_bytes() == b"png"
