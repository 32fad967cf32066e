import pytest

from models.train_spec import TrainSpec


def test_the_defaults_are_those_of_the_recipes():
    spec = TrainSpec()
    assert (spec.epochs, spec.batch, spec.learning_rate, spec.weight_decay) == (20, 8, 3e-4, 1e-2)
    assert (spec.loss, spec.alpha, spec.precision, spec.freeze_normalisation) == ("bce_dice", 0.5, "auto", False)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"loss": "bce_dicee"}, "Did you mean 'bce_dice'"),
        ({"precision": "bf61"}, "Did you mean 'bf16'"),
        ({"epochs": 0}, "epochs"),
        ({"alpha": 1.5}, "alpha"),
        ({"gradient_clip": 0.0}, "gradient_clip"),
        ({"learning_rat": 1e-3}, "learning_rat"),
    ],
)
def test_wrong_settings_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        TrainSpec(**changed)


def test_a_spec_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        TrainSpec().epochs = 3
