"""The surface of a patch: reflectance of the ground under the sun, and what is industry: exactly, and as labelled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from tiler.synthetic.canvas import Patch
from tiler.synthetic.country import Country
from tiler.synthetic.fabric import FABRICS, apartments, park
from tiler.synthetic.land import Lay, lay_of, paint_land, paint_roads
from tiler.synthetic.lots import Paint, Spots
from tiler.synthetic.noise import Array, bell, fractal_noise, hash_cells, key_of
from tiler.synthetic.sites import BUILT, HOUSING, KINDS, OUTSIDE, PARK, SUBTYPES, Site
from tiler.synthetic.spectra import BANDS, CODE, SHADOW_LIGHT, Sun, reflectance

BENT = ("village", "town", "greenhouses", "quarry")
"""Kinds whose streets follow the land; planned ones are straight."""
BEND = 0.16
"""Share of the warp of rivers and roads that bends them."""
CORNERS_M = ((-2.5, -2.5), (2.5, -2.5), (-2.5, 2.5), (2.5, 2.5))
"""Places inside a built pixel whose mean is seen: roofs are smaller than pixels."""
LABEL_SHIFT_M = ((130.0, 14.0),)
"""(wavelength, size) of the error of hand-drawn borders: about one pixel of 10 m."""


@dataclass(frozen=True, eq=False)
class Owner:
    """Which site stands where, (y, x)."""

    site: Array
    """int16 number in the list of sites, -1 where none stands."""
    use: Array
    """uint8 use of the block: see `sites.OUTSIDE`."""


def find_sites(country: Country, patch: Patch, sites: Sequence[Site], x_m: Array, y_m: Array, lay: Lay | None) -> Owner:
    """Return the owner of each place of a patch.

    Args:
        country: whose terrain bends the streets of towns.
        patch: tells roughly where places lie, so that most of them need not be looked at.
        sites: in the order in which they are drawn.
        x_m: float64 (y, x) world coordinates, those of the patch or close to them.
        y_m: the same shape.
        lay: terrain of the patch; None where only straight sites are asked for.
    """
    owner = np.full(x_m.shape, -1, np.int16)
    use = np.zeros(x_m.shape, np.uint8)
    for number, site in enumerate(sites):
        rows, cols = _rectangle(patch, site)
        if rows.stop <= rows.start or cols.stop <= cols.start:
            continue
        x, y = _bent(country, site, lay, x_m, y_m, (rows, cols))
        u, v = _local(site, x, y)
        i, j = np.floor(u / site.block_w_m).astype(np.int32), np.floor(v / site.block_h_m).astype(np.int32)
        n_rows, n_cols = site.plan.shape
        inside = (i >= 0) & (i < n_cols) & (j >= 0) & (j < n_rows)
        code = site.plan[np.where(inside, j, 0), np.where(inside, i, 0)] * inside
        on = code != OUTSIDE
        owner[rows, cols][on] = number
        use[rows, cols][on] = code[on]
    return Owner(owner, use)


def _rectangle(patch: Patch, site: Site) -> tuple[slice, slice]:
    """Return rows and columns of a patch that may hold a site; a pixel more than needed costs time, not truth."""
    h, w = patch.x_m.shape
    ax, ay = patch.x_m[0, 0], patch.y_m[0, 0]
    ex, ey = (patch.x_m[0, -1] - ax) / max(w - 1, 1), (patch.y_m[0, -1] - ay) / max(w - 1, 1)
    sx, sy = (patch.x_m[-1, 0] - ax) / max(h - 1, 1), (patch.y_m[-1, 0] - ay) / max(h - 1, 1)
    det = ex * sy - sx * ey
    dx, dy = site.x_m - ax, site.y_m - ay
    col, row = (dx * sy - dy * sx) / det, (dy * ex - dx * ey) / det
    reach = (site.radius_m + (260 if site.kind in BENT else 30)) / math.sqrt(abs(det)) + 2
    rows = slice(max(0, math.floor(row - reach)), min(h, math.ceil(row + reach)))
    return rows, slice(max(0, math.floor(col - reach)), min(w, math.ceil(col + reach)))


def _bent(country: Country, site: Site, lay: Lay | None, x_m: Array, y_m: Array, part: Any) -> tuple[Array, Array]:
    """Return the coordinates in which a site's streets are straight."""
    if site.kind not in BENT or lay is None:
        return x_m[part], y_m[part]
    at_x, at_y = country.terrain.warp(np.array([site.x_m]), np.array([site.y_m]))
    dx = BEND * ((lay.warped_x_m[part] - x_m[part]) - (at_x[0] - site.x_m))
    dy = BEND * ((lay.warped_y_m[part] - y_m[part]) - (at_y[0] - site.y_m))
    return x_m[part] + dx, y_m[part] + dy


