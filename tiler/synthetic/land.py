"""The open land: sea, rivers, woods and fields, and the roads through all of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiler.synthetic.canvas import Patch
from tiler.synthetic.country import Country
from tiler.synthetic.lines import Lines
from tiler.synthetic.lots import Paint, choose
from tiler.synthetic.noise import Array, fractal_noise, hash_cells, key_of, rehash, unit
from tiler.synthetic.roads import LANE_REACH_M, TRUNK_REACH_M
from tiler.synthetic.spectra import CODE
from tiler.synthetic.terrain import Ground, bounds_of

FIELD_BLOCK_M = 430.0
"""Mean distance of the blocks of land whose parcels lie in one direction."""
ANGLES = 64
"""Directions that blocks of parcels may take."""

PLAINS = {
    "paddy": 0.50, "vegetables": 0.15, "mulch": 0.08, "barley": 0.14, "orchard": 0.04, "grass": 0.04, "soil": 0.05
}  # fmt: skip
SLOPES = {
    "vegetables": 0.26,
    "mulch": 0.08,
    "orchard": 0.22,
    "grass": 0.18,
    "paddy": 0.14,
    "barley": 0.06,
    "broadleaf": 0.06,
}


@dataclass(frozen=True, eq=False)
class Lay:
    """What of the terrain every pixel of a patch needs; (y, x) each."""

    ground: Ground
    """At the nodes."""
    warped_x_m: Array
    warped_y_m: Array
    height_m: Array
    hill: Array


def lay_of(country: Country, patch: Patch) -> Lay:
    """Return the terrain of a patch."""
    ground = country.terrain.at(patch.nodes.x_m, patch.nodes.y_m)
    fields = (ground.warped_x_m, ground.warped_y_m, ground.height_m, ground.hill)
    return Lay(ground, *(patch.spread(f) for f in fields))


def paint_land(country: Country, patch: Patch, lay: Lay) -> Paint:
    """Return what covers the open land, (y, x)."""
    seed, nodes = country.seed, patch.nodes
    block, edge_m, u, v = _blocks(key_of(seed, 40), lay.warped_x_m, lay.warped_y_m)
    cover, key = _parcels(block, edge_m, u, v, lay.hill)
    wood = patch.spread(
        fractal_noise(key_of(seed, 41), nodes.x_m, nodes.y_m, ((1_300.0, 0.6), (420.0, 0.5), (150.0, 0.4)))
    )
    forest = (lay.hill + np.float32(0.05) * wood > 0.115) | (wood > 0.95)
    kind = patch.spread(fractal_noise(key_of(seed, 42), nodes.x_m, nodes.y_m, ((900.0, 0.7), (260.0, 0.5))))
    cover[forest] = np.where(kind > 0.05, CODE["conifer"], CODE["broadleaf"])[forest]
    tone = np.ones(cover.shape, np.float32)
    tone[forest] = (1 + np.float32(0.14) * wood)[forest]
    # Woods have no parcels: all trees share a key, noise does the rest.
    key = np.where(forest, np.uint32(key_of(seed, 44)), key)
    _water(seed, lay, patch, wood, cover, key)
    return Paint(cover, tone, key, np.zeros(cover.shape, bool))


def _blocks(key: int, x_m: Array, y_m: Array) -> tuple[Array, Array, Array, Array]:
    """Return for each place its block's key, the distance to the next block, and the place along the block's parcels.

    Blocks are the cells of a Voronoi diagram of one point in each square of `FIELD_BLOCK_M`.
    """
    x, y = x_m * (1 / FIELD_BLOCK_M), y_m * (1 / FIELD_BLOCK_M)
    col, row = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
    fx, fy = (x - col).astype(np.float32), (y - row).astype(np.float32)
    c0, r0 = int(col.min()) - 1, int(row.min()) - 1
    rows, cols = np.meshgrid(np.arange(r0, int(row.max()) + 2), np.arange(c0, int(col.max()) + 2), indexing="ij")
    keys = hash_cells(key, rows, cols)
    px, py = (unit(keys, 1) * np.float32(0.9)).ravel(), (unit(keys, 2) * np.float32(0.9)).ravel()
    place = (row - r0) * np.int32(rows.shape[1]) + (col - c0)
    best = np.full(x.shape, 9, np.float32)
    second, which = best.copy(), np.zeros(x.shape, np.int32)
    for dr in (-1, 0, 1):
        for dc in (-1, 0, 1):
            near = place + np.int32(dr * rows.shape[1] + dc)
            dx, dy = px.take(near), py.take(near)
            dx -= fx
            dy -= fy
            dx += np.float32(dc)
            dy += np.float32(dr)
            dx *= dx
            dy *= dy
            dx += dy
            np.copyto(which, near, where=dx < best)
            np.minimum(second, np.maximum(best, dx, out=dy), out=second)
            np.minimum(best, dx, out=best)
    best_row = which // np.int32(rows.shape[1])
    best_col = which - best_row * np.int32(rows.shape[1])
    best_dx = px.take(which) - fx + (best_col - (col - c0)).astype(np.float32)
    best_dy = py.take(which) - fy + (best_row - (row - r0)).astype(np.float32)
    flat = keys.ravel()
    angle = (unit(flat, 3) * ANGLES).astype(np.int64).astype(np.float32) * np.float32(np.pi / ANGLES)
    cos, sin = np.cos(angle)[which], np.sin(angle)[which]
    side = np.float32(-FIELD_BLOCK_M)
    u, v = (best_dx * cos + best_dy * sin) * side, (best_dy * cos - best_dx * sin) * side
    edge = (np.sqrt(second) - np.sqrt(best)) * np.float32(FIELD_BLOCK_M)
    return flat[which], edge, u, v


def _parcels(block: Array, edge_m: Array, u: Array, v: Array, hill: Array) -> tuple[Array, Array]:
    """Return cover and key of the parcel of each place of the open land."""
    size = unit(block, 4)
    depth, width = 55 + 60 * size, 22 + 50 * unit(block, 5)
    row = np.floor(v / depth)
    strip = hash_cells(block, row.astype(np.int32), np.zeros(1, np.int32))
    col = np.floor(u / width + unit(strip))
    key = hash_cells(strip, np.zeros(1, np.int32), col.astype(np.int32))
    draw, main = unit(key, 6), unit(block, 7)
    # Most parcels of a block carry the block's own crop, the others what they like.
    draw = np.where(draw < 0.62, main, unit(key, 8))
    slope = hill + np.float32(0.05) * unit(block, 9) > 0.055
    cover = np.where(slope, choose(SLOPES, draw), choose(PLAINS, draw))
    track = edge_m < 7
    cover[track] = np.where(main < 0.5, CODE["concrete"], CODE["grass"])[track]
    # Ditches and bunds between strips of parcels.
    bund = (v - row * depth < 5) & (unit(strip, 1) < 0.5)
    cover[bund] = CODE["grass"]
    return cover, np.where(track | bund, rehash(block, 10), key)


def _water(seed: int, lay: Lay, patch: Patch, wood: Array, cover: Array, key: Array) -> None:
    """Draw rivers with their banks, streams, tidal flats and the sea, in place."""
    ground = lay.ground
    for lines, which, distance_m, name in (
        (ground.streams, ground.stream, ground.stream_m, "river"),
        (ground.rivers, ground.river, ground.river_m, "river"),
    ):
        for places, gap_m, half_m in _along(patch, lay, lines, which, distance_m):
            bank = gap_m < half_m * (1.5 + 0.5 * wood.ravel()[places]) + 6
            cover.ravel()[places[bank]] = CODE["grass"]
            sand = bank & (gap_m < half_m * (1.15 + 0.4 * wood.ravel()[places]))
            cover.ravel()[places[sand]] = CODE["soil"]
            wet = gap_m < half_m
            cover.ravel()[places[wet]] = CODE[name]
            key.ravel()[places[bank]] = key_of(seed, 45)
    # The shore wanders about the contour, or it would follow the straight edges of valleys.
    level = lay.height_m + np.float32(1.6) * wood
    shore = level < np.float32(0.2)
    cover[shore] = CODE["soil"]
    flat = level < np.float32(-0.3)
    cover[flat] = CODE["mudflat"]
    sea = level < np.float32(-1.0)
    cover[sea] = CODE["sea"]
    key[shore] = key_of(seed, 46)


def _along(patch: Patch, lay: Lay, lines: Lines, which: Array, distance_m: Array) -> list[tuple[Array, Array, Array]]:
    """Return the pixels near some lines (flat numbers), their distance in metres and the lines' half width."""
    if not len(lines):
        return []
    widest = float(lines.half_width_m.max())
    near = patch.repeat((which >= 0) & (distance_m < 2 * widest + 75))
    places = np.flatnonzero(near)
    numbers = patch.repeat(which).ravel()[places]
    places, numbers = places[numbers >= 0], numbers[numbers >= 0]
    gap = lines.distance_to(numbers, lay.warped_x_m.ravel()[places], lay.warped_y_m.ravel()[places])
    return [(places, gap, lines.half_width_m[numbers])]


def paint_roads(country: Country, patch: Patch, lay: Lay) -> list[tuple[Array, Array, str]]:
    """Return for each kind of road the pixels it touches (flat numbers), the share of each it covers, its cover."""
    ground, found = lay.ground, []
    bounds = bounds_of(ground.warped_x_m, ground.warped_y_m)
    for network, reach_m, cover in (
        (country.roads.lanes, LANE_REACH_M, "concrete"),
        (country.roads.trunks, TRUNK_REACH_M, "asphalt"),
    ):
        lines = network.within(bounds)
        which, distance_m = lines.nearest(ground.warped_x_m, ground.warped_y_m, min(reach_m, 150.0))
        for places, gap_m, half_m in _along(patch, lay, lines, which, distance_m):
            # A road narrower than a pixel covers a part of it; a pixel's middle may lie 5 m beside the road's border.
            share = np.clip((half_m + 5 - gap_m) * np.float32(0.1), 0, 1) * np.minimum(half_m * np.float32(0.2), 1)
            on = (share > 0) & (lay.height_m.ravel()[places] > -1.0)
            found.append((places[on], share[on], cover))
    return found
