"""The experiments of the illustration document: which recipes, and at which scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from jobs.config import RunConfig
from jobs.curate_recipe import CurateRecipe
from jobs.image_recipe_config import AutoencodeRecipeConfig, ClassifyRecipeConfig
from jobs.parsing import load

RECIPES = Path(__file__).parent / "recipes" / "illustrations"
AUTOENCODERS = ("autoencoder", "autoencoder-contrast")
CLEANS = ("clean-random", "clean-pca", "clean-ae")
"""The document's three; `clean` does all of them side by side, and more, and chooses."""
CNN, UNCLEANED = "cnn", "cnn-uncleaned"
WORLD_SEED = 1
"""Reducers and scales were looked at on a world of seed 7."""
KINDS: dict[str, type[BaseModel]] = {
    "illustrations": RunConfig,
    "eda": CurateRecipe,
    "clean": CurateRecipe,
    **dict.fromkeys(CLEANS, CurateRecipe),
    **dict.fromkeys(AUTOENCODERS, AutoencodeRecipeConfig),
    CNN: ClassifyRecipeConfig,
}
"""Shipped file to what it is."""


@dataclass(frozen=True)
class Scale:
    """How large the experiments are; what is not said stays as the recipes say."""

    images: int
    """Of the synthetic world, where no data are given."""
    shrink: int
    """By how much the sides of its images are smaller than the document's."""
    summary: str
    side_px: int | None = None
    autoencoder: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Section of the recipe to the values laid over it."""
    cnn: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    threads: int | None = None
    """Of a worker in this process; more make networks as small as these slower where anybody else computes."""

    def engine(self, engine: Mapping[str, Any]) -> dict[str, Any]:
        """Return who works, with the threads of this scale."""
        threads = self.threads if engine.get("kind") == "serial" else None
        return {**engine, **({"threads_per_worker": threads} if threads else {})}


SCALES = {
    "tiny": Scale(
        400,
        4,
        "one or two minutes on 2 cores: 400 images at 48 px, narrow networks; shows that all of it works, not how well",
        side_px=48,
        autoencoder={"network": {"width": 4, "bottleneck": 16}, "train": {"epochs": 3, "batch": 16}},
        cnn={"network": {"widths": [8, 12, 16]}, "train": {"epochs": 3, "batch": 16}},
        threads=1,
    ),
    "small": Scale(
        5_000,
        2,
        "twenty minutes on 2 cores: 5,000 images at 64 px, networks half as wide, 40 epochs of batches of 32",
        side_px=64,
        autoencoder={"network": {"width": 8, "bottleneck": 64}, "train": {"epochs": 4, "batch": 32}},
        cnn={"network": {"widths": [25, 40, 60]}, "train": {"epochs": 40, "batch": 32}},
        threads=1,
    ),
    "paper": Scale(
        25_503, 1, "days on 2 cores, an hour or so on a GPU: 25,503 images at 224 px, the document's settings"
    ),
}


def recipe_values(
    name: str, out: Path, root: str, scale: Scale, seed: int, engine: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a file of `KINDS` at a scale, its paths below `out`: a function of its arguments and of the shipped file.

    Args:
        name: a key of `KINDS`.
        out: folder of the reproduction.
        root: folder of the images, one folder a class.
        scale: how large.
        seed: of draws, weights and trainings.
        engine: who works.
    """
    values = load(KINDS[name], str(RECIPES / f"{name}.yaml")).model_dump(
        mode="json", exclude_unset=True, exclude_none=True
    )
    run, side_px = str(out / "recipes" / "illustrations.yaml"), scale.side_px
    if name == "illustrations":
        values |= {"out": str(out / "data"), "engine": scale.engine(engine)}
        values["dataset"] |= {"root": root} | ({"side_px": side_px} if side_px else {})
        return values
    if "steps" in values:
        return _curate_values(values, out, run, seed)
    changes = scale.cnn if name == CNN else scale.autoencoder
    values["out"] = str(out / "models" / name)
    for section in ("network", "train"):
        values[section] = {**values.get(section, {}), **changes.get(section, {})}
    values["network"] |= {"weights": f"random:{seed + 1}"} | ({"side_px": side_px} if side_px else {})
    values["data"]["run"] = run
    values["data"]["split"]["seed"] = values["train"]["seed"] = seed
    if "curation" in values["data"]:
        values["data"]["curation"] = str(out / "data" / "curation" / "kept.csv")
    values["engine"] = scale.engine(engine)
    return values


def _curate_values(values: dict[str, Any], out: Path, run: str, seed: int) -> dict[str, Any]:
    values["run"] = run
    values["train"] = [str(out / "recipes" / Path(path).name) for path in values.get("train", ())]
    for step in values["steps"]:
        for settings in step.values():
            if "seed" in settings:
                settings["seed"] = seed
            if "encoder" in settings:
                settings["encoder"] = {reducer: str(out / "models" / reducer) for reducer in settings["encoder"]}
    return values


def uncleaned_values(cnn: Mapping[str, Any], out: Path, balance: str | None) -> dict[str, Any]:
    """Return the recipe of the network that sees what `clean` would remove: all else is as in the network's own.

    Args:
        cnn: values of the recipe of the network.
        out: folder of the reproduction.
        balance: list of what balancing removed, if it removed something.
    """
    data = {key: value for key, value in cnn["data"].items() if key != "curation"}
    data["exclude"] = [balance] if balance else []
    return {**cnn, "out": str(out / "models" / UNCLEANED), "data": data}


def write_recipes(out: Path, root: str, scale: Scale, seed: int, engine: Mapping[str, Any]) -> dict[str, Path]:
    """Write every file of the reproduction to `out/recipes`, so that each can be run again by itself.

    Returns:
        A key of `KINDS` to its file.
    """
    return {
        name: write_yaml(out / "recipes" / f"{name}.yaml", recipe_values(name, out, root, scale, seed, engine))
        for name in KINDS
    }


def with_encoders(path: Path, given: Mapping[str, str]) -> None:
    """Add reducers of the user's own to a recipe of cleaning on disk: name to a bundle that makes vectors."""
    values = yaml.safe_load(path.read_text())
    for step in values["steps"]:
        if "clean" in step:
            step["clean"]["encoder"] = {**step["clean"].get("encoder", {}), **given}
    write_yaml(path, values)


def write_yaml(path: Path, values: Mapping[str, Any]) -> Path:
    """Write a file that can be run again by itself; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True))
    return path