def _local(site: Site, x_m: Array, y_m: Array) -> tuple[Array, Array]:
    """Return metres along the width and the depth of a site's plan, float32, from its first corner."""
    dx, dy = (x_m - site.x_m).astype(np.float32), (y_m - site.y_m).astype(np.float32)
    cos, sin = np.float32(math.cos(site.angle_rad)), np.float32(math.sin(site.angle_rad))
    n_rows, n_cols = site.plan.shape
    u = dx * cos + dy * sin + np.float32(n_cols / 2 * site.block_w_m)
    v = dy * cos - dx * sin + np.float32(n_rows / 2 * site.block_h_m)
    return u, v


def industry(country: Country, patch: Patch, sites: Sequence[Site], shift_m: float = 0.0) -> Array:
    """Return what is industrial, bool (y, x); with `shift_m`, as somebody drew it who errs by about that much."""
    mine = [s for s in sites if KINDS[s.kind].industrial]
    x, y = patch.x_m, patch.y_m
    if shift_m:
        nodes, scale = patch.nodes, np.float32(shift_m / 10)
        errors = [
            patch.spread(fractal_noise(key_of(country.seed, 60 + k), nodes.x_m, nodes.y_m, LABEL_SHIFT_M)) * scale
            for k in (0, 1)
        ]
        x, y = x + errors[0], y + errors[1]
    owner = find_sites(country, patch, mine, x, y, None)
    return np.asarray(owner.use == BUILT)


def surface(country: Country, patch: Patch, sites: Sequence[Site], day: date, sun: Sun) -> Array:
    """Return the reflectance of a patch in sunlight without air, float32 (band, y, x)."""
    lay = lay_of(country, patch)
    land = paint_land(country, patch, lay)
    out = reflectance(land.cover, land.tone, land.key, _grains(country.seed, patch.x_m, patch.y_m), day)
    light = hill_light(patch, lay, sun)
    owner = find_sites(country, patch, sites, patch.x_m, patch.y_m, lay)
    stands = owner.site >= 0
    flat = out.reshape(len(BANDS), -1)
    _build(country, patch, lay, sites, owner, (day, sun), flat)
    for places, share, cover in paint_roads(country, patch, lay):
        if cover == "concrete":  # lanes end where streets begin
            places, share = places[~stands.ravel()[places]], share[~stands.ravel()[places]]
        road = _even(cover, len(places), country.seed, day)
        flat[:, places] += (road - flat[:, places]) * share
    out *= np.where(stands, np.float32(1), light)
    return out


def _grains(seed: int, x_m: Array, y_m: Array) -> Array:
    """Return the fine grain of the ground, float32: another draw for each 8 m of the world."""
    cells = hash_cells(key_of(seed, 50), np.floor(y_m * 0.125).astype(np.int32), np.floor(x_m * 0.125).astype(np.int32))
    return bell(cells, 1)


def _even(cover: str, n: int, seed: int, day: date) -> Array:
    one = np.full(n, CODE[cover], np.uint8)
    keys = np.full(n, key_of(seed, 51), np.uint32)
    return reflectance(one, np.ones(n, np.float32), keys, np.zeros(n, np.float32), day)


