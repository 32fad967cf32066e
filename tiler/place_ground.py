"""Windows of scenes as items; the group is the place on the ground, whatever the grid of the scene that saw it.

Places are the centres of the windows of a lattice without overlap, laid over one scene after another (by id) where no
place lies yet. A scene sees a place if the place's centre is inside it: the item is then the window of native pixels
around the pixel nearest to that centre.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from tiler.grids import Box, PixelGrid, transformer
from tiler.ground import Cache, Pair
from tiler.lattice import Lattice
from tiler.scene_store import SceneStore
from tiler.scene_windows import own_boxes

CACHE_BYTES = 1024 * 2**20
LONGITUDE_LATITUDE = "EPSG:4326"


@dataclass(frozen=True)
class Sighting:
    """A place as one scene saw it."""

    scene: int
    place: int
    box: Box
    """In pixels of the scene; may hang over its border."""


class PlaceGround:
    """Windows around places in all scenes that saw them."""

    def __init__(
        self,
        scenes: Sequence[SceneStore],
        tile_px: int = 512,
        channels: Sequence[str] = (),
        missing_limit: float = 1.0,
        cache_bytes: int = CACHE_BYTES,
        left_out: Collection[str] = (),
    ) -> None:
        """Find the places, and who saw them.

        Args:
            scenes: of one sensor, with times.
            tile_px: side of a window.
            channels: in the order wanted; none: the bands of the sensor.
            missing_limit: largest missing ratio of a window that is taken, judged on the scene's quicklook.
            cache_bytes: memory for windows that were read lately.
            left_out: names of windows (`tiler.scene_windows`): what has its middle in one of these is not taken.

        Raises:
            ValueError: scenes without a time or of unlike sensors, an unknown channel, or no window that is left.
        """
        self._scenes = sorted(scenes, key=lambda scene: scene.id)
        untimed = [scene.id for scene in self._scenes if scene.acquired is None]
        sensors = {scene.sensor.name for scene in self._scenes}
        if untimed or len(sensors) > 1:
            raise ValueError(
                f"places over time need scenes of one sensor with a time each; found sensors {sorted(sensors)} and no "
                f"time for {untimed[:5]}: set `acquired` of the scenes, and train each sensor by itself"
            )
        self._sensor = self._scenes[0].sensor
        self.channels = tuple(channels) or self._sensor.bands
        offered = set.intersection(*(set(scene.offered) for scene in self._scenes))
        absent = [name for name in self.channels if name not in offered]
        if absent:
            raise ValueError(f"data.channels: {absent} are not offered by the scenes, which have {sorted(offered)}")
        self.places, found = sightings([scene.grid for scene in self._scenes], tile_px)
        shares = [_Seen(scene) for scene in self._scenes]
        removed = own_boxes(left_out, {scene.id: scene.grid for scene in self._scenes})
        self._sightings = [
            s
            for s in found
            if 1 - shares[s.scene].share(s.box) <= missing_limit
            and not any(_in_middle(s.box, box) for box in removed.get(self._scenes[s.scene].id, ()))
        ]
        if not self._sightings:
            raise ValueError(
                f"no window of {tile_px} px of {[s.id for s in self._scenes][:5]} lacks at most {missing_limit:.0%}"
                f"{' and is kept by curation' if left_out else ''}"
            )
        self.groups = np.array([s.place for s in self._sightings], np.int64)
        clock = [np.datetime64(scene.acquired.replace(tzinfo=None), "s") for scene in self._scenes if scene.acquired]
        self.times = np.array([clock[s.scene] for s in self._sightings], "datetime64[s]")
        self._cache: Cache[Pair] = Cache(cache_bytes)

    @property
    def sensor(self) -> str:
        """Name of the sensor."""
        return self._sensor.name

    @property
    def valid_range(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Offset and scale: the sensor's valid range for its bands, nothing for masks and coarse channels."""
        low, high = self._sensor.valid_min, self._sensor.valid_max
        own = [name in self._sensor.bands for name in self.channels]
        return tuple(float(low) if o else 0.0 for o in own), tuple(float(high - low) if o else 1.0 for o in own)

    def sighting(self, item: int) -> Sighting:
        """Return where an item lies."""
        return self._sightings[item]

    def read(self, item: int) -> Pair:
        """Read a window."""
        seen = self._sightings[item]

        def fresh() -> Pair:
            scene = self._scenes[seen.scene]
            image = scene.network_input(seen.box, self.channels)
            valid = np.isfinite(image)
            inside = scene.read("valid", seen.box, False)
            for place, name in enumerate(self.channels):
                if name in self._sensor.bands:
                    valid[place] &= inside
            return image, valid

        return self._cache.get(item, fresh, lambda pair: sum(array.nbytes for array in pair))


