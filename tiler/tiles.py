"""Training tiles: random or regular windows read straight from scene stores, as any data loader takes them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

import numpy as np

from tiler.grids import Box
from tiler.labels import IGNORE
from tiler.scene_store import SceneStore
from tiler.split import Split

BLOCK_PX = 512


class BlockCache:
    """Decoded blocks of scenes, least recently used first out, so that a chunk is decoded once for many windows."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._blocks: OrderedDict[tuple[str, int, int], tuple[np.ndarray, np.ndarray]] = OrderedDict()
        self._lock = Lock()

    def read(self, scene: SceneStore, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """Read the network input and the labels of a rectangle; what hangs over the scene is missing and ignored."""
        image = np.empty((len(scene.channels), box.height, box.width), np.float32)
        label = np.empty((box.height, box.width), np.uint8)
        for row in range(box.y0 // BLOCK_PX, -(-box.y1 // BLOCK_PX)):
            for col in range(box.x0 // BLOCK_PX, -(-box.x1 // BLOCK_PX)):
                block = Box(row * BLOCK_PX, col * BLOCK_PX, (row + 1) * BLOCK_PX, (col + 1) * BLOCK_PX)
                part = block.clip(box)
                source, target = part.shift(-block.y0, -block.x0).slices, part.shift(-box.y0, -box.x0).slices
                pixels, labels = self._block(scene, row, col, block)
                image[(slice(None), *target)] = pixels[(slice(None), *source)]
                label[target] = labels[source]
        return image, label

    def _block(self, scene: SceneStore, row: int, col: int, block: Box) -> tuple[np.ndarray, np.ndarray]:
        key = (scene.url, row, col)
        with self._lock:
            if key in self._blocks:
                self._blocks.move_to_end(key)
                return self._blocks[key]
        found = scene.network_input(block), scene.read("label", block, IGNORE)
        with self._lock:
            if key not in self._blocks:
                self._blocks[key] = found
                self._bytes += found[0].nbytes + found[1].nbytes
            while self._bytes > self._max_bytes and len(self._blocks) > 1:
                _, old = self._blocks.popitem(last=False)
                self._bytes -= old[0].nbytes + old[1].nbytes
        return found


class TrainingTiles:
    """Random windows of labelled scenes, with labels of held-back blocks (and of missing pixels) ignored.

    Tile `i` of an epoch is a function of (seed, epoch, i) alone: any number of workers sees the same tiles.
    """

    def __init__(
        self,
        scenes: Sequence[SceneStore],
        tile_px: int,
        count: int,
        split: Split,
        seed: int = 0,
        flips: bool = True,
        cache_bytes: int = 512 * 2**20,
    ) -> None:
        """Take scenes, each chosen in proportion to its area.

        Raises:
            ValueError: no scene is labelled.
        """
        self._scenes = [s for s in scenes if s.labelled]
        if not self._scenes:
            raise ValueError(
                f"training needs labels; none of the scenes {[s.id for s in scenes]} has any: set `labels`"
            )
        areas = np.array([s.grid.height * s.grid.width for s in self._scenes], float)
        self._chances = areas / areas.sum()
        self._tile_px, self._count, self._split = tile_px, count, split
        self._seed, self._epoch, self._flips = seed, 0, flips
        self._cache = BlockCache(cache_bytes)

    def __len__(self) -> int:
        return self._count

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose tiles `__getitem__` returns."""
        self._epoch = epoch

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return tile `index` of the epoch: float32 (channel, y, x) and uint8 (y, x).

        Raises:
            IndexError: past the end.
        """
        if not 0 <= index < self._count:
            raise IndexError(f"tile {index} of {self._count}")
        random = np.random.default_rng([self._seed, self._epoch, index])
        scene = self._scenes[int(random.choice(len(self._scenes), p=self._chances))]
        y0 = int(random.integers(0, max(1, scene.grid.height - self._tile_px + 1)))
        x0 = int(random.integers(0, max(1, scene.grid.width - self._tile_px + 1)))
        box = Box(y0, x0, y0 + self._tile_px, x0 + self._tile_px)
        image, label = self._cache.read(scene, box)
        label[self._split.held_back(scene.id, box) | (image[-1] > 0)] = IGNORE
        if self._flips:
            for axis in (-2, -1):
                if random.random() < 0.5:
                    image, label = np.flip(image, axis), np.flip(label, axis)
            if random.random() < 0.5:
                image, label = np.swapaxes(image, -1, -2), np.swapaxes(label, -1, -2)
        return np.ascontiguousarray(image), np.ascontiguousarray(label)


class HeldBackTiles:
    """Every window of a regular grid that holds held-back labelled pixels; all other labels are ignored."""

    def __init__(
        self, scenes: Sequence[SceneStore], tile_px: int, split: Split, cache_bytes: int = 512 * 2**20
    ) -> None:
        self._split, self._cache = split, BlockCache(cache_bytes)
        self._places: list[tuple[SceneStore, Box]] = []
        for scene in (s for s in scenes if s.labelled):
            for y0 in range(0, scene.grid.height, tile_px):
                for x0 in range(0, scene.grid.width, tile_px):
                    box = Box(y0, x0, y0 + tile_px, x0 + tile_px)
                    if split.held_back(scene.id, box.clip(scene.grid.box)).any():
                        self._places.append((scene, box))

    def __len__(self) -> int:
        return len(self._places)

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: validation is the same in every epoch."""

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return tile `index`: float32 (channel, y, x) and uint8 (y, x)."""
        scene, box = self._places[index]
        image, label = self._cache.read(scene, box)
        label[~self._split.held_back(scene.id, box) | (image[-1] > 0)] = IGNORE
        return image, label


def scaling(scenes: Sequence[SceneStore]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return offset and scale of each channel over all scenes: mean and standard deviation of valid pixels.

    The mask channel is left as it is (offset 0, scale 1).
    """
    counts = np.array([[b["count"] for b in s.quality["bands"]] for s in scenes], float)
    means = np.array([[b["mean"] or 0.0 for b in s.quality["bands"]] for s in scenes])
    deviations = np.array([[b["standard_deviation"] or 0.0 for b in s.quality["bands"]] for s in scenes])
    total = counts.sum(0)
    if not total.all():
        raise ValueError(f"no valid pixel in the scenes {[s.id for s in scenes]}; training needs some")
    mean = (counts * means).sum(0) / total
    variance = (counts * (deviations**2 + (means - mean) ** 2)).sum(0) / total
    scale = np.where(variance > 0, np.sqrt(variance), 1.0)
    return (*mean.tolist(), 0.0), (*scale.tolist(), 1.0)
