"""The experiments of the scratch document: which rows, at which scale, and the files that they are run from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from jobs.config import RunConfig
from jobs.parsing import load
from jobs.recipe_config import RecipeConfig

RECIPES = Path(__file__).parent / "recipes" / "scratch"
VARIANTS = ("rgb", "company", "gray", "no-light")
"""Runs that ingest the photos: all in colour, one source alone in colour, all gray, all without the wide light."""
SAME_AS_VAL = {"validation": 0.172, "test": "same-as-val"}
"""The document's split: 2,800 of 16,300 photos choose the best epoch and judge it."""
PUBLIC_FILE = "public_via.json"
"""Outlines of the second source of the scratch world, beside its folder."""


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    name: str
    """Of the recipe."""
    settings: str
    """As the document gives them."""
    loss: float | None = None
    """Reported."""
    iou: float | None = None
    """Reported."""
    note: str = ""


ROWS = (
    Row("A", "U-Net, 150 epochs, b 4, 1e-3, Adam, company only", 0.7082, 0.1842),
    Row("B", "U-Net, 100 epochs, b 4, 1e-3, Adam, + public", 0.6272, 0.1916),
    Row("C", "DeepLabV3, 50 epochs, b 16, 1e-3, Adam, BCE", 0.5212, 0.1470, "the loss is no Dice loss"),
    Row("D", "U-Net, 100 epochs, b 4, 1e-3, Adam, no light", 0.6483, 0.1808),
    Row("E", "U-Net, 100 epochs, b 4, 1e-3, RMSprop, CosineAnnealingLR, gray", 0.6094, 0.2042),
    Row("F", "U-Net, 100 epochs, b 4, 1e-4, Adam, CosineAnnealingWarmRestarts", 0.6039, 0.2107, "the document's best"),
    Row("G", "U-Net, 10 epochs, b 4, 1e-4, Adam, LambdaLR", 0.6858, 0.1602),
    Row("H", "U-Net 3+, 10 epochs, b 4, 1e-3, Adam, LambdaLR", 0.6542, 0.1831),
    Row("G-1e-3", "U-Net, 10 epochs, b 4, 1e-3, Adam, LambdaLR", note="G at the rate of H; not in the document"),
    Row("B-bce", "U-Net, 100 epochs, b 4, 1e-3, Adam, BCE", note="a picture of the document, no row of it"),
)
"""The document's eight rows and two more."""


@dataclass(frozen=True)
class Scale:
    """How large the experiments are; what is None stays as the recipes say."""

    photos: int
    """Of the scratch world, where no photos are given."""
    world_px: int
    """Longest side of its photos."""
    summary: str
    side_px: int | None = None
    """Side of the stored images."""
    tile_px: int | None = None
    """Side of what is cut from them to train."""
    tiles_per_epoch: int | None = None
    share_of_epochs: float = 1.0
    """Of the document's epochs; one epoch at least."""
    width: int | None = None
    """Filters of the first level of U-Net and U-Net 3+, a fraction of the published 64."""
    encoder: str | None = None
    """Of DeepLabV3."""
    threads: int | None = None
    """Of a worker in this process; more make networks as small as these slower where anybody else computes."""
    on_scratches: float | None = None
    """Share of the tiles that are set on a scratch."""

    def epochs(self, epochs: int) -> int:
        """Return how many epochs stand for so many of the document."""
        return max(1, round(epochs * self.share_of_epochs))


SCALES = {
    "tiny": Scale(
        60,
        128,
        "1 to 2 minutes on 2 cores: 60 photos of 128 px, networks a sixteenth as wide, an epoch or two; a smoke test",
        side_px=128,
        tile_px=64,
        tiles_per_epoch=32,
        share_of_epochs=0.02,
        width=4,
        encoder="tu-mobilenetv3_small_050",
        threads=1,
        on_scratches=0.75,
    ),
    "small": Scale(
        600,
        128,
        "under an hour on 2 cores: 600 photos of 128 px, networks an eighth as wide, tiles of 64 px",
        side_px=128,
        tile_px=64,
        tiles_per_epoch=1344,
        share_of_epochs=0.2,
        width=8,
        encoder="tu-mobilenetv3_small_050",
        threads=1,
        on_scratches=0.75,
    ),
    "paper": Scale(
        16_300, 512, "days on one GPU: 16,300 photos of 512 px, the document's settings as far as it gives any"
    ),
}


