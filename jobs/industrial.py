"""The experiments of the industrial document: which recipes, at which scale, and the table that they fill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from jobs.config import RunConfig
from jobs.parsing import load
from jobs.recipe_config import RecipeConfig

RECIPES = Path(__file__).parent / "recipes" / "industrial"
TRAINED = ("unetpp-5", "deeplab-5", "unetpp-6", "deeplab-6", "pretrain-ls30", "transfer-6")
"""Recipes in the order in which they are trained: the last begins where the one before it ended."""
MEMBERS = ("unetpp-5", "deeplab-5", "unetpp-6", "deeplab-6", "transfer-6")
"""Networks of the ensemble. The document does not say which its own had."""
DATASETS = {"sn10": "SN10", "ls30": "LS30"}
"""Run of a data set to its sensor."""


@dataclass(frozen=True)
class Reported:
    """A row of the document's table."""

    structure: str
    channels: str
    feature: str
    miou_percent: float
    members: tuple[str, ...]
    """Recipes that measure it; of several, the mean of their scores."""


REPORTED = (
    Reported("U-Net++ and DeepLabV3+", "5", "baseline: R, G, B, NIR, mask", 98.41, ("unetpp-5", "deeplab-5")),
    Reported("U-Net++", "6", "fusion with GEMS/AIR", 98.79, ("unetpp-6",)),
    Reported("DeepLabV3+", "6", "fusion with GEMS/AIR", 98.76, ("deeplab-6",)),
    Reported("DeepLabV3+", "5 to 6", "transfer LS30 to SN10", 98.72, ("transfer-6",)),
)
"""The document's four rows. Its first names two networks and one score: here it is the mean of both."""


@dataclass(frozen=True)
class Scale:
    """How large the experiments are; what is None stays as the recipes say."""

    tiles: int
    """10 m tiles of the synthetic country, where no data set is given; half as many of 30 m."""
    summary: str
    encoder: str | None = None
    tile_px: int | None = None
    tiles_per_epoch: int | None = None
    train: Mapping[str, Any] | None = None


SCALES = {
    "tiny": Scale(
        45,
        "under 6 minutes on 2 cores: light encoders, 128 px, a few epochs; shows that all of it works, not how well",
        encoder="tu-mobilenetv3_small_050",
        tile_px=128,
        tiles_per_epoch=64,
        train={"epochs": 5, "batch": 8, "learning_rate": 2e-3},
    ),
    "small": Scale(
        360,
        "some hours on 2 cores, minutes on a GPU: light encoders, 256 px",
        encoder="tu-mobilenetv3_small_100",
        tile_px=256,
        tiles_per_epoch=320,
        train={"epochs": 12, "batch": 8, "learning_rate": 1e-3},
    ),
    "paper": Scale(9000, "days on one GPU: EfficientNet-B5, 512 px, the document's settings as far as it gives any"),
}


def run_values(name: str, out: Path, data: str) -> dict[str, Any]:
    """Return the run that ingests a data set.

    Args:
        name: a key of `DATASETS`.
        out: folder of the reproduction.
        data: root of the data set.
    """
    run = load(RunConfig, str(RECIPES / f"{name}.yaml"), [f"out={out / name}", f"dataset.root={data}"])
    return run.model_dump(mode="json", exclude_defaults=True)


def recipe_values(name: str, out: Path, scale: Scale, seed: int, engine: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe of `TRAINED` at a scale: a function of its arguments and of the shipped file."""
    values = load(RecipeConfig, str(RECIPES / f"{name}.yaml")).model_dump(mode="json", exclude_defaults=True)
    begin = f"recipe:{out / 'models' / 'pretrain-ls30'}" if name == "transfer-6" else f"random:{seed + 1}"
    source = "ls30" if name == "pretrain-ls30" else "sn10"
    values["out"] = str(out / "models" / name)
    values["network"] |= {"weights": begin} | ({"encoder": scale.encoder} if scale.encoder else {})
    values["data"] |= {"run": str(out / "recipes" / f"{source}.yaml")}
    if scale.tile_px:
        values["data"] |= {"tile_px": scale.tile_px, "tiles_per_epoch": scale.tiles_per_epoch}
    values["train"] = {**values.get("train", {}), **(scale.train or {}), "seed": seed}
    values["engine"] = dict(engine)
    return values


def ensemble_values(out: Path, data: str, engine: Mapping[str, Any]) -> dict[str, Any]:
    """Return the run that judges every network and all of them together on the validation tiles of 10 m."""
    models = [str(out / "models" / name) for name in MEMBERS]
    return {**run_values("sn10", out, data), "models": models, "engine": dict(engine)}


def write_recipes(out: Path, data: str, scale: Scale, seed: int, engine: Mapping[str, Any]) -> dict[str, Path]:
    """Write every file of the reproduction to `out/recipes`, so that each can be run again by itself.

    Returns:
        Name to file: the data sets, the recipes, and "ensemble".
    """
    values = {name: {**run_values(name, out, data), "engine": dict(engine)} for name in DATASETS}
    values |= {name: recipe_values(name, out, scale, seed, engine) for name in TRAINED}
    values["ensemble"] = ensemble_values(out, data, engine)
    folder = out / "recipes"
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for name, one in values.items():
        files[name] = folder / f"{name}.yaml"
        files[name].write_text(yaml.safe_dump(one, sort_keys=False, allow_unicode=True))
    return files
