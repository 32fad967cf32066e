"""Roads: trunk roads from town to town, and lanes between villages; a link is built where the slope allows it."""

from __future__ import annotations

import numpy as np

from tiler.synthetic.lines import Lines, Network
from tiler.synthetic.noise import Array, hash_cells, key_of, unit
from tiler.synthetic.terrain import Terrain

TRUNK_SPACING_M, TRUNK_REACH_M = 8_000.0, 4_000.0
LANE_SPACING_M, LANE_REACH_M = 1_900.0, 250.0
LINKS = ((0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.35), (1, -1, 0.35))
"""(rows, columns, share of the links that are tried) from a node to the nodes it may be linked to."""
CANDIDATES = 6
"""Places tried for each node; the flattest becomes the town."""


class Roads:
    """The roads of one terrain."""

    def __init__(self, terrain: Terrain, max_cost: float = 0.22) -> None:
        """`max_cost`: mean hilliness along a link above which it is not built."""
        self.terrain, self.max_cost = terrain, max_cost
        self.trunks = Network(TRUNK_SPACING_M, TRUNK_REACH_M, self._trunks)
        self.lanes = Network(LANE_SPACING_M, LANE_REACH_M, self._lanes)

    def nodes(self, key: int, rows: Array, cols: Array, spacing_m: float) -> tuple[Array, Array, Array]:
        """Return the place of the node of each cell, float64 metres, and its cost (above 9: in the water)."""
        hashes = hash_cells(key, rows, cols)
        streams = range(2 * CANDIDATES)
        shift = np.stack([unit(hashes, k) for k in streams]).reshape(2, CANDIDATES, *rows.shape) - 0.5
        x = (cols + 0.5 + 0.8 * shift[0]) * spacing_m
        y = (rows + 0.5 + 0.8 * shift[1]) * spacing_m
        cost = self.cost(x, y)
        best = cost.argmin(axis=0)[None]
        return tuple(np.take_along_axis(v, best, 0)[0] for v in (x, y, cost))

    def cost(self, x: Array, y: Array) -> Array:
        """Return what a road costs at places: its hilliness, and very much in the sea."""
        ground = self.terrain.plan(x, y)
        return ground.hill + np.where(ground.height_m < 0.6, np.float32(10), np.float32(0))

    def trunk_nodes(self, rows: Array, cols: Array) -> tuple[Array, Array, Array]:
        """Return the towns' places and costs (see `nodes`)."""
        return self.nodes(key_of(self.terrain.seed, 20), rows, cols, TRUNK_SPACING_M)

    def _trunks(self, rows: Array, cols: Array) -> Lines:
        return self._linked(key_of(self.terrain.seed, 20), rows, cols, TRUNK_SPACING_M, (7.0, 14.0), 1.0)

    def _lanes(self, rows: Array, cols: Array) -> Lines:
        return self._linked(key_of(self.terrain.seed, 21), rows, cols, LANE_SPACING_M, (3.0, 5.5), 0.8)

    def _linked(
        self, key: int, rows: Array, cols: Array, spacing_m: float, half_width_m: tuple[float, float], share: float
    ) -> Lines:
        """Return the links that start in the cells of one tile."""
        span_r, span_c = np.arange(rows.min(), rows.max() + 2), np.arange(cols.min() - 1, cols.max() + 2)
        all_rows, all_cols = np.meshgrid(span_r, span_c, indexing="ij")
        x, y, cost = self.nodes(key, all_rows, all_cols, spacing_m)
        parts = []
        for number, (dr, dc, tried) in enumerate(LINKS):
            start = (rows - span_r[0], cols - span_c[0])
            end = (start[0] + dr, start[1] + dc)
            draw = hash_cells(key_of(key, number), rows, cols)
            built = (unit(draw) < tried * share) & (cost[start] < 9) & (cost[end] < 9)
            built &= self._passable(x[start], y[start], x[end], y[end])
            ax, ay = self.terrain.warp(x[start][built], y[start][built])
            bx, by = self.terrain.warp(x[end][built], y[end][built])
            low, high = half_width_m
            parts.append(Lines(ax, ay, bx, by, (low + (high - low) * unit(draw, 3)[built]).astype(np.float32)))
        return Lines.joined(parts)

    def _passable(self, ax: Array, ay: Array, bx: Array, by: Array) -> Array:
        along = np.array([0.2, 0.4, 0.6, 0.8])[:, None]
        cost = self.cost(ax + along * (bx - ax), ay + along * (by - ay))
        # One of the four may lie in the water: that is a bridge.
        wet = (cost > 9).sum(axis=0) <= 1
        hill = np.where(cost > 9, cost - np.float32(10), cost)
        return wet & ((hill[0] + hill[1] + hill[2] + hill[3]) / 4 < self.max_cost)
