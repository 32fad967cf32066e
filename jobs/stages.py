"""Stages: small frozen recipes that a worker runs on one key.

A stage is called once per worker, what it returns once per key. A stage is tested by
calling it, with no engine. Keys are small; pixels are read from stores and written back to them.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from cluster.heap import keep_memory
from cluster.openmp import spin_briefly
from jobs.cells import CellTask
from jobs.clock import Clock
from jobs.window_faults import lacking
from tiler.blend import blend
from tiler.coarse import Coarse
from tiler.coarse_store import fill_coarse
from tiler.disk_pipeline import use_disk_pipeline
from tiler.fuse import Fusion
from tiler.grids import Box, MapGrid
from tiler.labels import Labels
from tiler.lattice import Lattice
from tiler.logit_store import LogitStore
from tiler.map_store import MapStore
from tiler.rasters import limit_block_cache
from tiler.scene_store import SceneStore, fill_shard
from tiler.scenes import Scene
from tiler.scratch import Scratch
from tiler.shards import Shard, shard_box
from tiler.stores import open_group
from tiler.warp import Mapping, warp


class WindowLayers(Protocol):
    """What Mosaic asks of the layers of a scene's windows: those of a `LogitStore`, or others of its form."""

    @property
    def lattice(self) -> Lattice:
        """The windows."""
        ...

    @property
    def layers(self) -> int:
        """Layers of a window."""
        ...

    @property
    def lacks_windows(self) -> bool:
        """Whether any window is quarantined."""
        ...

    @property
    def flags(self) -> np.ndarray:
        """`tiler.logit_store.Flag` of the windows, uint8 (rows, cols)."""
        ...

    def windows(self, row: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Read windows of a row: float16 (window, layers, tile_px, tile_px), and bool (window,): which there are."""
        ...


QUALITY = "_quality"
"""Suffix of the unit that closes a scene: with its marker the scene is ingested."""
OPEN_STORES = 16
"""Scenes whose stores a worker keeps open."""


def peak_memory_bytes() -> int:
    """Return the largest resident memory of this process since `prepare_worker`, or so far.

    From /proc where there is one: `getrusage` also counts what the parent held when it forked this process.
    """
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def prepare_worker() -> None:
    """Begin a stage in this process.

    zarr's threads are kept inside the worker's share of the cores, which engines tell as OpenMP's setting; and the
    peak of memory is counted from here, where Linux allows that: a process may have done an earlier stage.
    """
    keep_memory()
    spin_briefly()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    use_disk_pipeline(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1))


@dataclass(frozen=True)
class Ingest:
    """Read the files of a scene, one shard of its store at a time."""

    scenes: dict[str, tuple[Scene, Labels | None, str]]
    """Store name to the scene, its labels and the address of its store."""

    def __call__(self) -> Callable[[Shard], dict]:
        """Prepare a worker."""
        prepare_worker()
        limit_block_cache()
        opened, scratch = lru_cache(maxsize=OPEN_STORES)(open_group), Scratch()

        def work(shard: Shard) -> dict:
            scene, labels, url = self.scenes[shard.scene]
            clock = Clock()
            record = fill_shard(opened(url), scene, labels, shard, clock.step, scratch)
            ground_km2 = scene.grid.area_km2(shard_box(shard, scene.grid))
            return {**record, **clock.facts, "ground_km2": ground_km2, "peak_memory_bytes": peak_memory_bytes()}

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
        prepare_worker()

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


def opener_of(stores: dict[str, tuple[str, str]]) -> Callable[[str], tuple[SceneStore, LogitStore]]:
    """Return what opens the stores of a scene, by the name of its logits, and keeps the last few open."""

    @lru_cache(maxsize=OPEN_STORES)
    def opened(name: str) -> tuple[SceneStore, LogitStore]:
        scene_url, logits_url = stores[name]
        return SceneStore(scene_url), LogitStore(logits_url)

    return opened


@dataclass(frozen=True)
class Mosaic:
    """Gather every window that touches a cell, blend per scene, warp, fuse over scenes, write that cell."""

    stores: dict[str, tuple[str, str]]
    """Logit store name to the addresses of the scene store and of the logit store."""
    map_url: str
    most: int | None = None
    """Scenes that a pixel takes, the first of those that saw it; None: all."""

    def __call__(self) -> Callable[[CellTask], dict]:
        """Prepare a worker."""
        prepare_worker()
        return cell_work(opener_of(self.stores), MapStore(self.map_url), self.most)


def cell_work(
    opened: Callable[[str], tuple[SceneStore, WindowLayers]], target: MapStore, most: int | None = None
) -> Callable[[CellTask], dict]:
    """Return what makes one cell of a map from whatever windows there are: logits, or anything else of that form.

    Args:
        opened: opens the stores of a scene by the name in the task.
        target: the map.
        most: scenes that a pixel takes, in the order of the task; None: all.
    """

    def work(task: CellTask) -> dict:
        box = MapGrid.box_of(task.cell)
        fusion = Fusion(len(target.classes), box.height, box.width, target.uncertainty, most)
        clock, missed = Clock(), 0
        for name in task.scenes:
            scene, logits = opened(name)
            if logits.lacks_windows:
                at = Mapping(target.grid.pixels, scene.grid).source_box(box)
                missed += lacking(logits.flags, logits.lattice, at)
            layers, seen = warped(scene, logits, target.grid, box, clock)
            if seen is not None and layers is not None:
                with clock.step("fuse"):
                    fusion.add(layers, seen, scene.acquired)
        with clock.step("fuse"):
            fused = fusion.result()
        with clock.step("write"):
            written = target.write(task.cell, fused)
        seen_px = int(np.count_nonzero(fused.count))
        return {
            "seen_px": seen_px,
            "quarantined_windows": missed,
            "scenes": task.scenes_key,
            "ground_km2": seen_px * target.grid.pixels.pixel_area_m2((box.y0 + box.y1) / 2) / 1e6,
            **clock.facts,
            "bytes_written": written,
            "peak_memory_bytes": peak_memory_bytes(),
        }

    return work


def warped(
    scene: SceneStore, logits: WindowLayers, grid: MapGrid, box: Box, clock: Clock | None = None
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
    clock = clock or Clock()
    with clock.step("blend"):
        values, seen = blend(logits.windows, logits.lattice, at, logits.layers)
    with clock.step("warp"):
        return warp(mapping, box, values, valid & seen, at)
