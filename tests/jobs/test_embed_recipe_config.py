from pathlib import Path

import pytest
import yaml

from jobs.config import RunConfig
from jobs.embed_recipe_config import EmbedRecipeConfig, recipe_kind
from jobs.parsing import load, parse
from jobs.recipe_config import RecipeConfig
from models.embedder_card import METHODS
from models.train_spec import TrainSpec

RECIPES = Path(__file__).resolve().parents[2] / "jobs" / "recipes"
SMALL = {"task": "embed", "out": "x", "network": {"weights": "random:0"}, "data": {"run": "r.yaml"}, "method": "timely"}


def read(tmp_path, values):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    return load(recipe_kind, str(path))


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"timely-ntxent"}))
def test_the_recipes_of_the_weather_document_have_its_numbers(method):
    recipe = load(recipe_kind, str(RECIPES / "weather" / f"{method}.yaml"))
    assert isinstance(recipe, EmbedRecipeConfig)
    assert recipe.method == method
    assert recipe.out == f"runs/weather/{method}"
    assert recipe.network.architecture == "vit_base_patch16_224"
    assert recipe.network.lora.model_dump() == {"rank": 8, "alpha": 16.0, "dropout": 0.1}
    assert recipe.data.channels == ("ir", "swir", "wv")
    assert (recipe.margin, recipe.positive_hours) == (0.5, (3.0,))
    spec = parse(TrainSpec, recipe.train, "train")
    assert (spec.optimizer.name, spec.learning_rate, spec.batch, spec.epochs) == ("AdamW", 3e-4, 96, 10)
    assert load(RunConfig, str(RECIPES.parents[1] / recipe.data.runs[0])).frames is not None


@pytest.mark.parametrize("method", ["timely", "timely-ntxent"])
def test_the_recipes_of_places_are_of_scenes(method):
    recipe = load(recipe_kind, str(RECIPES / "places" / f"{method}.yaml"))
    assert (recipe.method, recipe.out) == (method, f"runs/places/{method}")
    assert (recipe.data.tile_px, recipe.data.split.kind) == (512, "places")
    assert load(RunConfig, str(RECIPES.parents[1] / recipe.data.runs[0])).scenes


def test_the_task_chooses_the_model(tmp_path):
    assert recipe_kind({}) is RecipeConfig
    assert isinstance(read(tmp_path, SMALL), EmbedRecipeConfig)
    with pytest.raises(ValueError, match="did you mean 'embed'"):
        read(tmp_path, SMALL | {"task": "embedd"})
    with pytest.raises(ValueError, match="unknown key 'margn'; did you mean 'margin'"):
        read(tmp_path, SMALL | {"margn": 1})
    with pytest.raises(ValueError, match="did you mean 'side_px'"):
        read(tmp_path, SMALL | {"network": {"weights": "random:0", "sidepx": 1}})
    with pytest.raises(ValueError, match="did you mean 'simclr-ntxent'"):
        read(tmp_path, SMALL | {"method": "simclr-nt"})
    with pytest.raises(ValueError, match="is no range"):
        read(tmp_path, SMALL | {"blur": {"sigma_px": [2, 1]}})
    with pytest.raises(ValueError, match="'file:x' brings its own"):
        read(tmp_path, SMALL | {"network": {"weights": "file:x", "positions": "sine-cosine"}})
    with pytest.raises(ValueError, match=r"network\.weights' is required"):
        read(tmp_path, SMALL | {"network": {}})


def test_all_weights_are_trained_where_lora_is_null(tmp_path):
    assert read(tmp_path, SMALL | {"network": {"weights": "random:0", "lora": None}}).network.lora is None
    assert read(tmp_path, SMALL).network.lora.rank == 8
