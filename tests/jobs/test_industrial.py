"""The shipped recipes of the industrial document say what it says, at any scale."""

import pytest
import yaml

from jobs.config import RunConfig
from jobs.industrial import MEMBERS, RECIPES, REPORTED, SCALES, TRAINED, recipe_values, write_recipes
from jobs.parsing import load, parse
from jobs.recipe_config import RecipeConfig
from models.networks import NetworkSpec
from models.train import TrainSpec
from tiler.augment import Channels, compose

ENGINE = {"kind": "serial"}
CHANNELS = ["red", "green", "blue", "nir", "mask"]


def recipe(name: str) -> RecipeConfig:
    return load(RecipeConfig, str(RECIPES / f"{name}.yaml"))


@pytest.mark.parametrize("name", TRAINED)
def test_recipes_hold_the_documents_settings(name):
    found, spec = recipe(name), TrainSpec(**recipe(name).train)
    assert found.network.encoder == "efficientnet-b5"
    assert found.network.architecture == ("unetplusplus" if "unetpp" in name else "deeplabv3plus")
    assert list(found.data.channels) == CHANNELS + (["gems0"] if name.endswith("6") else [])
    assert (found.data.tile_px, found.data.tiles_per_epoch) == (512, "all")
    assert (spec.loss, spec.alpha, spec.optimizer.name, spec.schedule.name) == (
        "bce_dice",
        0.5,
        "AdamW",
        "CosineAnnealingLR",
    )
    assert spec.weight_decay > 0
    assert spec.best is not None
    assert spec.best.metric == "mIoU"
    NetworkSpec(architecture=found.network.architecture, encoder=found.network.encoder, in_channels=5)


def test_landsat_is_augmented_more_strongly():
    names = {name if isinstance(name, str) else next(iter(name)) for name in recipe("pretrain-ls30").data.augment}
    asked = {"RandomResizedCrop", "HorizontalFlip", "VerticalFlip", "RandomRotate90", "GaussianNoise", "CoarseDropout"}
    assert asked <= names
    ones = (1.0,) * 5
    compose(recipe("pretrain-ls30").data.augment, Channels(tuple(CHANNELS), ones, ones, ones))
    assert recipe("pretrain-ls30").data.scaling == "range"
    assert set(recipe("unetpp-5").data.augment) < names


def test_the_transfer_begins_where_landsat_ended(tmp_path):
    assert recipe("transfer-6").network.weights == f"recipe:{recipe('pretrain-ls30').out}"
    for scale in SCALES.values():
        values = recipe_values("transfer-6", tmp_path, scale, 3, ENGINE)
        before = recipe_values("pretrain-ls30", tmp_path, scale, 3, ENGINE)
        assert values["network"]["weights"] == f"recipe:{before['out']}"
        assert before["network"]["weights"] == "random:4"
    assert TRAINED.index("pretrain-ls30") < TRAINED.index("transfer-6")


def test_gates_and_codes_are_those_of_the_document():
    sn10, ls30 = (load(RunConfig, str(RECIPES / f"{name}.yaml")) for name in ("sn10", "ls30"))
    assert (sn10.dataset.missing_limit, ls30.dataset.missing_limit) == (0.3, 0.8)
    assert sn10.dataset.codes == ls30.dataset.codes == {10: 1, 90: 0}
    assert [m.sensor for m in sn10.dataset.modalities] == ["GEMS", "AIR"]
    ensemble = load(RunConfig, str(RECIPES / "ensemble.yaml"))
    assert list(ensemble.models) == [recipe(name).out for name in MEMBERS]


def test_the_reported_rows_are_the_documents():
    assert [row.miou_percent for row in REPORTED] == [98.41, 98.79, 98.76, 98.72]
    assert {name for row in REPORTED for name in row.members} == set(MEMBERS)


@pytest.mark.parametrize("scale", SCALES)
def test_every_file_of_a_reproduction_loads_and_can_be_run_by_itself(tmp_path, scale):
    files = write_recipes(tmp_path, "elsewhere/71805", SCALES[scale], 2, ENGINE)
    assert set(files) == {"sn10", "ls30", *TRAINED, "ensemble"}
    for name, path in files.items():
        kind = RecipeConfig if name in TRAINED else RunConfig
        found = load(kind, str(path))
        assert found.out.startswith(str(tmp_path))
        if kind is RunConfig:
            assert found.dataset.root == "elsewhere/71805"
            continue
        assert load(RunConfig, found.data.run).dataset is not None
        assert parse(TrainSpec, found.train, "train").seed == 2
        assert found.network.encoder == (SCALES[scale].encoder or "efficientnet-b5")
    before = {name: yaml.safe_load(path.read_text()) for name, path in files.items()}
    twice = write_recipes(tmp_path, "elsewhere/71805", SCALES[scale], 2, ENGINE)
    assert {name: yaml.safe_load(path.read_text()) for name, path in twice.items()} == before
