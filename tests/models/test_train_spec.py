import pytest

from models.train_spec import BestRule, TrainSpec


def test_the_defaults_are_those_of_the_recipes():
    spec = TrainSpec()
    assert (spec.epochs, spec.batch, spec.learning_rate, spec.weight_decay) == (20, 8, 3e-4, 1e-2)
    assert (spec.loss, spec.alpha, spec.precision, spec.freeze_normalisation) == ("bce_dice", 0.5, "auto", False)
    assert (spec.optimizer.name, spec.schedule.name, spec.accumulate, spec.compile) == (
        "AdamW", "CosineAnnealingLR", 1, False
    )  # fmt: skip
    assert (spec.early_stop, spec.best, spec.checkpoint_steps, spec.class_weights) == (None, None, None, None)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"loss": "bce_dicee"}, "Did you mean 'bce_dice'"),
        ({"precision": "bf61"}, "Did you mean 'bf16'"),
        ({"epochs": 0}, "epochs"),
        ({"alpha": 1.5}, "alpha"),
        ({"gradient_clip": 0.0}, "gradient_clip"),
        ({"learning_rat": 1e-3}, "learning_rat"),
        ({"optimizer": "SDG"}, "Did you mean 'SGD'"),
        ({"schedule": {"name": "LambdaLR"}}, "needs a rule"),
        ({"class_weights": [1, -1]}, "not negative"),
        ({"class_weights": [0, 0]}, "not all 0"),
        ({"early_stop": {"patience": 0}}, "patience"),
        ({"best": {"mode": "most"}}, "mode"),
        ({"freeze_normalisation": True, "sync_normalisation": True}, "exclude each other"),
    ],
)
def test_wrong_settings_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        TrainSpec(**changed)


def test_a_spec_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        TrainSpec().epochs = 3


def test_settings_left_alone_do_not_show_so_that_keys_of_older_runs_stay():
    first = {
        "epochs": 20, "batch": 8, "learning_rate": 3e-4, "weight_decay": 1e-2, "loss": "bce_dice", "alpha": 0.5,
        "seed": 0, "precision": "auto", "freeze_normalisation": False, "gradient_clip": None,
    }  # fmt: skip
    assert TrainSpec().model_dump() == TrainSpec().model_dump(mode="json") == first
    assert TrainSpec(optimizer="AdamW", schedule={"name": "CosineAnnealingLR"}).model_dump() == first
    assert TrainSpec(optimizer="SGD").model_dump().keys() - first.keys() == {"optimizer"}


def test_a_spec_comes_back_from_its_plain_values():
    spec = TrainSpec(
        optimizer={"name": "RMSprop", "smoothing": 0.9},
        schedule={"name": "LambdaLR", "rule": "exp:0.9"},
        class_weights=(1, 3.5),
        early_stop={"patience": 3, "metric": "iou_fg"},
        best={},
        accumulate=2,
    )
    for mode in ("python", "json"):
        assert TrainSpec(**spec.model_dump(mode=mode)) == spec


def test_better_is_more_or_less_by_enough_and_never_nan():
    more, less = BestRule(), BestRule(metric="training_loss", mode="min")
    assert [more.better(v, 0.5) for v in (0.4, 0.5, 0.6, float("nan"))] == [False, False, True, False]
    assert [less.better(v, 0.5) for v in (0.4, 0.5, 0.6, float("nan"))] == [True, False, False, False]
    assert more.better(-9.0, None)
    assert not more.better(float("nan"), None)
    assert [more.better(v, 0.5, 0.1) for v in (0.59, 0.61)] == [False, True]
