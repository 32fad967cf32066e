"""Tiny embedders and runs that use them, for the tests of embedding and search."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.embedder import EmbedderSpec, build_embedder
from models.embedder_bundle import save_embedder
from models.embedder_card import EmbedderCard
from tests.jobs.worlds import BANDS, World, image, moved, world

SIDE_PX, TILE_PX = 32, 64
EMBED = {"tile_px": TILE_PX, "precision": "fp32", "batch": 3}


def write_embedder(folder: Path, channels: tuple[str, ...] = BANDS, seed: int = 1, **changes: Any) -> str:
    """Write a tiny untrained embedder and return its folder."""
    spec = EmbedderSpec(
        architecture="vit_tiny_patch16_224", in_channels=len(channels), side_px=SIDE_PX, depth=1, patch_px=16
    )
    low = channels != BANDS
    offset = [110.0 + i if low else 4500.0 + 100 * i for i in range(len(channels))]
    scale = [50.0 + i if low else 2500.0 + 50 * i for i in range(len(channels))]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        embedder = build_embedder(spec, offset, scale)
    values = {
        "kind": "embedder",
        "name": folder.name,
        "architecture": spec.architecture,
        "side_px": SIDE_PX,
        "depth": 1,
        "patch_px": 16,
        "dimension": embedder.dimension,
        "channels": channels,
        "sensor": "SN10",
        "offset": offset,
        "scale": scale,
        "method": "frozen",
        "training_data": "none",
        "weights": f"random:{seed}",
    }
    save_embedder(folder, embedder, EmbedderCard(**values | changes))
    return str(folder)


def embedded_world(folder: Path, quadrants: bool = False, **settings: Any) -> World:
    """Return a world of two scenes far apart, with an embedder: the second is dated and has a hole over whole windows.

    Scene "a" has 3 x 4 windows of 64 px, "b" 2 x 3; the last ones of rows and columns are shifted back.
    """
    here = world(folder, models=0, **settings)
    model = write_embedder(folder / "embedder")
    here.settings["embed"] = {**EMBED, "model": model, "quadrants": quadrants}
    here.scene("a", image(150, 210), acquired="2019-02-12T02:00:00")
    array = image(100, 160, 2)
    array[:, :, 64:128] = 0
    here.scene("b", array, acquired="2019-08-03T02:00:00", transform=moved(1000, 2000))
    return here


def frames(count: int, seed: int = 0, side_px: int = 40) -> np.ndarray:
    """Return uint8 (count, 3, side, side + 8): weather that changes slowly, with noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:side_px, 0 : side_px + 8]
    t = np.arange(count)[:, None, None, None] / 7
    band = np.arange(3)[None, :, None, None]
    wave = np.sin(y / (6 + band) + x / 11 + t) * np.cos(x / (9 - band) - 1.7 * t)
    return np.clip(120 + 70 * wave + random.normal(0, 6, wave.shape), 1, 254).astype(np.uint8)


def clock(count: int, start: str = "2019-01-30T00:00", step_h: int = 3) -> np.ndarray:
    """Return datetime64[s] (count,)."""
    return np.datetime64(start, "s") + np.arange(count) * np.timedelta64(step_h, "h")


def day(*parts: int) -> datetime:
    """Return a moment in UTC."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]
