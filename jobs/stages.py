"""Stages: small frozen recipes that a worker runs on one key.

A stage is called once per worker, what it returns once per key. A stage is tested by
calling it, with no engine. Keys are small; pixels are read from stores and written back to them.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from jobs.plan import CellTask, Precision
from tiler.blend import blend
from tiler.coarse import Coarse
from tiler.coarse_store import fill_coarse
from tiler.fuse import Fusion
from tiler.grids import Box, MapGrid
from tiler.labels import Labels
from tiler.lattice import Lattice
from tiler.logit_store import LogitStore, WindowShard
from tiler.map_store import MapStore
from tiler.scene_store import SceneStore, fill_shard
from tiler.scenes import Scene
from tiler.shards import Shard
from tiler.stores import open_group
from tiler.warp import Mapping, warp

QUALITY = "_quality"
"""Suffix of the unit that closes a scene: with its marker the scene is ingested."""
OPEN_STORES = 16
"""Scenes whose stores a worker keeps open."""


def peak_memory_bytes() -> int:
    """Return the largest resident memory of this process so far.

    From /proc where there is one: `getrusage` also counts what the parent held when it forked this process.
    """
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def limit_threads() -> None:
    """Keep zarr's own pools inside the worker's share of the cores, which engines tell as OpenMP's setting."""
    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    zarr.config.set({"threading.max_workers": max(1, threads), "async.concurrency": max(2, threads)})


@dataclass(frozen=True)
class Ingest:
    """Read the files of a scene, one shard of its store at a time."""

    scenes: dict[str, tuple[Scene, Labels | None, str]]
    """Store name to the scene, its labels and the address of its store."""

    def __call__(self) -> Callable[[Shard], dict]:
        """Prepare a worker."""
        limit_threads()

        def work(shard: Shard) -> dict:
            scene, labels, url = self.scenes[shard.scene]
            return {**fill_shard(open_group(url), scene, labels, shard), "peak_memory_bytes": peak_memory_bytes()}

        return work


@dataclass(frozen=True)
class Summarise:
    """Close a scene, once all of its shards are written: coarse modalities, and the statistics of the whole.

    The key is the store's name + `QUALITY`. Modalities are some kilobytes: they have no units of their own.
    """

    scenes: dict[str, tuple[tuple[Coarse, ...], str]]
    """Store name to the scene's modalities and the address of its store."""

    def __call__(self) -> Callable[[str], dict]:
        """Prepare a worker."""

        def work(unit: str) -> dict:
            coarse, url = self.scenes[unit.removesuffix(QUALITY)]
            written = fill_coarse(open_group(url), coarse)
            quality = SceneStore(url).summarise()
            return {
                "pixels": quality["pixels"],
                "valid": quality["valid"],
                "bytes_written": written,
                "peak_memory_bytes": peak_memory_bytes(),
            }

        return work


@dataclass(frozen=True)
class Infer:
    """Run every network in every view on each window of a shard; keep mean logit and spread of the whole window."""

    stores: dict[str, tuple[str, str]]
    """Logit store name to the addresses of the scene store and of the logit store."""
    bundles: tuple[str, ...]
    channels: tuple[str, ...]
    """What is read: bands, missing mask, then `coarse`. Each network picks its own."""
    coarse: tuple[str, ...]
    """The channels of coarse modalities among them."""
    tta: str
    precision: Precision

    def __call__(self) -> Callable[[WindowShard], dict]:
        """Prepare a worker: load the networks once.

        The function it returns may run on several threads at once: reading and writing of some shards go on while
        another computes. All networks run on one thread of their own: each thread that computes would bring a team of
        helper threads, and all teams together are more than there are cores.
        """
        from cluster.storage import Storage
        from models.imagery import Imagery
        from models.predict import load_ensemble

        limit_threads()
        files = [
            {name: Storage(path).get(name) for name in ("card.json", "weights.safetensors")} for path in self.bundles
        ]
        opened = _opener(self.stores)
        ensemble = load_ensemble(
            files,
            channels=self.channels,
            tta=self.tta,
            precision=self.precision.precision,
            device=self.precision.device,
            batch=self.precision.batch,
        )
        networks = ThreadPoolExecutor(1, "networks")

        def forward(*task: Any) -> tuple[np.ndarray, float]:
            began = time.monotonic()
            return ensemble.predict_windows(*task), time.monotonic() - began

        def work(shard: WindowShard) -> dict:
            scene, logits = opened(shard.scene)
            started = time.monotonic()
            under = read_under(scene, logits, shard, self.coarse)
            windows = np.empty((0, logits.layers, logits.lattice.tile_px, logits.lattice.tile_px), np.float16)
            read = time.monotonic()
            forward_s = 0.0
            if under.places:
                imagery = Imagery.of(under.bands, under.valid, under.fill, under.coarse, self.precision.device)
                task = imagery, under.corners(logits.lattice), logits.lattice.tile_px
                windows, forward_s = networks.submit(forward, *task).result()
            computed = time.monotonic()
            written = logits.write(shard, under.places, windows)
            return {
                "windows": len(under.places),
                "bytes_read": under.nbytes,
                "bytes_written": written,
                "read_s": read - started,
                "forward_s": forward_s,
                "wait_s": computed - read - forward_s,
                "write_s": time.monotonic() - computed,
                "peak_memory_bytes": peak_memory_bytes(),
            }

        return work


