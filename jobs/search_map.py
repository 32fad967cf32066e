"""The similarity map: how much every place looks like what was asked for, as a Cloud-Optimized GeoTIFF.

Windows are blended, warped and fused as for the map of classes. A window has the cosine of its vector with the query
all over; where windows have quadrants, each quarter has its own. On the map grid it is the mean over the scenes that
saw a pixel. Missing pixels, and windows without a vector, stay missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from cluster.engine import Engine, Failed
from cluster.removal import remove_folder
from cluster.storage import Storage
from jobs.cells import CellTask, CellTasks
from jobs.plan import Run, key_of
from jobs.products import written_parts
from jobs.search_archive import Member
from jobs.stages import OPEN_STORES, cell_work, prepare_worker
from models.search import exact_scores
from tiler.cog import CogSpec, write_cog
from tiler.embedding_items import WHOLE
from tiler.embedding_store import EmbeddingStore
from tiler.map_store import MapStore, create_map_store
from tiler.scene_store import SceneStore

FILE, STORE = "similarity.tif", "similarity.zarr"
LAYER = "similarity"


class SimilarityWindows:
    """The windows of a scene as Mosaic reads them, each filled with the similarity of its vector."""

    lacks_windows = False

    def __init__(self, store: EmbeddingStore, query: np.ndarray) -> None:
        assert store.items is not None
        self.lattice, self.layers = store.items.lattice, 2
        self.flags = np.zeros((self.lattice.rows, self.lattice.cols), np.uint8)
        rows, norm, _ = store.read(0, len(store))
        shape = (self.lattice.rows, self.lattice.cols, store.items.parts)
        self._scores = exact_scores(rows, query).reshape(shape).astype(np.float16)
        self._seen = (norm > 0).reshape(shape)

    def windows(self, row: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Return windows of a row: float16 (window, 2, tile_px, tile_px), similarity and a spread of 0; bool (window,).

        A quarter without a vector (it saw too little, its window did not) has the similarity of the window.
        """
        tile, half = self.lattice.tile_px, self.lattice.tile_px // 2
        scores, seen = self._scores[row, first:last], self._seen[row, first:last]
        out = np.zeros((last - first, self.layers, tile, tile), np.float16)
        out[:, 0] = scores[:, 0, None, None]
        for part in range(1, scores.shape[1] if scores.shape[1] > WHOLE else 1):
            down, right = divmod(part - 1, 2)
            quarter = np.where(seen[:, part], scores[:, part], scores[:, 0])
            here = slice(down * half, (down + 1) * half), slice(right * half, (right + 1) * half)
            out[:, 0, *here] = quarter[:, None, None]
        return out, seen[:, 0]


@dataclass(frozen=True)
class SimilarityMosaic:
    """Mosaic of similarities instead of logits."""

    stores: dict[str, tuple[str, str]]
    """Name of the embedding store to the addresses of the scene store and of itself."""
    query: np.ndarray
    """float16 (dimension,)."""
    map_url: str

    def __call__(self) -> Callable[[CellTask], dict]:
        """Prepare a worker."""
        prepare_worker()

        @lru_cache(maxsize=OPEN_STORES)
        def opened(name: str) -> tuple[SceneStore, SimilarityWindows]:
            scene_url, vectors_url = self.stores[name]
            return SceneStore(scene_url), SimilarityWindows(EmbeddingStore(vectors_url), self.query)

        return cell_work(opened, MapStore(self.map_url))


def write_similarity_map(
    run: Run, members: Sequence[Member], query: np.ndarray, out: str, engine: Engine, tags: dict[str, str]
) -> Path:
    """Make the similarity map, and return its file.

    Args:
        run: whose map grid is used.
        members: scenes of the archive.
        query: float16 (dimension,).
        out: local folder.
        engine: who makes the cells.
        tags: written into the file.

    Raises:
        ValueError: `out` is an object store.
        RuntimeError: a cell could not be made.
    """
    if not Storage(out).is_local:
        raise ValueError(f"--map writes a GeoTIFF to a local folder, {out} is none; give another --out")
    scenes = [member.plan.scene for member in members if member.plan.scene is not None]
    extent, touched = run.touched(scenes)
    names = [member.plan.name for member in members]
    key = key_of(names, query.tobytes().hex(), run.grid.crs, run.grid.resolution, run.grid.phase)
    tasks, url = CellTasks(key, names, touched), f"{out.rstrip('/')}/{key}-{STORE}"
    create_map_store(url, run.grid, (task.cell for task in tasks), extent, (LAYER,))
    stage = SimilarityMosaic({m.plan.name: (m.images, m.url) for m in members}, query, url)
    for result in engine.run(stage, tasks):
        if isinstance(result, Failed):
            raise RuntimeError(f"the similarity map lacks {result.key.unit}: {result.reason}")
    store, path = MapStore(url), Path(out) / FILE
    grid = store.grid.grid_of(store.extent)
    write_cog(
        path,
        CogSpec(
            name=LAYER,
            dtype="float32",
            nodata=float("nan"),
            resampling="average",
            description="Cosine similarity of the window around a pixel with what was asked for, -1 to 1.",
            tags=tags,
        ),
        height=grid.height,
        width=grid.width,
        crs=grid.pyproj_crs.to_wkt(),
        transform=grid.affine,
        blocks=(
            (box.y0 - store.extent.y0, box.x0 - store.extent.x0, store.read("logit", box)[0])
            for box in written_parts(store.extent)
        ),
        threads=os.cpu_count() or 1,
    )
    remove_folder(Storage(out), f"{key}-{STORE}")
    return path
