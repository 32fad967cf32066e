"""Scenes as ground: windows anywhere in labelled scenes, with whole blocks of labels held back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property

import numpy as np

from tiler.grids import Box
from tiler.ground import Cache, Moments, Pair, Place, Sampling, Statistics
from tiler.labels import IGNORE
from tiler.scene_store import SceneStore
from tiler.scene_windows import own_boxes
from tiler.split import Split

BLOCK_PX = 512
INDEX_PX = 64
"""Side of the blocks in which pixels of a class are counted, to find them again."""
TRIES = 100
"""Places that are drawn, at most, until one lies where labels may be used."""


class SceneGround:
    """Labelled scenes; a tile is a window. Labels of held-back blocks and of missing pixels never train."""

    def __init__(
        self,
        scenes: Sequence[SceneStore],
        tile_px: int,
        channels: Sequence[str],
        split: Split,
        sampling: Sampling | None = None,
        cache_bytes: int = 512 * 2**20,
        left_out: Collection[str] = (),
    ) -> None:
        """Take scenes, each drawn in proportion to its area times its weight.

        Args:
            scenes: to draw from.
            tile_px: side of a tile.
            channels: of a tile.
            split: which blocks are held back.
            sampling: which places are drawn, and how often.
            cache_bytes: memory for blocks that were read lately.
            left_out: names of windows (`tiler.scene_windows`) whose own pixels neither train nor validate, and around
                which no tile is drawn.

        Raises:
            ValueError: no scene is labelled (and of a weight above 0), or nothing of these is kept.
        """
        self.sampling = sampling or Sampling()
        weights = [self.sampling.weights.get(s.id, 1.0) for s in scenes]
        self.scenes = [s for s, weight in zip(scenes, weights, strict=True) if s.labelled and weight > 0]
        if not self.scenes:
            raise ValueError(
                f"training needs labels; none of the scenes {[s.id for s in scenes]} has any: set `labels`"
            )
        self._left_out = own_boxes(left_out, {s.id: s.grid for s in self.scenes})
        areas = np.array([s.grid.height * s.grid.width - self._removed_px(s) for s in self.scenes], float)
        if not areas.any():
            raise ValueError(
                f"every window of the labelled scenes {[s.id for s in self.scenes]} is left out; keep some"
            )
        chances = areas * [self.sampling.weights.get(s.id, 1.0) for s in self.scenes]
        self._chances = chances / chances.sum()
        self._area_px = int(areas.sum())
        self.tile_px, self._channels, self.split = tile_px, tuple(channels), split
        withheld = 1 - self.sampling.label_fraction
        self._withheld = Split(block_px=split.block_px, fraction=withheld, seed=split.seed + 1) if withheld else None
        self._cache: Cache[Pair] = Cache(cache_bytes)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels of a tile."""
        return self._channels

    @property
    def tiles(self) -> int:
        """Number of tiles that cover the scenes once."""
        return -(-self._area_px // self.tile_px**2)

    def draw(self, random: np.random.Generator, index: int) -> Place:
        """Draw a window."""
        wanted = self.sampling.class_wanted(random) if self.sampling.classes else None
        if wanted is not None and len(self._class_blocks[wanted][0]):
            return self._around(wanted, random)
        for _ in range(TRIES):
            number = int(random.choice(len(self.scenes), p=self._chances))
            scene = self.scenes[number]
            y0 = int(random.integers(0, max(1, scene.grid.height - self.tile_px + 1)))
            x0 = int(random.integers(0, max(1, scene.grid.width - self.tile_px + 1)))
            y, x = y0 + self.tile_px // 2, x0 + self.tile_px // 2
            if self._may_lie(scene, Box(y, x, y + 1, x + 1)):
                break
        return number, Box(y0, x0, y0 + self.tile_px, x0 + self.tile_px)

    def read(self, place: Place) -> Pair:
        """Read a window; labels that may not train are ignored."""
        number, box = place
        image, label = self._read(self.scenes[number], box)
        label[~self._trains(self.scenes[number], box)] = IGNORE
        return image, label

    def held_back(self) -> list[Place]:
        """Return every window of a regular grid that holds held-back pixels."""
        found = []
        for number, scene in enumerate(self.scenes):
            for y0 in range(0, scene.grid.height, self.tile_px):
                for x0 in range(0, scene.grid.width, self.tile_px):
                    box = Box(y0, x0, y0 + self.tile_px, x0 + self.tile_px)
                    inside = box.clip(scene.grid.box)
                    if (self.split.held_back(scene.id, inside) & self._kept(scene, inside)).any():
                        found.append((number, box))
        return found

    def read_held_back(self, place: Place) -> Pair:
        """Read a window; all labels but those of held-back blocks are ignored."""
        number, box = place
        image, label = self._read(self.scenes[number], box)
        scene = self.scenes[number]
        label[~(self.split.held_back(scene.id, box) & self._kept(scene, box))] = IGNORE
        return image, label

    def statistics(self) -> Statistics:
        """Return the numbers of each channel over all scenes; a median is the mean of the scenes' medians.

        Raises:
            ValueError: a channel has no valid pixel.
        """
        moments: dict[str, Moments] = {}
        medians: dict[str, float] = {}
        for scene in self.scenes:
            for band in scene.quality["bands"]:
                name, count = band["name"], float(band["count"])
                mean, deviation = band["mean"] or 0.0, band["standard_deviation"] or 0.0
                moments[name] = _added(moments, name, (count, count * mean, count * (deviation**2 + mean**2)))
                medians[name] = medians.get(name, 0.0) + count * (band["median"] or 0.0)
            for name, found in scene.coarse_moments.items():
                moments[name] = _added(moments, name, found)
        medians = {name: total / max(moments[name][0], 1) for name, total in medians.items()}
        return Statistics.of(self._channels, moments, medians)

    def _may_lie(self, scene: SceneStore, middle: Box) -> bool:
        """Return whether a tile may be drawn around a pixel."""
        usable = self._kept(scene, middle) if self._withheld is None else self._trains(scene, middle)
        return bool(usable.any())

    def _trains(self, scene: SceneStore, box: Box) -> np.ndarray:
        held = self.split.held_back(scene.id, box)
        usable = ~held if self._withheld is None else ~(held | self._withheld.held_back(scene.id, box))
        return np.asarray(usable & self._kept(scene, box))

    def _kept(self, scene: SceneStore, box: Box) -> np.ndarray:
        """Return which pixels of a rectangle are of no window that was left out, bool (y, x)."""
        kept = np.ones((box.height, box.width), bool)
        for removed in self._left_out.get(scene.id, ()):
            part = removed.clip(box)
            if not part.empty:
                kept[part.shift(-box.y0, -box.x0).slices] = False
        return kept

    def _removed_px(self, scene: SceneStore) -> int:
        return sum(box.height * box.width for box in self._left_out.get(scene.id, ()))

    def _around(self, wanted: int, random: np.random.Generator) -> Place:
        """Draw a window that holds a block with pixels of a class; more of them, more often."""
        blocks, running = self._class_blocks[wanted]
        number, row, col = blocks[int(np.searchsorted(running, random.integers(running[-1]), side="right"))].tolist()
        grid = self.scenes[number].grid
        y, x = (part * INDEX_PX + int(random.integers(INDEX_PX)) for part in (row, col))
        y0 = min(max(0, y - int(random.integers(self.tile_px))), max(0, grid.height - self.tile_px))
        x0 = min(max(0, x - int(random.integers(self.tile_px))), max(0, grid.width - self.tile_px))
        return number, Box(y0, x0, y0 + self.tile_px, x0 + self.tile_px)

    @cached_property
    def _class_blocks(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Class to the blocks (scene, row, col) that hold any of it for training, and their running counts."""
        found: dict[int, list[tuple[int, int, int, int]]] = {index: [] for index in self.sampling.classes}
        for number, scene in enumerate(self.scenes):
            for strip, label in self._strips(scene):
                for index, blocks in found.items():
                    counts = _block_sums(label == index)
                    for row, col in np.argwhere(counts):
                        blocks.append((number, strip.y0 // INDEX_PX + row, col, counts[row, col]))
        tables = {index: np.array(blocks, np.int64).reshape(-1, 4) for index, blocks in found.items()}
        return {index: (table[:, :3], np.cumsum(table[:, 3])) for index, table in tables.items()}

    def _strips(self, scene: SceneStore) -> Iterator[tuple[Box, np.ndarray]]:
        for y0 in range(0, scene.grid.height, BLOCK_PX):
            box = Box(y0, 0, min(y0 + BLOCK_PX, scene.grid.height), scene.grid.width)
            label = scene.read("label", box, IGNORE)
            label[~(scene.read("valid", box, False) & self._trains(scene, box))] = IGNORE
            yield box, label

    def _read(self, scene: SceneStore, box: Box) -> Pair:
        """Read channels and labels of a window; what is missing, or hangs over the scene, is ignored."""
        image = np.empty((len(self._channels), box.height, box.width), np.float32)
        label = np.empty((box.height, box.width), np.uint8)
        for row in range(box.y0 // BLOCK_PX, -(-box.y1 // BLOCK_PX)):
            for col in range(box.x0 // BLOCK_PX, -(-box.x1 // BLOCK_PX)):
                block = Box(row * BLOCK_PX, col * BLOCK_PX, (row + 1) * BLOCK_PX, (col + 1) * BLOCK_PX)
                part = block.clip(box)
                source, target = part.shift(-block.y0, -block.x0).slices, part.shift(-box.y0, -box.x0).slices
                pixels, labels = self._block(scene, block)
                image[(slice(None), *target)] = pixels[(slice(None), *source)]
                label[target] = labels[source]
        return image, label

    def _block(self, scene: SceneStore, block: Box) -> Pair:
        def read() -> Pair:
            label = scene.read("label", block, IGNORE)
            label[~scene.read("valid", block, False)] = IGNORE
            return scene.network_input(block, self._channels), label

        return self._cache.get((scene.url, block.y0, block.x0), read, lambda found: sum(a.nbytes for a in found))


def _added(moments: dict[str, Moments], name: str, more: Moments) -> Moments:
    count, total, squares = moments.get(name, (0.0, 0.0, 0.0))
    return count + more[0], total + more[1], squares + more[2]


def _block_sums(mask: np.ndarray) -> np.ndarray:
    """Count True in blocks of `INDEX_PX`, int64 (rows, cols)."""
    rows, cols = (range(0, side, INDEX_PX) for side in mask.shape)
    return np.add.reduceat(np.add.reduceat(mask.astype(np.int64), rows, axis=0), cols, axis=1)
