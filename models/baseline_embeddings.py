"""Embeddings that no network made: what a method must beat before it says anything about weather."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch.nn import functional

from models.retrieval import YEAR_DAYS, day_of_year

SAMPLE_FRAMES = 1024
"""Frames from which principal components are found, evenly spread: more change the first 64 little and cost memory."""

Blocks = Callable[[], Iterable[np.ndarray]]
"""Gives the images of the gallery, float32 (n, C, h, w) in [0, 1], block after block; called again for each pass."""


def pooled_pixels(blocks: Blocks, side: int = 8) -> np.ndarray:
    """Return the area means of side x side parts of every band, centred on their mean over frames, (n, C side^2).

    Centred, because the cosine of what is never negative tells little.
    """
    rows = np.concatenate([_pooled(images, side) for images in blocks()])
    return rows - rows.mean(0)


def _pooled(images: np.ndarray, side: int) -> np.ndarray:
    return functional.interpolate(torch.from_numpy(images), (side, side), mode="area").flatten(1).numpy()


def principal_components(blocks: Blocks, frames: int, dimension: int = 64) -> np.ndarray:
    """Return the first principal components of all pixels, (n, dimension) float32; fewer where there are fewer frames.

    frames: how many there are. Components are those of up to `SAMPLE_FRAMES` evenly spread frames.
    """
    step = max(1, -(-frames // SAMPLE_FRAMES))
    sample, seen = [], 0
    total = torch.zeros(0)
    for images in blocks():
        own = torch.from_numpy(images).flatten(1).sum(0, dtype=torch.float64)
        total = total + own if len(total) else own
        places = np.arange(seen, seen + len(images))
        sample.append(images[places % step == 0].reshape(-1, images[0].size))
        seen += len(images)
    rows = torch.from_numpy(np.concatenate(sample))
    mean = (total / seen).float()
    rows -= mean
    # of the products of frames with frames: there are fewer frames than pixels
    values, vectors = torch.linalg.eigh(
        rows.double() @ rows.double().T if len(rows) < 256 else (rows @ rows.T).double()
    )
    kept = min(dimension, int((values > 1e-6 * values[-1]).sum()))
    top = vectors[:, -kept:].flip(1) / values[-kept:].flip(0).sqrt()
    axes = rows.T @ top.float()
    return np.concatenate([((torch.from_numpy(i).flatten(1) - mean) @ axes).numpy() for i in blocks()])


def season_vectors(times: np.ndarray) -> np.ndarray:
    """Return the places of times (datetime64, n) on the circle of the year, (n, 2) float32: what a calendar knows."""
    angle = 2 * np.pi * day_of_year(times) / YEAR_DAYS
    return np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)


def random_vectors(frames: int, dimension: int = 64, seed: int = 0) -> np.ndarray:
    """Return directions without meaning, (n, dimension) float32: what recall is by chance."""
    return np.random.default_rng(seed).standard_normal((frames, dimension), np.float32)
