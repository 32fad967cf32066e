"""A small recipe of an embedder over frames, for the tests of training."""

from pathlib import Path

import numpy as np
import yaml

from tests.tiler.frames_for_tests import write_frames

SIDE_PX = 32
BANDS = ("ir", "swir", "wv")
START = np.datetime64("2019-02-11T00", "s")


def drifting(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Frames uint8 (n, 3, 32, 32) of a field that drifts under noise, and which pixels are there."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX] / SIDE_PX
    phase, tilt = np.cumsum(random.normal(0, 0.35, count)), np.cumsum(random.normal(0, 0.25, count))
    field = np.stack([np.sin(2 * np.pi * (x + np.sin(t) * y) + p) for p, t in zip(phase, tilt, strict=True)])
    images = 120 + 60 * field[:, None] * np.array([1.0, -0.6, 0.4])[:, None, None]
    images += random.normal(0, 25, (count, 3, SIDE_PX, SIDE_PX))
    valid = np.ones(images.shape, bool)
    valid[:, :, :2] = False
    valid[::7, 1, 10:20, 5:9] = False
    return images.clip(0, 255).astype(np.uint8), valid


def times_with_gaps(count: int) -> np.ndarray:
    """Every three hours, with a gap of a day after each 40 frames."""
    steps = np.arange(count) + 8 * (np.arange(count) // 40)
    return START + (steps * 3).astype("timedelta64[h]").astype("timedelta64[s]")


class EmbeddingRecipe:
    """A recipe over a frame store made of arrays."""

    def __init__(self, folder: Path, frames: int = 240) -> None:
        self.folder, self.out = folder, folder / "models" / "tiny"
        images, valid = drifting(frames)
        self.times = times_with_gaps(frames)
        self.store = write_frames(folder, images, valid, self.times, BANDS)
        self.settings = {
            "task": "embed",
            "out": str(self.out),
            "network": {
                "architecture": "vit_tiny_patch16_224",
                "weights": "random:3",
                "side_px": SIDE_PX,
                "depth": 2,
                "lora": {"rank": 4, "alpha": 8, "dropout": 0},
            },
            "data": {"run": self.store, "split": {"kind": "blocks", "days": 4, "guard_hours": 12}},
            "method": "timely",
            "train": {"epochs": 2, "batch": 16, "learning_rate": 2e-3, "precision": "fp32"},
            "engine": {"kind": "serial", "threads_per_worker": 1},
        }

    @property
    def config(self) -> str:
        path = self.folder / "recipe.yaml"
        path.write_text(yaml.safe_dump(self.settings))
        return str(path)

    def command(self, *changes: str) -> list[str]:
        return [self.config, *(word for change in changes for word in ("--set", change))]
