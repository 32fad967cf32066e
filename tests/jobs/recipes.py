"""A small recipe for the tests of training."""

from pathlib import Path

import numpy as np
import yaml

from jobs.parsing import load
from jobs.recipe_config import RecipeConfig
from jobs.train import plan_train
from tests.jobs.worlds import ARCHITECTURE, ENCODER, World, image, world, write_tif


class Recipe:
    """A recipe over a labelled world; the class is where the red band is high."""

    def __init__(self, folder: Path) -> None:
        self.world: World = world(folder, models=0)
        self.folder, self.out = folder, folder / "models" / "tiny"
        array = image(200, 150, low=500, high=6500)
        array[:, 10:30, 40:60] = 0
        self.world.scene("s-20240102", array)
        self.array = array
        write_tif(folder / "labels.tif", (array[0] > 3500).astype(np.uint8) + 1, nodata=None)
        self.world.settings["labels"] = {"files": str(folder / "labels.tif"), "codes": {2: 1}}
        self.settings = {
            "out": str(self.out),
            "classes": ["bright"],
            "network": {"architecture": ARCHITECTURE, "encoder": ENCODER, "weights": "random:3"},
            "data": {"run": self.world.config, "tile_px": 64, "tiles_per_epoch": 12, "split": {"block_px": 32}},
            "train": {"epochs": 3, "batch": 4, "learning_rate": 5e-3, "precision": "fp32"},
            "engine": {"kind": "serial", "threads_per_worker": 1},
        }

    @property
    def config(self) -> str:
        self.settings["data"]["run"] = self.world.config
        path = self.folder / "recipe.yaml"
        path.write_text(yaml.safe_dump(self.settings))
        return str(path)

    def command(self, *changes: str) -> list[str]:
        return [self.config, *(word for change in changes for word in ("--set", change))]

    def key(self, *changes: str) -> str:
        return plan_train(load(RecipeConfig, self.config, changes)).key
