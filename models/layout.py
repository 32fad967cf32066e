"""Embeddings in the plane, to be looked at: UMAP after a reduction to 50 principal components."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

COMPONENTS = 50
ABSENT = "The layout of embeddings wants umap-learn, which is not installed. Install sandan[embeddings]."


def reduced(embeddings: np.ndarray, dimension: int = COMPONENTS) -> np.ndarray:
    """Return the first principal components of embeddings (n, d), float32 (n, min(dimension, d, n)).

    The sign of a component is that which makes its largest weight positive, so that the same embeddings give the same.
    """
    rows = torch.from_numpy(embeddings.astype(np.float64))
    rows = rows - rows.mean(0)
    vectors = torch.linalg.eigh(rows.T @ rows).eigenvectors.flip(1)[:, : min(dimension, *rows.shape)]
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    return (rows @ (vectors * torch.where(largest < 0, -1.0, 1.0))).float().numpy()


def plane(embeddings: np.ndarray, seed: int = 0, neighbours: int = 15) -> np.ndarray:
    """Return a layout (n, 2) float32 of the directions of embeddings (n, d) by UMAP (McInnes et al. 2018, arXiv
    1802.03426).

    The same seed gives the same layout on the same machine.
    Raises ModuleNotFoundError: umap-learn is not installed, with what to install; ValueError: too few embeddings.
    """
    if len(embeddings) <= neighbours:
        raise ValueError(f"UMAP wants more than {neighbours} embeddings, got {len(embeddings)}. Embed more frames.")
    length = np.linalg.norm(embeddings.astype(np.float32), axis=1, keepdims=True)
    rows = reduced(embeddings / np.where(length > 0, length, 1))
    # n_jobs: a fixed seed means one thread, and UMAP warns where that was not said
    how = {"n_neighbors": neighbours, "min_dist": 0.1, "random_state": seed, "n_jobs": 1}
    return np.asarray(_umap().UMAP(n_components=2, **how).fit_transform(rows), np.float32)


def check_installed() -> None:
    """Raise ModuleNotFoundError, with what to install, where umap-learn is not; imports nothing."""
    if find_spec("umap") is None:
        raise ModuleNotFoundError(ABSENT, name="umap")


def _umap() -> Any:
    try:
        with warnings.catch_warnings():
            # of a part of it that is not used here, and that wants another library
            warnings.filterwarnings("ignore", message="Tensorflow not installed", category=ImportWarning)
            import umap
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(ABSENT, name=error.name) from error
    return umap