def hill_light(patch: Patch, lay: Lay, sun: Sun) -> Array:
    """Return the light on slopes relative to flat ground, float32 (y, x)."""
    height, nodes = lay.ground.height_m, patch.nodes
    # Rows run south and columns east, but for the small turn between two map projections.
    east, north = np.zeros_like(height), np.zeros_like(height)
    east[:, 1:-1] = (height[:, 2:] - height[:, :-2]) / (nodes.x_m[:, 2:] - nodes.x_m[:, :-2]).astype(np.float32)
    north[1:-1] = (height[2:] - height[:-2]) / (nodes.y_m[2:] - nodes.y_m[:-2]).astype(np.float32)
    facing = -(east * np.float32(sun.to_east) + north * np.float32(sun.to_north)) / np.float32(
        math.tan(sun.elevation_rad)
    )
    return patch.spread(np.clip(1 + 0.85 * facing, 0.25, 1.5).astype(np.float32))


def _build(
    country: Country, patch: Patch, lay: Lay, sites: Sequence[Site], owner: Owner, when: tuple[date, Sun], flat: Array
) -> None:
    """Draw everything that stands, in place into `flat` (band, pixel)."""
    places = np.flatnonzero(owner.site >= 0)
    numbers, uses = owner.site.ravel()[places], owner.use.ravel()[places]
    for number in np.unique(numbers):
        site = sites[number]
        for use, fabric in ((BUILT, FABRICS[site.kind]), (PARK, park), (HOUSING, apartments)):
            mine = places[(numbers == number) & (uses == use)]
            if not len(mine):
                continue
            x, y = patch.x_m.ravel()[mine], patch.y_m.ravel()[mine]
            bent_x, bent_y = patch.x_m, patch.y_m
            if site.kind in BENT:
                rows, cols = np.unravel_index(mine, patch.x_m.shape)
                bent_x, bent_y = _bent(country, site, lay, patch.x_m, patch.y_m, (rows, cols))
            else:
                bent_x, bent_y = x, y
            seen = np.zeros((len(BANDS), len(mine)), np.float32)
            for dx, dy in CORNERS_M:
                paint = fabric(_spots(site, bent_x, bent_y, dx, dy, when[1]))
                seen += _lit(paint, _grains(country.seed, x + dx, y + dy), when[0])
            flat[:, mine] = seen * np.float32(1 / len(CORNERS_M))


def _lit(paint: Paint, grains: Array, day: date) -> Array:
    seen = reflectance(paint.cover, paint.tone, paint.key, grains, day)
    for band, left in enumerate(SHADOW_LIGHT):
        seen[band][paint.shade] *= np.float32(left)
    return seen


def _spots(site: Site, x_m: Array, y_m: Array, dx: float, dy: float, sun: Sun) -> Spots:
    """Return the places inside the blocks that hold the middles of the pixels."""
    u, v = _local(site, x_m, y_m)
    w, h = np.float32(site.block_w_m), np.float32(site.block_h_m)
    i, j = np.floor(u / w), np.floor(v / h)
    cos, sin = math.cos(site.angle_rad), math.sin(site.angle_rad)
    n = len(u)
    key = hash_cells(site.key, j.astype(np.int32), i.astype(np.int32))
    return Spots(
        a_m=u - i * w + np.float32(dx * cos + dy * sin),
        b_m=v - j * h + np.float32(dy * cos - dx * sin),
        w_m=np.full(n, w),
        h_m=np.full(n, h),
        key=key,
        subtype=np.full(n, SUBTYPES.index(site.subtype) if site.subtype else 0, np.uint8),
        sun_a=np.full(n, (sun.to_east * cos + sun.to_north * sin) * sun.shadow_per_m, np.float32),
        sun_b=np.full(n, (sun.to_north * cos - sun.to_east * sin) * sun.shadow_per_m, np.float32),
    )