def _opener(stores: dict[str, tuple[str, str]]) -> Callable[[str], tuple[SceneStore, LogitStore]]:
    """Return what opens the stores of a scene, by the name of its logits, and keeps the last few open."""

    @lru_cache(maxsize=OPEN_STORES)
    def opened(name: str) -> tuple[SceneStore, LogitStore]:
        scene_url, logits_url = stores[name]
        return SceneStore(scene_url), LogitStore(logits_url)

    return opened


@dataclass(frozen=True)
class Under:
    """What a scene holds under some windows."""

    places: list[tuple[int, int]]
    """`(row, col)` of the windows."""
    box: Box
    """The scene pixels that they cover; all arrays are of this rectangle."""
    bands: np.ndarray
    """(band, y, x), as stored."""
    valid: np.ndarray
    """bool (y, x)."""
    fill: np.ndarray
    """float32 (band,): the scene's medians."""
    coarse: np.ndarray
    """float32 (channel, y, x), NaN where missing."""

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.bands.nbytes + self.valid.nbytes + self.coarse.nbytes

    def corners(self, lattice: Lattice) -> list[tuple[int, int]]:
        """Return where the windows begin, in pixels of the rectangle."""
        boxes = [lattice.window(*place) for place in self.places]
        return [(b.y0 - self.box.y0, b.x0 - self.box.x0) for b in boxes]


def read_under(scene: SceneStore, logits: LogitStore, shard: WindowShard, coarse: Sequence[str] = ()) -> Under:
    """Read what lies under those windows of a shard that hold any valid pixel, each chunk once.

    A window without any valid pixel costs nothing, not even its image: Mosaic never looks at it.

    Args:
        scene: where to read.
        logits: the windows.
        shard: which of them.
        coarse: channels of coarse modalities.
    """
    wanted = logits.windows_of(shard)
    boxes = [logits.lattice.window(*place) for place in wanted]
    whole = _around(boxes)
    valid = scene.read("valid", whole, False)
    some = [bool(valid[box.shift(-whole.y0, -whole.x0).slices].any()) for box in boxes]
    places = [place for place, seen in zip(wanted, some, strict=True) if seen]
    box = _around([b for b, seen in zip(boxes, some, strict=True) if seen])
    valid = valid[box.shift(-whole.y0, -whole.x0).slices] if places else valid[:0, :0]
    return Under(places, box, scene.read("image", box, 0), valid, scene.medians, scene.coarse_input(box, coarse))


def _around(boxes: Sequence[Box]) -> Box:
    """Return the smallest rectangle that holds all boxes; without any, one of no pixels."""
    if not boxes:
        return Box(0, 0, 0, 0)
    return Box(min(b.y0 for b in boxes), min(b.x0 for b in boxes), max(b.y1 for b in boxes), max(b.x1 for b in boxes))


@dataclass(frozen=True)
class Mosaic:
    """Gather every window that touches a cell, blend per scene, warp, fuse over scenes, write that cell."""

    stores: dict[str, tuple[str, str]]
    """Logit store name to the addresses of the scene store and of the logit store."""
    map_url: str

    def __call__(self) -> Callable[[CellTask], dict]:
        """Prepare a worker."""
        limit_threads()
        opened = _opener(self.stores)
        target = MapStore(self.map_url)

        def work(task: CellTask) -> dict:
            box = MapGrid.box_of(task.cell)
            fusion = Fusion(len(target.classes), box.height, box.width)
            for name in task.scenes:
                scene, logits = opened(name)
                layers, seen = warped(scene, logits, target.grid, box)
                if seen is not None and layers is not None:
                    fusion.add(layers, seen, scene.acquired)
            fused = fusion.result()
            written = target.write(task.cell, fused)
            return {
                "seen_px": int((fused.count > 0).sum()),
                "bytes_written": written,
                "peak_memory_bytes": peak_memory_bytes(),
            }

        return work


def warped(
    scene: SceneStore, logits: LogitStore, grid: MapGrid, box: Box
) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
    """Blend a scene on its native pixels and warp it to map pixels.

    Returns:
        float32 (layer, y, x) and bool (y, x) of the map pixels `box`, or None twice where the scene has nothing there.
    """
    mapping = Mapping(grid.pixels, scene.grid)
    at = mapping.source_box(box)
    if at.empty:
        return None, None
    valid = scene.read("valid", at, False)
    if not valid.any():
        return None, None
    values, seen = blend(logits.window, logits.lattice, at, logits.layers)
    return warp(mapping, box, values, valid & seen, at)
