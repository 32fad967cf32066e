"""Held-back blocks: which pixels of a scene never train, so that the map can be judged on them.

Whole blocks are held back, not single pixels, because neighbouring pixels are nearly copies of each other.
"""

from __future__ import annotations

import zlib

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tiler.grids import Box


class Split(BaseModel):
    """How a scene is divided into what trains and what is held back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    block_px: int = Field(default=128, ge=1)
    """Side of a block in scene pixels; blocks start at the scene's first pixel."""
    fraction: float = Field(default=0.2, ge=0, lt=1)
    """Expected share of blocks that are held back."""
    seed: int = 0

    def held_back(self, scene: str, box: Box) -> np.ndarray:
        """Return which pixels of a rectangle are held back: a function of scene id and place alone.

        Returns:
            bool (y, x); places outside the scene get an answer too.
        """
        rows, cols = np.arange(box.y0, box.y1) // self.block_px, np.arange(box.x0, box.x1) // self.block_px
        blocks = _hash(np.unique(rows)[:, None], np.unique(cols)[None, :], zlib.crc32(scene.encode()), self.seed)
        chosen = blocks < self.fraction
        return np.asarray(chosen[np.ix_(rows - rows[0], cols - cols[0])])


def _hash(rows: np.ndarray, cols: np.ndarray, scene: int, seed: int) -> np.ndarray:
    """Return numbers uniform in [0, 1) that depend on their arguments only (splitmix64's finaliser)."""
    with np.errstate(over="ignore"):  # wrapping around is what a hash wants
        state = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + cols.astype(np.uint64)
        state = state * np.uint64(0xD1B54A32D192ED03) + np.uint64(scene) * np.uint64(0x2545F4914F6CDD1D)
        state += np.uint64(seed & 0xFFFFFFFFFFFFFFFF)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return np.asarray((state >> np.uint64(11)) / float(1 << 53))
