"""Tiny embedders and runs that use them, for the tests of embedding and search."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

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
        "width": embedder.dimension,
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


def write_frame_files(folder: Path, images: np.ndarray, times: np.ndarray) -> None:
    """Write uint8 (n, 3, y, x) as the PNG files of a weather service: infrared, short-wave infrared, water vapour."""
    folder.mkdir(parents=True, exist_ok=True)
    for frame, moment in zip(images, times, strict=True):
        stamp = str(moment.astype("datetime64[m]")).translate({ord(c): None for c in "-T:"})
        for band, plane in zip(("ir1", "swir", "wv"), frame, strict=True):
            Image.fromarray(plane).save(folder / f"coms_mi_le1b_{band}_ea040ps_{stamp}.png")


def frame_run(folder: Path, images: np.ndarray, times: np.ndarray) -> str:
    """Return a run over frames, with an embedder."""
    write_frame_files(folder / "files", images, times)
    channels = ("ir", "swir", "wv")
    config = {
        "out": str(folder / "out"),
        "frames": {"files": str(folder / "files"), "side_px": 40},
        "embed": {**EMBED, "model": write_embedder(folder / "weather", channels)},
        "engine": {"kind": "serial", "threads_per_worker": 1},
    }
    path = folder / "coms.yaml"
    path.write_text(yaml.safe_dump(config))
    return str(path)