@dataclass(frozen=True)
class Experiment:
    """What is the same for all rows of a reproduction."""

    out: Path
    dataset: Mapping[str, Any]
    """Of a run: `collections` or `root`, with masks; colours, size and split are added."""
    scale: Scale
    seed: int
    engine: Mapping[str, Any]
    alone: str = ""
    """The source that row A has alone; "" where there is one source only."""
    test: Literal["separate", "same-as-val"] = "separate"
    kept: bool = False
    """Whether lists of kept photos are at hand: `kept_file`."""

    def kept_file(self, variant: str) -> Path:
        """Return where the photos of a variant that are no copies are listed."""
        return self.out / "recipes" / f"kept-{variant}.csv"

    def run_values(self, variant: str) -> dict[str, Any]:
        """Return the run that ingests a variant of `VARIANTS`."""
        shipped = load(RunConfig, str(RECIPES / f"{variant}.yaml")).model_dump(mode="json", exclude_defaults=True)
        told = {
            key: shipped["dataset"][key]
            for key in ("preprocess", "split", "label_fit", "side_px")
            if key in shipped["dataset"]
        }
        dataset = {"layout": "images", **told, **self.dataset}
        if self.test == "same-as-val":
            drawn = dataset["split"].get("by", "ratio") == "ratio"
            dataset["split"] = {**dataset["split"], **(SAME_AS_VAL if drawn else {"test": "same-as-val"})}
        if self.scale.side_px:
            dataset["side_px"] = self.scale.side_px
        if variant == "company" and self.alone:
            dataset["sources"] = [self.alone]
        values = {"out": str(self.out / variant), "dataset": dataset, "engine": self._engine()}
        return values | ({"curation": str(self.kept_file(variant))} if self.kept else {})

    def recipe_values(self, name: str) -> dict[str, Any]:
        """Return the recipe of a row: a function of these settings and of the shipped file."""
        scale = self.scale
        values = load(RecipeConfig, str(RECIPES / f"{name}.yaml")).model_dump(mode="json", exclude_defaults=True)
        values.pop("gates", None)  # the goal is asked of the best row, on other photos
        values["out"] = str(self.out / "models" / name)
        values["data"]["run"] = str(self.out / "recipes" / f"{variant_of(name)}.yaml")
        values["network"]["weights"] = f"random:{self.seed + 1}"
        if values["network"]["architecture"] == "deeplabv3":
            values["network"] |= {"encoder": scale.encoder} if scale.encoder else {}
        else:
            values["network"] |= {"width": scale.width} if scale.width else {}
        if scale.tile_px:
            values["data"] |= {"tile_px": scale.tile_px, "tiles_per_epoch": scale.tiles_per_epoch}
        if scale.on_scratches is not None:
            values["data"]["sampling"] = {"classes": {1: scale.on_scratches}}
        train = values["train"]
        train |= {"seed": self.seed, "epochs": scale.epochs(train["epochs"])}
        if isinstance(train.get("schedule"), dict) and "t_0" in train["schedule"]:
            train["schedule"]["t_0"] = scale.epochs(train["schedule"]["t_0"])
        values["engine"] = self._engine()
        return values

    def write_runs(self) -> dict[str, Path]:
        """Write the run of every variant to `out/recipes`; return name to file."""
        return self._written({variant: self.run_values(variant) for variant in VARIANTS})

    def write_recipes(self) -> dict[str, Path]:
        """Write the recipe of every row to `out/recipes`, so that each can be run again by itself; name to file."""
        return self._written({row.name: self.recipe_values(row.name) for row in ROWS})

    def _engine(self) -> dict[str, Any]:
        threads = self.scale.threads if self.engine.get("kind") == "serial" else None
        return {**self.engine, **({"threads_per_worker": threads} if threads else {})}

    def _written(self, values: Mapping[str, Any]) -> dict[str, Path]:
        folder = self.out / "recipes"
        folder.mkdir(parents=True, exist_ok=True)
        files = {}
        for name, one in values.items():
            files[name] = folder / f"{name}.yaml"
            files[name].write_text(yaml.safe_dump(one, sort_keys=False, allow_unicode=True))
        return files


def variant_of(name: str) -> str:
    """Return which of `VARIANTS` the shipped recipe of a row trains on."""
    return Path(load(RecipeConfig, str(RECIPES / f"{name}.yaml")).data.run).stem


def judged_variant(name: str) -> str:
    """Return which of `VARIANTS` a row is judged on: all sources, in the colours that it has learnt from."""
    variant = variant_of(name)
    return "rgb" if variant == "company" else variant


def world_dataset(folder: Path) -> dict[str, Any]:
    """Return the collections of a folder in the form of the scratch world: both sources, with their masks."""
    public = {"kind": "via", "file": str(folder / PUBLIC_FILE), "classes": {"scratch": 1}}
    company = {"kind": "pixel_annotation_tool", "codes": {0: 0, 1: 1}}
    return {
        "collections": [
            {"name": "company", "root": str(folder / "company"), "masks": company},
            {"name": "public", "root": str(folder / "public"), "masks": public},
        ]
    }
