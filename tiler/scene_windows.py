"""Windows of scenes as rows of a table: names that say where each lies, and pixels read when they are asked for."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tiler.grids import Box, PixelGrid
from tiler.labels import IGNORE
from tiler.lattice import Lattice
from tiler.scene_store import SceneStore
from tiler.sensors import Sensor

NAME = re.compile(r"(?P<scene>.+)/(?P<side>\d+)px_r(?P<row>\d+)_c(?P<col>\d+)")
OPEN_SCENES = 4


def window_name(scene: str, tile_px: int, row: int, col: int) -> str:
    """Return the name of a window: `SCENE/512px_r3_c7`, of a lattice without overlap."""
    return f"{scene}/{tile_px}px_r{row}_c{col}"


def windows_of(scene: str, lattice: Lattice) -> Iterator[str]:
    """Yield the names of a scene's windows, row by row."""
    for row in range(lattice.rows):
        for col in range(lattice.cols):
            yield window_name(scene, lattice.tile_px, row, col)


def own_boxes(names: Collection[str], grids: Mapping[str, PixelGrid]) -> dict[str, list[Box]]:
    """Return the pixels that belong to windows alone, by scene: those of all windows of a lattice cover a scene once.

    Args:
        names: of windows.
        grids: of scenes, by id; windows of other scenes are passed over.

    Raises:
        ValueError: a name that is no window's, or a window that its scene does not have.
    """
    found: dict[str, list[Box]] = {}
    for name in sorted(names):
        match = NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"{name!r} names no window; SCENE/512px_r3_c7 is needed: curate the run's scenes")
        grid = grids.get(match["scene"])
        if grid is None:
            continue
        try:
            box = Lattice(grid.height, grid.width, int(match["side"]), 0).own(int(match["row"]), int(match["col"]))
        except (IndexError, ValueError) as error:
            raise ValueError(f"{name}: the scene has no such window ({error}); curate it anew") from error
        found.setdefault(match["scene"], []).append(box)
    return found


@dataclass(frozen=True)
class WindowedScene:
    """A scene and its windows."""

    id: str
    url: str
    """Of its store."""
    lattice: Lattice
    acquired: str = ""
    """Date and time; "" unknown."""
    sensor: str = ""


class SceneWindows:
    """The windows of scenes, one row each, in order of scenes and row by row; read as a `TileStore` is."""

    class_names: tuple[str, ...] = ()

    def __init__(
        self, scenes: Sequence[WindowedScene], sensor: Sensor, offered: Sequence[str], facts: Mapping[str, np.ndarray]
    ) -> None:
        """Take scenes with what is known of their windows.

        Args:
            scenes: ingested, but for those whose windows are all `damaged`.
            sensor: of all.
            offered: channels of all.
            facts: name to an array whose first axis is the row, see `TileStore.facts`.
        """
        self.sensor, self.offered, self._scenes, self._facts = sensor, tuple(offered), tuple(scenes), dict(facts)
        self.tiles: list[dict[str, str]] = [
            {"id": name, "label": "", "split": "", "date": scene.acquired, "source": scene.sensor}
            for scene in scenes
            for name in windows_of(scene.id, scene.lattice)
        ]
        self._first = np.cumsum([0, *(scene.lattice.rows * scene.lattice.cols for scene in scenes)])
        self._opened = lru_cache(maxsize=OPEN_SCENES)(SceneStore)

    def facts(self, name: str) -> np.ndarray:
        """Return one fact of every window."""
        return self._facts[name]

    def place(self, row: int) -> tuple[WindowedScene, Box]:
        """Return the scene of a window, and its pixels, which may hang over the border of a smaller scene."""
        number = int(np.searchsorted(self._first, row, side="right")) - 1
        scene = self._scenes[number]
        return scene, scene.lattice.window(*divmod(row - int(self._first[number]), scene.lattice.cols))

    def read(self, name: str, row: int) -> np.ndarray:
        """Read `image`, `valid` or `label` of a window; what hangs over the border is missing, and not labelled."""
        scene, box = self.place(row)
        return self._opened(scene.url).read(name, box, IGNORE if name == "label" else 0)

    def network_input(self, row: int, channels: Sequence[str] | None = None) -> np.ndarray:
        """Return what networks see of a window, float32 (channel, y, x)."""
        scene, box = self.place(row)
        return self._opened(scene.url).network_input(box, channels)
