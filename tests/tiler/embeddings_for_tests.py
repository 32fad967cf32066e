"""Embedding stores for tests, made from arrays as Embed makes them."""

from datetime import datetime
from pathlib import Path

import numpy as np

from tiler.embedding_items import WHOLE, WITH_QUADRANTS, SceneItems
from tiler.embedding_store import Embedded, EmbeddingStore, create_frame_embeddings, create_scene_embeddings
from tiler.grids import PixelGrid
from tiler.lattice import Lattice
from tiler.stores import is_complete

DIGEST = "sha256:" + "0a" * 32
UTM52 = "EPSG:32652"


def unit_vectors(count: int, dimension: int = 12, seed: int = 0) -> np.ndarray:
    """Return float32 (count, dimension) of length 1."""
    rows = np.random.default_rng(seed).normal(size=(count, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def scene_grid(height: int, width: int, x: float = 327_350.0, y: float = 4_178_410.0) -> PixelGrid:
    """Return a grid of 10 m pixels in UTM 52."""
    return PixelGrid(UTM52, (10.0, 0.0, x, 0.0, -10.0, y), height, width)


def _fill(
    url: str, vectors: np.ndarray, missing: np.ndarray | None, seen: np.ndarray | None, content: np.ndarray | None
) -> EmbeddingStore:
    store, count = EmbeddingStore(url), len(vectors)
    missing = np.zeros(count, np.float32) if missing is None else missing
    seen = np.ones(count, bool) if seen is None else seen
    for index in range(store.units):
        here = slice(*store.unit_span(index))
        store.write(index, vectors[here], missing[here], seen[here], None if content is None else content[here])
    return store


def write_scene_embeddings(
    folder: Path,
    vectors: np.ndarray,
    grid: PixelGrid,
    *,
    name: str = "scene",
    tile_px: int = 512,
    quadrants: bool = False,
    acquired: datetime | None = None,
    missing: np.ndarray | None = None,
    seen: np.ndarray | None = None,
    digest: str = DIGEST,
    sensor: str = "SN10",
) -> EmbeddingStore:
    """Write `folder/embed/<name>.zarr`: `vectors` float32 (items, dimension) in the order of `SceneItems`."""
    lattice = Lattice(grid.height, grid.width, tile_px, 0)
    items = SceneItems(lattice, WITH_QUADRANTS if quadrants else WHOLE, grid)
    assert len(items) == len(vectors), f"{len(items)} items, {len(vectors)} vectors"
    url = f"{folder}/embed/{name}.zarr"
    what = Embedded(name, name, sensor, "test", digest, vectors.shape[1], 0.9)
    assert not is_complete(url)
    create_scene_embeddings(url, what, items, acquired, 10.0)
    return _fill(url, vectors, missing, seen, None)


def write_frame_embeddings(
    folder: Path,
    vectors: np.ndarray,
    times: np.ndarray,
    *,
    name: str = "coms",
    frame_px: tuple[int, int] = (224, 224),
    missing: np.ndarray | None = None,
    seen: np.ndarray | None = None,
    digest: str = DIGEST,
    sensor: str = "COMS",
) -> EmbeddingStore:
    """Write `folder/embed/<name>.zarr`: `vectors` float32 (items, dimension), `times` datetime64 (items,)."""
    url = f"{folder}/embed/{name}.zarr"
    what = Embedded(name, name, sensor, "test", digest, vectors.shape[1], 0.9)
    create_frame_embeddings(url, what, times, frame_px)
    return _fill(url, vectors, missing, seen, np.arange(len(vectors), dtype=np.uint64))
