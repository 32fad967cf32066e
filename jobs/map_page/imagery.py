"""The scenes of a run as pictures in web tiles, read from their stores: pixels where that is wanted, else quick-looks.

Scenes are drawn in order of their dates, the latest on top. All share one stretch, so that neighbours compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np

from jobs.map_page.published_run import PublishedRun
from jobs.map_page.sampling import averaged
from jobs.map_page.xyz import TILE_PX, Bounds, bounds_of, native_zoom, outline_of, tile_box, world_grid
from tiler.grids import Box, PixelGrid
from tiler.quicklook import quicklook_step
from tiler.scene_store import SceneStore
from tiler.stores import array_of
from tiler.warp import Mapping as PixelMapping

VIEWS: Mapping[str, tuple[str, str, tuple[str, str, str]]] = {
    "colour": ("True colour", "The scenes in red, green and blue; the latest lies on top.", ("red", "green", "blue")),
    "nir": (
        "Near infrared",
        "The scenes in near infrared, red and green: plants are red, what is built is grey or cyan.",
        ("nir", "red", "green"),
    ),
}
"""Name of a view to its title, a sentence about it, and the bands that it shows as red, green and blue."""
PERCENTILES = (1, 99)
SMALL = 8
"""The smallest picture keeps every so many pixels of the quick-look, and stays in memory."""
SHRINKS_AT_MOST = 8
"""Pixels of a level for one of a tile along a side; a coarser level is used before there are more."""


@dataclass(frozen=True, eq=False)
class SceneImage:
    """A scene at three sizes: its pixels, its quick-look, and every eighth pixel of that."""

    store: SceneStore

    @property
    def order(self) -> tuple[str, str]:
        """What scenes are sorted by: date, then id."""
        return (self.store.acquired.isoformat() if self.store.acquired else "", self.store.id)

    @cached_property
    def bounds(self) -> Bounds:
        """Where it lies."""
        return bounds_of(self.store.grid)

    @cached_property
    def outline(self) -> list[list[float]]:
        """A closed ring of longitudes and latitudes around it."""
        return outline_of(self.store.grid, self.store.grid.box)

    @cached_property
    def small(self) -> tuple[np.ndarray, np.ndarray, PixelGrid]:
        """Every eighth pixel of the quick-look: image (band, y, x), valid (y, x), and their grid."""
        image, valid, grid = self.store.quicklook()
        return image[:, ::SMALL, ::SMALL], valid[::SMALL, ::SMALL], thinned(grid, SMALL)

    @cached_property
    def levels(self) -> list[PixelGrid]:
        """The grids of the three sizes, finest first."""
        return [self.store.grid, thinned(self.store.grid, quicklook_step(self.store.grid)), self.small[2]]

    def read(self, level: int, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """Return image (band, y, x) and valid (y, x) of a rectangle of a level."""
        if level == 0:
            return self.store.read("image", box, 0), self.store.read("valid", box, False)
        if level == 1:
            image = array_of(self.store.group, "quality/quicklook")[(slice(None), *box.slices)]
            return np.asarray(image), np.asarray(array_of(self.store.group, "quality/quicklook_valid")[box.slices])
        image, valid, _ = self.small
        return image[(slice(None), *box.slices)], valid[box.slices]


def thinned(grid: PixelGrid, step: int) -> PixelGrid:
    """Return the grid of every `step`-th pixel of another, each in the middle of a pixel of the new one."""
    a, b, c, d, e, f = grid.transform
    shift = 0.5 - step / 2
    c, f = c + (a + b) * shift, f + (d + e) * shift
    return PixelGrid(
        grid.crs, (a * step, b * step, c, d * step, e * step, f), -(-grid.height // step), -(-grid.width // step)
    )


class Imagery:
    """The scenes of a run whose stores are there."""

    def __init__(self, scenes: list[SceneImage]) -> None:
        self.scenes = sorted(scenes, key=lambda one: one.order)

    @classmethod
    def of(cls, run: PublishedRun) -> Imagery | None:
        """Open what there is; None where the stores of all scenes are gone."""
        found = []
        for url in run.scenes.values():
            try:
                store = SceneStore(url)
                _ = store.quality  # written last
            except (FileNotFoundError, KeyError, ValueError):
                continue
            found.append(SceneImage(store))
        return cls(found) if found else None

    def has(self, view: str) -> bool:
        """Whether the scenes have the bands of a view."""
        return set(VIEWS[view][2]) <= set(self.scenes[0].store.sensor.bands)

    @cached_property
    def bounds(self) -> Bounds:
        """Where the scenes lie."""
        return reduce(Bounds.joined, (one.bounds for one in self.scenes))

    @cached_property
    def native_zoom(self) -> int:
        """The last zoom that shows more than the one before it."""
        return max(native_zoom(one.store.grid, one.bounds) for one in self.scenes)

    @cached_property
    def stretch(self) -> dict[str, tuple[float, float]]:
        """Digital numbers of each band that are drawn black and white: of valid pixels of all scenes together."""
        bands = self.scenes[0].store.sensor.bands
        known = [image[:, valid] for image, valid, _ in (one.small for one in self.scenes)]
        together = np.concatenate(known, axis=1)
        if not together.shape[1]:
            return {band: (0.0, 1.0) for band in bands}
        low, high = np.percentile(together, PERCENTILES, axis=1)
        return {name: (float(a), float(max(b, a + 1))) for name, a, b in zip(bands, low, high, strict=True)}

    def tile(self, view: str, zoom: int, x: int, y: int) -> np.ndarray | None:
        """Return a tile as uint8 (y, x, 4), None where no scene saw anything of it."""
        box, out = tile_box(zoom, x, y), np.zeros((TILE_PX, TILE_PX, 4), np.uint8)
        for scene in reversed(self.scenes):  # what lies under others is not read: a country has many dates
            if not scene.bounds.holds(zoom, x, y):
                continue
            found = self._warped(scene, view, zoom, box)
            if found is not None:
                picture, seen = found
                seen = seen & (out[..., 3] == 0)
                out[seen, :3], out[seen, 3] = picture[seen], 255
                if out[..., 3].all():
                    break
        return out if out[..., 3].any() else None

    def _warped(self, scene: SceneImage, view: str, zoom: int, box: Box) -> tuple[np.ndarray, np.ndarray] | None:
        target, names = world_grid(zoom), scene.store.sensor.bands
        last = len(scene.levels) - 1
        level = next(
            n for n, one in enumerate(scene.levels) if n == last or PixelMapping(target, one).shrink <= SHRINKS_AT_MOST
        )

        def read(at: Box) -> tuple[np.ndarray, np.ndarray]:
            image, valid = scene.read(level, at)
            chosen = np.zeros((3, *valid.shape), np.float32)
            for channel, name in enumerate(VIEWS[view][2]):
                low, high = self.stretch[name]
                band = image[names.index(name)].astype(np.float32)
                chosen[channel] = np.where(valid, (band - low) * (255 / (high - low)), 0)
            return chosen, valid

        found = averaged(target, box, scene.levels[level], read)
        if found is None:
            return None
        values, seen = found
        return np.moveaxis(np.clip(np.round(values), 0, 255).astype(np.uint8), 0, -1), seen
