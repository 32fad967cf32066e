"""The lie of the land: height, ruggedness, sea, rivers and streams at any place of the plane.

Broad shapes (fBm of hundreds of kilometres) say where land is. On them a lattice of nodes is drained, each node to its
lowest neighbour, which gives rivers that run downhill and join; hills rise with the distance from the rivers, so that
valleys are flat. Streams repeat this at a smaller scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tiler.synthetic.lines import NEIGHBOURS, TILE_CELLS, Bounds, Lines, Network, drain, scattered
from tiler.synthetic.noise import Array, fractal_noise, key_of, smooth_step

MACRO = ((230_000.0, 1.0), (110_000.0, 0.6), (52_000.0, 0.40), (24_000.0, 0.24), (11_000.0, 0.12), (5_000.0, 0.06))
HILLS = ((8_500.0, 0.55), (4_200.0, 0.42), (2_100.0, 0.30), (1_000.0, 0.22), (480.0, 0.13), (230.0, 0.06))
WINDING = ((6_500.0, 620.0), (2_300.0, 230.0), (900.0, 60.0))
"""(wavelength, shift) in metres of the warp that bends rivers, roads and field patterns."""
RELIEF_M = 950.0
"""Height of the hills where they are boldest."""
RIVER_SPACING_M, RIVER_REACH_M = 9_000.0, 3_200.0
STREAM_SPACING_M, STREAM_REACH_M = 2_300.0, 700.0
DRAIN_DEPTH = 5


@dataclass(frozen=True)
class Ground:
    """The land at a set of places; all arrays share their shape."""

    warped_x_m: Array
    """float64: where rivers and roads are looked up."""
    warped_y_m: Array
    height_m: Array
    """float32 above the sea; negative is sea."""
    hill: Array
    """float32, 0 in plains to about 1 on bold hills."""
    river: Array
    """int16 number of the nearest river piece, -1 where none is near."""
    river_m: Array
    """float32 distance to it."""
    stream: Array
    stream_m: Array
    rivers: Lines
    """What `river` numbers."""
    streams: Lines
    """What `stream` numbers."""


@dataclass(frozen=True)
class Plan:
    """The land at a set of places, roughly; float32 arrays of one shape."""

    height_m: Array
    hill: Array
    bank_m: Array
    """Distance to the bank of the nearest river, negative in it."""


def _height(macro: Array, hill: Array) -> Array:
    """Return metres above the sea. Hills sink towards the coast, so that islands rise only out of shallow water."""
    return np.asarray(macro * np.float32(140) + hill * np.float32(RELIEF_M) * smooth_step(-0.12, 0.10, macro))


def bounds_of(x_m: Array, y_m: Array) -> Bounds:
    """Return the rectangle around places."""
    return float(x_m.min()), float(y_m.min()), float(x_m.max()), float(y_m.max())


class Terrain:
    """The land of one seed."""

    def __init__(self, seed: int, sea_level: float, ruggedness: float) -> None:
        """`sea_level`: macro height (about -1 to 1) of the coast; `ruggedness`: factor of the hills, 1 is Korea."""
        self.seed, self.sea_level, self.ruggedness = seed, sea_level, ruggedness
        self.rivers = Network(RIVER_SPACING_M, RIVER_REACH_M, self._rivers)
        self.streams = Network(STREAM_SPACING_M, STREAM_REACH_M, self._streams)

    def warp(self, x_m: Array, y_m: Array) -> tuple[Array, Array]:
        """Return the warped coordinates, float64."""
        east = fractal_noise(key_of(self.seed, 1), x_m, y_m, WINDING)
        north = fractal_noise(key_of(self.seed, 2), x_m, y_m, WINDING)
        return x_m + east, y_m + north

    def macro(self, x_m: Array, y_m: Array) -> Array:
        """Return the broad height, float32, 0 at the coast."""
        return fractal_noise(key_of(self.seed, 3), x_m, y_m, MACRO) - np.float32(self.sea_level)

    def at(self, x_m: Array, y_m: Array) -> Ground:
        """Return the land at places.

        Args:
            x_m: float64 world coordinates, any shape.
            y_m: the same shape.
        """
        warped_x, warped_y = self.warp(x_m, y_m)
        bounds = bounds_of(warped_x, warped_y)
        rivers, streams = self.rivers.within(bounds), self.streams.within(bounds)
        river, river_m = rivers.nearest(warped_x, warped_y, RIVER_REACH_M)
        stream, stream_m = streams.nearest(warped_x, warped_y, STREAM_REACH_M)
        macro = self.macro(x_m, y_m)
        hill = self._hill(x_m, y_m, macro) * smooth_step(150, RIVER_REACH_M, river_m)
        hill *= np.float32(0.35) + np.float32(0.65) * smooth_step(20, STREAM_REACH_M, stream_m)
        return Ground(warped_x, warped_y, _height(macro, hill), hill, river, river_m, stream, stream_m, rivers, streams)

    def plan(self, x_m: Array, y_m: Array) -> Plan:
        """Return the land as planners see it, before any stream has cut into it: much cheaper than `at`."""
        warped_x, warped_y = self.warp(x_m, y_m)
        rivers = self.rivers.within(bounds_of(warped_x, warped_y))
        river, river_m = rivers.nearest(warped_x, warped_y, RIVER_REACH_M)
        macro = self.macro(x_m, y_m)
        hill = self._hill(x_m, y_m, macro) * smooth_step(150, RIVER_REACH_M, river_m) * np.float32(0.9)
        half = rivers.half_width_m[river] if len(rivers) else np.zeros_like(river_m)
        bank_m = np.where(river < 0, np.float32(RIVER_REACH_M), river_m - half)
        return Plan(_height(macro, hill), hill, bank_m)

    def _hill(self, x_m: Array, y_m: Array, macro: Array) -> Array:
        shape = fractal_noise(key_of(self.seed, 4), x_m, y_m, HILLS)
        region = fractal_noise(key_of(self.seed, 5), x_m, y_m, ((70_000.0, 0.8), (28_000.0, 0.45)))
        bold = smooth_step(-0.75, 0.85, region + np.float32(0.45) * macro)
        rise = np.maximum(shape + np.float32(0.55) * bold, 0) * (np.float32(0.35) + bold)
        return rise * np.float32(self.ruggedness * 0.85)

    def _rivers(self, rows: Array, cols: Array) -> Lines:
        def height(x: Array, y: Array) -> Array:
            return self.macro(x, y) + np.float32(0.25) * self._hill(x, y, self.macro(x, y))

        return self._drained(rows, cols, RIVER_SPACING_M, key_of(self.seed, 6), height, 9.0, 30.0)

    def _streams(self, rows: Array, cols: Array) -> Lines:
        def height(x: Array, y: Array) -> Array:
            rivers = self.rivers.within(bounds_of(x, y))
            _, river_m = rivers.nearest(x, y, RIVER_REACH_M)
            hill = self._hill(x, y, self.macro(x, y)) * smooth_step(150, RIVER_REACH_M, river_m)
            return self.macro(x, y) + 2 * hill + river_m * np.float32(2e-4)

        return self._drained(rows, cols, STREAM_SPACING_M, key_of(self.seed, 7), height, 2.5, 4.0)

    def _drained(
        self,
        rows: Array,
        cols: Array,
        spacing_m: float,
        key: int,
        height_of: Callable[[Array, Array], Array],
        base_m: float,
        gain_m: float,
    ) -> Lines:
        """Return the pieces of a drainage network that start in the cells of one tile."""
        margin = DRAIN_DEPTH + 2
        span = np.arange(-margin, TILE_CELLS + margin)
        all_rows, all_cols = np.meshgrid(rows.min() + span, cols.min() + span, indexing="ij")
        x, y = scattered(key, all_rows, all_cols, spacing_m)
        heights = height_of(x, y)
        down, count = drain(heights, DRAIN_DEPTH)
        inside = (slice(margin, margin + TILE_CELLS),) * 2
        # A source needs some land above it: the first nodes of a branch carry no visible water.
        flows = (down >= 0) & (heights > -0.15) & (count > 1)
        r, c = np.nonzero(flows[inside])
        r, c = r + margin, c + margin
        step = np.array(NEIGHBOURS)[down[r, c]]
        to = r + step[:, 0], c + step[:, 1]
        width = base_m + gain_m * (np.sqrt(count[r, c]) - 1)
        return Lines(x[r, c], y[r, c], x[to], y[to], width.astype(np.float32))
