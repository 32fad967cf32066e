"""Learning curves: whatever a history holds, a picture comes out."""

import pytest

from jobs.training_figures import learning_curves, training_curves
from tests.jobs.test_figures import pixels

pytestmark = pytest.mark.usefixtures("drawn_pictures")


def test_learning_curves_survive_gaps_short_runs_and_text():
    histories = {
        "unet": [{"epoch": 1, "train_loss": 0.7, "valid_loss": float("nan"), "note": "warm"}, {"epoch": 2, "iou": 0.4}],
        "segformer": [{"train_loss": 0.6, "lr": 1e-3}],
        "empty": [],
    }
    assert pixels(learning_curves(histories)).size
    assert pixels(learning_curves({})).size


ROW = {"epoch": 0, "training_loss": 0.7, "learning_rate": 1e-3, "mIoU": 0.4, "iou_fg": 0.3, "iou_bg": 0.5, "dice": 0.4}
LATER = ROW | {"epoch": 1, "training_loss": 0.4, "mIoU": 0.6, "seconds": 3.5, "empty_classes": 0.0}


def test_training_curves_are_the_same_bytes_for_the_same_history_and_others_for_another():
    first = training_curves([ROW, LATER], ("industrial",))
    assert first == training_curves([ROW, LATER], ("industrial",))
    for other in (
        [ROW],
        [ROW, LATER | {"mIoU": 0.7}],
        [ROW, LATER | {"learning_rate": 1e-4}],
        [ROW, LATER | {"best": True}],
    ):
        assert training_curves(other, ("industrial",)) != first
    assert training_curves([ROW, LATER | {"seconds": 9.0, "empty_classes": 1.0}], ("industrial",)) == first  # no curves


@pytest.mark.parametrize("classes", [("industrial",), ("background", "industrial", "port")])
def test_training_curves_survive_gaps_and_a_run_without_validation(classes):
    bare = {"epoch": 3, "training_loss": float("nan"), "learning_rate": 0.1}
    scored = {"epoch": 4, "training_loss": 0.1, "iou_2": 0.5, "macro_f1": 0.5, "best": True}
    for history in ([bare], [bare, scored], [ROW, bare]):
        assert pixels(training_curves(history, classes)).ndim == 3
