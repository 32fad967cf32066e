"""What a configuration names is on the cluster, or in what is sent; anything else is said before it is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.package import collect
from jobs.config import RunConfig
from jobs.embed_recipe_config import EmbedRecipeConfig
from jobs.parsing import load
from jobs.recipe_config import RecipeConfig
from jobs.travel import check_travels

RUN: dict[str, Any] = {"out": "s3://maps/june", "scenes": "/shared/*.tif", "models": ["/shared/net"]}
RECIPE: dict[str, Any] = {
    "out": "/shared/net",
    "network": {"architecture": "unet", "weights": "random:1"},
    "data": {"run": "june.yaml"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that can be sent, with data that stay."""
    here = tmp_path / "work"
    for name in (
        "data/a.tif",
        "small/a.tif",
        "small/b.tif",
        "area.geojson",
        "net/card.json",
        "net/weights.safetensors",
    ):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text("x")
    return here


def check(folder: Path, settings: dict[str, Any], kind: type = RunConfig, name: str = "map.yaml") -> None:
    (folder / name).write_text(yaml.safe_dump(settings))
    check_travels(load(kind, str(folder / name)), folder / name, collect(folder))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"out": "/shared/june", "sensor": "LS30"},
        {"scenes": "small/*.tif", "area": "area.geojson"},
        {"scenes": "small"},
        {"scenes": [{"id": "a", "files": "small/{id}.tif", "bands": {"red": "*B04.jp2"}}]},
        {"modalities": [{"sensor": "GEMS", "files": "small/{date:%y%m}*.tif"}], "scenes": "s3://b/*.tif"},
    ],
    ids=str,
)
def test_what_lies_there_or_comes_along_is_well(folder: Path, change: dict[str, Any]) -> None:
    if "{date" in str(change):
        (folder / "small" / "2105.tif").write_text("x")
    check(folder, RUN | change)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"out": "runs/june"}, "out: 'runs/june' is relative: on the cluster it would lie in what was sent"),
        ({"scenes": "data/*.tif"}, "scenes: 'data/a.tif' is not among what is sent"),
        ({"scenes": "nowhere/*.tif"}, r"scenes: 'nowhere/\*.tif' is relative, and .* has none"),
        ({"models": ["net"]}, "models.0: 'net' is not among what is sent"),  # its weights stay
        ({"sensor": "own.yaml"}, "sensor: 'own.yaml' is relative"),
        ({"sensor": "SN11"}, "unknown sensor 'SN11'"),
        ({"labels": {"files": "../x.tif", "codes": {1: 1}}}, r"labels.files: '../x.tif' is relative"),
    ],
    ids=str,
)
def test_what_would_not_be_there_is_refused(folder: Path, change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        check(folder, RUN | change)


def test_all_that_is_wrong_is_said_at_once(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"map.yaml: out: .*; models.0: .*; models.1: "):
        check(folder, RUN | {"out": "runs/x", "models": ["runs/a", "runs/b"]})


def test_the_configuration_travels_with_what_it_extends(folder: Path, tmp_path: Path) -> None:
    (folder / "base.yaml").write_text(yaml.safe_dump(RUN))
    check(folder, {"extends": "base.yaml"})
    (tmp_path / "outside.yaml").write_text(yaml.safe_dump(RUN))
    with pytest.raises(ValueError, match=r"outside.yaml' is not among what is sent .*--working-dir"):
        check(folder, {"extends": "../outside.yaml"})
    (folder / ".rayignore").write_text("base.yaml\n")
    with pytest.raises(ValueError, match=r"base.yaml' is not among what is sent"):
        check(folder, {"extends": "base.yaml"})


def test_a_recipe_is_checked_with_its_run(folder: Path) -> None:
    (folder / "june.yaml").write_text(yaml.safe_dump(RUN))
    check(folder, RECIPE, RecipeConfig)
    (folder / "june.yaml").write_text(yaml.safe_dump(RUN | {"out": "runs/june"}))
    with pytest.raises(ValueError, match=r"june.yaml: out: 'runs/june' is relative"):
        check(folder, RECIPE, RecipeConfig)
    (folder / "june.yaml").unlink()
    with pytest.raises(ValueError, match=r"data.run: 'june.yaml' is relative"):
        check(folder, RECIPE, RecipeConfig)
    check(folder, RECIPE | {"data": {"run": "/shared/june.yaml"}}, RecipeConfig)


@pytest.mark.parametrize("weights", ["file:weights/b5.safetensors", "recipe:runs/models/first"])
def test_weights_that_stay_are_said(folder: Path, weights: str) -> None:
    (folder / "june.yaml").write_text(yaml.safe_dump(RUN))
    network = {"architecture": "unet", "weights": weights}
    with pytest.raises(ValueError, match=r"network.weights: "):
        check(folder, RECIPE | {"network": network}, RecipeConfig)


def test_every_run_of_an_embedder_is_checked(folder: Path) -> None:
    recipe = {"task": "embed", "out": "s3://maps/net", "method": "timely", "network": {"weights": "random:1"}}
    (folder / "june.yaml").write_text(yaml.safe_dump(RUN))
    check(folder, recipe | {"data": {"run": ["june.yaml", "/shared/coms.zarr"]}}, EmbedRecipeConfig)
    with pytest.raises(ValueError, match=r"data.run: 'july.yaml' is relative"):
        check(folder, recipe | {"data": {"run": ["june.yaml", "july.yaml"]}}, EmbedRecipeConfig)
    with pytest.raises(ValueError, match=r"data.run: 'coms.zarr' is relative"):
        check(folder, recipe | {"data": {"run": "coms.zarr"}}, EmbedRecipeConfig)
    with pytest.raises(ValueError, match=r"network.weights: "):
        check(folder, recipe | {"data": {"run": "june.yaml"}, "network": {"weights": "file:a.pth"}}, EmbedRecipeConfig)