def _in_middle(window: Box, other: Box) -> bool:
    """Return whether the middle of a window lies in another rectangle."""
    y, x = (window.y0 + window.y1) // 2, (window.x0 + window.x1) // 2
    return other.y0 <= y < other.y1 and other.x0 <= x < other.x1


def sightings(grids: Sequence[PixelGrid], tile_px: int) -> tuple[np.ndarray, list[Sighting]]:
    """Return the places of scenes, longitude and latitude float64 (n, 2), and every sighting of one."""
    places: list[tuple[float, float]] = []
    for grid in grids:
        lattice = Lattice(grid.height, grid.width, tile_px, 0)
        boxes = [lattice.window(row, col) for row in range(lattice.rows) for col in range(lattice.cols)]
        centres = np.array([((box.y0 + box.y1) / 2, (box.x0 + box.x1) / 2) for box in boxes])
        known = _pixels(grid, np.array(places).reshape(-1, 2))
        for centre, position in zip(centres, _positions(grid, centres), strict=True):
            if not len(known) or np.abs(known - centre).max(1).min() >= tile_px / 2:
                places.append((float(position[0]), float(position[1])))
    table = np.array(places)
    found = []
    for number, grid in enumerate(grids):
        for place, (row, col) in enumerate(_pixels(grid, table)):
            if 0 <= row < grid.height and 0 <= col < grid.width:
                y0, x0 = round(row - tile_px / 2), round(col - tile_px / 2)
                found.append(Sighting(number, place, Box(y0, x0, y0 + tile_px, x0 + tile_px)))
    return table, found


def _positions(grid: PixelGrid, rowcol: np.ndarray) -> np.ndarray:
    x, y = grid.xy(rowcol[:, 0], rowcol[:, 1])
    away = transformer(grid.crs, LONGITUDE_LATITUDE)
    return np.stack((x, y) if away is None else away.transform(x, y), 1)


def _pixels(grid: PixelGrid, places: np.ndarray) -> np.ndarray:
    x, y = places[:, 0], places[:, 1]
    here = transformer(LONGITUDE_LATITUDE, grid.crs)
    return np.stack(grid.rowcol(*((x, y) if here is None else here.transform(x, y))), 1)


class _Seen:
    """How much of a window a scene saw, from its quicklook."""

    def __init__(self, scene: SceneStore) -> None:
        _, valid, grid = scene.quicklook()
        self._valid = valid
        self._step = scene.grid.height / grid.height, scene.grid.width / grid.width

    def share(self, box: Box) -> float:
        """Return the valid share of a window; what hangs over the border was not seen."""
        rows = [int(np.floor(y / self._step[0])) for y in (box.y0, box.y1 - 1)]
        cols = [int(np.floor(x / self._step[1])) for x in (box.x0, box.x1 - 1)]
        part = self._valid[max(0, rows[0]) : rows[1] + 1, max(0, cols[0]) : cols[1] + 1]
        return float(part.sum()) / ((rows[1] - rows[0] + 1) * (cols[1] - cols[0] + 1))
