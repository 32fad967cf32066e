"""Recipes of the weather document; and the whole reproduction, slow, on a world of 40 days at 32 px."""

import json
from datetime import date
from pathlib import Path

import pytest
import yaml

from jobs import weather
from jobs.embed_recipe_config import EmbedRecipeConfig, recipe_kind
from jobs.parsing import load
from jobs.reproduce import main
from jobs.weather import METHODS, SCALES, recipe_values, seeds_of, write_yaml
from tests.jobs.worlds import files_below
from tiler.synthetic.weather import SCALES as WORLDS
from tiler.synthetic.weather import Scale as WorldScale


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("method", METHODS)
def test_every_recipe_is_one(scale, method, tmp_path):
    values = recipe_values(method, 2, tmp_path, ["a.yaml"], SCALES[scale], None, "blocks", {"kind": "serial"})
    recipe = load(recipe_kind, str(write_yaml(tmp_path / "recipes/one.yaml", values)))
    assert isinstance(recipe, EmbedRecipeConfig)
    assert recipe.network.weights == "random:3"
    assert (recipe.network.lora is None) == (method == "frozen")
    assert recipe.data.split.kind == "blocks"
    if scale == "paper":
        assert recipe.train == {"epochs": 10, "batch": 96, "learning_rate": 3e-4, "seed": 2}
        assert (recipe.network.architecture, recipe.network.side_px) == ("vit_base_patch16_224", 224)
        assert recipe.network.lora is None or recipe.network.lora.model_dump() == weather.LORA


@pytest.mark.parametrize("scale", SCALES)
def test_given_weights_bring_their_positions(scale, tmp_path):
    values = recipe_values("timely", 0, tmp_path, ["a.yaml"], SCALES[scale], "file:vit.pth", "blocks", {})
    assert "positions" not in values["network"]
    assert load(recipe_kind, str(write_yaml(tmp_path / "one.yaml", values))).network.weights == "file:vit.pth"


def test_a_frozen_network_of_given_weights_is_the_same_with_every_seed():
    assert list(seeds_of("frozen", 3, None)) == list(seeds_of("frozen", 3, "random:5")) == [0, 1, 2]
    assert list(seeds_of("frozen", 3, "file:vit.pth")) == [0]
    assert list(seeds_of("timely", 3, "file:vit.pth")) == [0, 1, 2]


@pytest.fixture
def small(monkeypatch):
    """Let the tiny scale be tinier still."""
    monkeypatch.setitem(
        SCALES,
        "tiny",
        weather.Scale(
            "tiny",
            "",
            network={"architecture": "vit_tiny_patch16_224", "side_px": 32, "patch_px": 16, "depth": 1},
            train={"epochs": 1, "batch": 16, "learning_rate": 1e-3},
            data={"samples_per_epoch": 32, "validation_samples": 8},
        ),
    )
    world = WorldScale(date(2018, 7, 20), 40, 32, True, (0.4, 0.8))
    monkeypatch.setitem(WORLDS, "tiny", world)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_nothing_to_the_report(small, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["weather", "--out", str(out), "--seeds", "2", "--no-layouts", "--queries", "40", "--lpips", "none"]
    assert main(command) == 0
    told = capsys.readouterr().out
    for word in ("0.2148 ± 0.0974", "not known", "random vectors", "typhoon-hit@3", "base rate"):
        assert word in told
    scores = json.loads((out / "evaluation/scores.json").read_text())
    assert set(scores["scores"]) == {*METHODS, "pixels", "pca", "season", "random"}
    assert len(scores["scores"]["timely"]["recall_clean_psnr_24h"]["seeds"]) == 2
    assert {yaml.safe_load(p.read_text())["method"] for p in (out / "recipes").glob("*-1.yaml")} == set(METHODS)
    assert (out / "evaluation/figure1.png").is_file()
    before = files_below(out / "models")
    assert main(command) == 0
    assert capsys.readouterr().out.count("is trained already") == 8
    assert files_below(out / "models") == before
    # the runs of the world by their files, as a user's own
    runs = [str(p) for p in sorted((out / "world").glob("weather*.yaml"))]
    words = ["weather", "--out", str(tmp_path / "own"), "--data", *runs, "--states", str(out / "world/states.csv")]
    assert main([*words, "--seeds", "1", "--no-layouts", "--queries", "40", "--lpips", "none"]) == 0
    own = json.loads((tmp_path / "own/evaluation/scores.json").read_text())
    assert "recall_clean_psnr_0h" not in own["scores"]["timely"]
    assert own["scores"]["timely"]["state_ndcg_72h"]["mean"] > 0
    assert Path(runs[0]).is_file()
