"""A data set as training data: official split, coarse channels, and what a network makes of a modality that is gone."""

import json

import numpy as np
import pytest
import torch
import yaml

from jobs.parsing import load
from jobs.recipe_config import DataConfig, RecipeConfig
from jobs.train import main, plan_train
from jobs.training_data import SceneData, TileData, plan_data, read_weights
from models.bundle import load_bundle
from models.card import read_card
from tests.jobs.worlds import ARCHITECTURE, ENCODER, image, world, write_tif
from tests.tiler.rasters_for_tests import moved, numbers
from tests.tiler.rasters_for_tests import write_tif as write_plain
from tiler.tile_store import TileStore

SIDE, TRAIN, VALIDATION = 64, 9, 3
CHANNELS = ["red", "green", "blue", "nir", "mask", "gems2", "gems_mask"]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Write a delivery whose class only one band of GEMS tells, and the recipe that learns it; tile 1 has no GEMS."""
    folder = tmp_path_factory.mktemp("tiles")
    for index in range(TRAIN + VALIDATION):
        letter, name = "T" if index < TRAIN else "V", f"SN10_CHN_{index:05d}_230409.tif"
        part, left = folder / "delivery", index % 2 == 0
        write_plain(part / f"{letter}S_SN10_SN10/{name}", numbers(4, SIDE, SIDE, seed=index), crs=None, transform=None)
        label = np.full((SIDE, SIDE), 90, np.int8)
        label[:, slice(0, SIDE // 2) if left else slice(SIDE // 2, SIDE)] = 10
        write_plain(part / f"{letter}L_SN10/{name}", label, transform=moved(0, 100 * index))
        gems = np.full((10, 16, 16), 3.0, np.float32)
        gems[2, :, slice(0, 8) if left else slice(8, 16)] = 9.0
        if index != 1:
            write_plain(part / f"{letter}S_SN10_GEMS/{name}", gems, crs=None, transform=None, nodata=None)
    dataset = {"root": str(folder / "delivery"), "tile_px": SIDE, "modalities": [{"sensor": "GEMS", "side_px": 16}]}
    (folder / "run.yaml").write_text(yaml.safe_dump({"out": str(folder / "out"), "dataset": dataset}))
    settings = {
        "out": str(folder / "models/seven"),
        "network": {"architecture": ARCHITECTURE, "encoder": ENCODER, "weights": "random:3"},
        "data": {"run": str(folder / "run.yaml"), "tile_px": SIDE, "channels": CHANNELS, "augment": []},
        "train": {"epochs": 12, "batch": 3, "learning_rate": 1e-2, "precision": "fp32"},
        "engine": {"kind": "serial", "threads_per_worker": 1},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(scope="module")
def trained(recipe):
    assert main([str(recipe)]) == 0
    return recipe.parent / "models/seven"


def planned(recipe, *changes: str):
    return plan_train(load(RecipeConfig, str(recipe), changes))


def store_of(recipe) -> TileStore:
    return TileStore(planned(recipe).data.planned.url)


def test_what_a_data_set_offers(recipe):
    data = planned(recipe).data
    assert isinstance(data, TileData)
    assert data.offered == ("red", "green", "blue", "nir", "mask", *(f"gems{i}" for i in range(10)), "gems_mask")
    assert data.tiles(SIDE) == TRAIN
    assert set(data.label_values) == {0, 1}
    assert len(data.ids) == TRAIN + VALIDATION


def test_the_network_learns_from_the_coarse_channel_and_says_so(trained):
    card = read_card(trained)
    assert list(card.channels) == CHANNELS
    assert card.metrics["mIoU"] > 0.9, "only GEMS tells the class"
    assert (card.offset[4], card.scale[4], card.offset[6], card.scale[6]) == (0, 1, 0, 1)


def test_the_offset_of_a_coarse_channel_is_its_training_mean(recipe, trained):
    """Half of each raster is 3 and half is 9; the tile without one adds nothing."""
    assert read_card(trained).offset[5] == pytest.approx(6.0)
    assert read_card(trained).scale[5] == pytest.approx(3.0)


def test_a_network_can_do_without_the_modality(recipe, trained):
    """Filled with the training mean and flagged, the network answers something finite, and about nothing."""
    _, network = load_bundle(trained)
    store = store_of(recipe)
    there = store.network_input(TRAIN, CHANNELS)
    gone = there.copy()
    gone[5], gone[6] = network.offset[5].item(), 1
    with torch.no_grad():
        sure, unsure = (network(torch.from_numpy(x)[None]).abs().mean().item() for x in (there, gone))
    assert np.isfinite(unsure)
    assert unsure < sure


def test_the_history_has_a_row_for_each_epoch(trained):
    assert [row["epoch"] for row in json.loads((trained / "history.json").read_text())] == list(range(12))


def test_another_gate_is_another_training(recipe):
    first = planned(recipe).key
    run = recipe.parent / "gated.yaml"
    settings = yaml.safe_load((recipe.parent / "run.yaml").read_text())
    settings["dataset"]["missing_limit"] = 0.1
    run.write_text(yaml.safe_dump(settings))
    assert planned(recipe, f"data.run={run}").key != first
    assert planned(recipe, "data.modality_dropout=0.5").key != first


def test_tiles_larger_than_those_of_the_data_set_are_refused(recipe):
    with pytest.raises(ValueError, match="128 px cannot be cut from tiles of 64 px"):
        planned(recipe, "data.tile_px=128")


def test_scenes_offer_bands_and_mask(tmp_path):
    here = world(tmp_path, models=0)
    here.scene("s-20240102", image(90, 130))
    write_tif(tmp_path / "labels.tif", np.ones((90, 130), np.uint8), nodata=None)
    here.settings["labels"] = {"files": str(tmp_path / "labels.tif"), "codes": {2: 3}}
    data = plan_data(DataConfig(run=here.config))
    assert isinstance(data, SceneData)
    assert data.offered == ("red", "green", "blue", "nir", "mask")
    assert data.label_values == (0, 3)
    assert data.tiles(64) == -(-90 * 130 // 64**2)
    assert data.ids == ("s-20240102",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("id,weight\na,1\nc,2\n", r"names \['c'\], which are not among the 2 ids"),
        ("id,share\na,1\n", "no columns id and weight"),
        ("id,weight\na,much\n", "a weight is a number"),
        ("", "no columns id and weight"),
    ],
)
def test_bad_weights_are_refused(tmp_path, text, told):
    path = tmp_path / "weights.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=told):
        read_weights(str(path), ("a", "b"))


def test_weights_are_read_by_id(tmp_path):
    path = tmp_path / "weights.csv"
    path.write_text("weight,id,why\n0,a,cloudy\n2.5,b,\n")
    assert read_weights(str(path), ("a", "b", "c")) == {"a": 0.0, "b": 2.5}
    assert read_weights(None, ("a",)) == {}
