"""Made ground for the commands on embeddings: windows of a few kinds, seen at several dates."""

from pathlib import Path
from typing import Any

import numpy as np

from jobs import embed
from tests.jobs.vectors import EMBED, TILE_PX, write_embedder
from tests.jobs.worlds import World, world

ROWS, COLS = 7, 9
"""Windows of a scene."""
BLOCK_KM = 0.64
"""Side of a window."""


def window(kind: int, seed: int) -> np.ndarray:
    """Return uint16 (4, 64, 64): stripes, waves or blobs, whose details differ from seed to seed."""
    random = np.random.default_rng([kind, seed])
    y, x = np.mgrid[0:TILE_PX, 0:TILE_PX]
    wave = np.sin(y / (2 + kind) + random.uniform(0, 6)) * np.cos(x / (3 + 2 * kind) + random.uniform(0, 6))
    for _ in range(4):  # every window has a layout of its own, as ground has
        down, along, phase = (*random.uniform(-0.25, 0.25, 2), random.uniform(0, 6))
        wave = wave + 0.4 * np.sin(down * y + along * x + phase)
    band = np.array([1, 0.8, 1.2, 0.5 + 0.3 * kind])[:, None, None]
    return (
        (2500 + 400 * kind + 900 * band * wave + random.normal(0, 150, (4, TILE_PX, TILE_PX))).clip(1).astype(np.uint16)
    )


def ground(seed: int = 0, date: int = 0, season: float = 0.05) -> np.ndarray:
    """Return a scene of windows of kinds that depend on the seed; the date changes all a little, in its own way.

    Args:
        seed: of the ground.
        date: of the season.
        season: deviation of the brightness of a window from date to date, as a share.
    """
    kinds = np.random.default_rng(seed).integers(0, 4, (ROWS, COLS))
    rows = [
        np.concatenate([window(k, 10_000 * seed + 100 * r + c) for c, k in enumerate(kinds[r])], axis=2)
        for r in range(ROWS)
    ]
    random = np.random.default_rng([seed, date, 7])
    whole = np.concatenate(rows, axis=1)
    # each window has a season of its own
    gain = 1 + season * random.normal(size=(4, ROWS, COLS)).repeat(TILE_PX, 1).repeat(TILE_PX, 2)
    return (whole * gain + random.normal(0, 60, whole.shape)).clip(1, 60000).astype(np.uint16)


def place(array: np.ndarray, row: int, col: int) -> np.ndarray:
    """Return the pixels of a window, to be written to."""
    return array[:, row * TILE_PX : (row + 1) * TILE_PX, col * TILE_PX : (col + 1) * TILE_PX]


def embedded(folder: Path, scenes: dict[str, np.ndarray], model: str = "", **settings: Any) -> World:
    """Ingest and embed scenes, named by their dates, if there are any; return the run."""
    here = world(folder, models=0, **settings)
    here.settings["embed"] = {**EMBED, "batch": 32, "model": model or write_embedder(folder / "embedder")}
    here.settings["engine"] = {"kind": "serial"}
    for name, array in scenes.items():
        here.scene(name, array, acquired=name.partition("_")[0])
    assert not scenes or embed.main([here.config]) == 0
    return here


def rerun(here: World, folder: Path, scenes: dict[str, np.ndarray]) -> World:
    """Return another run by the same embedder."""
    return embedded(folder, scenes, model=here.settings["embed"]["model"])
