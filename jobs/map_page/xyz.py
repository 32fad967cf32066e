"""Tiles of the web: EPSG:3857, 256 px, numbered (zoom, x, y) from the upper left."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tiler.grids import Box, PixelGrid, transformer

TILE_PX = 256
HALF_M = 20037508.342789244
"""From the middle of the projection to its border, metres."""
HIGHEST_ZOOM = 22
MOST_LATITUDE = 85.05112878
WGS84 = "EPSG:4326"


@lru_cache(maxsize=HIGHEST_ZOOM + 1)
def world_grid(zoom: int) -> PixelGrid:
    """Return the pixels of the whole world at a zoom."""
    side_px = TILE_PX << zoom
    step_m = 2 * HALF_M / side_px
    return PixelGrid("EPSG:3857", (step_m, 0.0, -HALF_M, 0.0, -step_m, HALF_M), side_px, side_px)


def tile_box(zoom: int, x: int, y: int) -> Box:
    """Return the pixels of a tile in `world_grid(zoom)`."""
    return Box(y * TILE_PX, x * TILE_PX, (y + 1) * TILE_PX, (x + 1) * TILE_PX)


@dataclass(frozen=True)
class Bounds:
    """A rectangle in degrees. `east` is above 180 where it reaches across the antimeridian: `west` never is."""

    west: float
    south: float
    east: float
    north: float

    def joined(self, other: Bounds) -> Bounds:
        """Return the rectangle around both, the shorter way round the earth."""
        shifted = min((other.moved(turn) for turn in (-360, 0, 360)), key=lambda one: self._around(one))
        west, east = min(self.west, shifted.west), max(self.east, shifted.east)
        turn = 360 if west < -180 else 0
        return Bounds(west + turn, min(self.south, other.south), east + turn, max(self.north, other.north))

    def moved(self, degrees: float) -> Bounds:
        """Return it so far to the east."""
        return Bounds(self.west + degrees, self.south, self.east + degrees, self.north)

    def _around(self, other: Bounds) -> float:
        return max(self.east, other.east) - min(self.west, other.west)

    def tiles(self, zoom: int) -> Iterator[tuple[int, int]]:
        """Yield the tiles `(x, y)` that it touches, column by column; x is wrapped into the world."""
        side = 1 << zoom
        first, last = (math.floor((lon + 180) / 360 * side) for lon in (self.west, self.east))
        top, bottom = (_row(lat, side) for lat in (self.north, self.south))
        for x in range(first, min(last, first + side - 1) + 1):
            for y in range(top, bottom + 1):
                yield x % side, y

    def tile_count(self, zoom: int) -> int:
        """Return how many `tiles` there are."""
        side = 1 << zoom
        first, last = (math.floor((lon + 180) / 360 * side) for lon in (self.west, self.east))
        return min(last - first + 1, side) * (_row(self.south, side) - _row(self.north, side) + 1)

    def holds(self, zoom: int, x: int, y: int) -> bool:
        """Whether a tile touches it."""
        side = 1 << zoom
        first, last = (math.floor((lon + 180) / 360 * side) for lon in (self.west, self.east))
        return (x - first) % side <= last - first and _row(self.north, side) <= y <= _row(self.south, side)

    def to_json(self) -> list[float]:
        """Return west, south, east, north."""
        return [self.west, self.south, self.east, self.north]


def _row(latitude: float, side: int) -> int:
    sine = math.sin(math.radians(max(-MOST_LATITUDE, min(MOST_LATITUDE, latitude))))
    return min(side - 1, max(0, math.floor((0.5 - math.log((1 + sine) / (1 - sine)) / (4 * math.pi)) * side)))


def bounds_of(grid: PixelGrid, box: Box | None = None) -> Bounds:
    """Return the degrees around the border of a raster, or of a part of it; also across the antimeridian."""
    lon, lat = np.array(outline_of(grid, box or grid.box, 33)).T
    west, east = float(lon.min()), float(lon.max())
    turn = 360 * math.floor((west + 180) / 360)
    return Bounds(west - turn, float(lat.min()), east - turn, float(lat.max()))


def outline_of(grid: PixelGrid, box: Box, steps: int = 5) -> list[list[float]]:
    """Return a closed ring `[longitude, latitude]` around pixels of a grid; above 180 across the antimeridian.

    Args:
        grid: the pixels.
        box: which of them.
        steps: points along each side.
    """
    share = np.linspace(0, 1, steps)[:-1]
    down, along = (
        np.concatenate([0 * share, share, 1 + 0 * share, 1 - share]),
        np.concatenate([share, 1 + 0 * share, 1 - share, 0 * share]),
    )
    x, y = grid.xy(box.y0 + down * box.height, box.x0 + along * box.width)
    change = transformer(grid.crs, WGS84)
    lon, lat = (x, y) if change is None else change.transform(x, y)
    lon, lat = lon[np.isfinite(lon) & np.isfinite(lat)], lat[np.isfinite(lon) & np.isfinite(lat)]
    if np.ptp(lon) > 180:  # on both sides of the antimeridian
        lon = np.where(lon < 0, lon + 360, lon)
    ring = np.stack([lon, lat], axis=1).round(7).tolist()
    return [*ring, ring[0]]


def native_zoom(grid: PixelGrid, bounds: Bounds) -> int:
    """Return the first zoom whose pixels are as fine as those of a raster, up to a tenth, in its middle."""
    latitude = math.radians((bounds.south + bounds.north) / 2)
    unit_m = math.radians(1) * 6_378_137 if grid.pyproj_crs.is_geographic else _metres(grid)
    wanted_m = max(grid.resolution) * unit_m
    equator_m = 2 * HALF_M / TILE_PX
    return min(HIGHEST_ZOOM, max(0, math.ceil(math.log2(equator_m * math.cos(latitude) / wanted_m) - 0.14)))


def _metres(grid: PixelGrid) -> float:
    return float(grid.pyproj_crs.axis_info[0].unit_conversion_factor)
