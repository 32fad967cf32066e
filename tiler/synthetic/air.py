"""Air from above: what the day's wind makes of the emissions of active estates, on a coarse raster.

Only *active* sites give off anything, so that a coarse band can tell a factory from a greenhouse that looks like one.
Towns emit a little (traffic, heating), and a smooth background hides the weak sources.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date

import numpy as np

from tiler.grids import PixelGrid
from tiler.synthetic.canvas import transformer
from tiler.synthetic.country import WORLD_CRS, Country
from tiler.synthetic.noise import Array, Dice, bell, fractal_noise, hash_cells, key_of
from tiler.synthetic.sites import KINDS, SUBTYPES, Site
from tiler.synthetic.terrain import bounds_of

REACH_M = 28_000.0
"""Beyond this distance from its source a plume is exactly nothing."""
EMITTING = frozenset(name for name, kind in KINDS.items() if kind.emission)
"""Kinds of site that give off anything."""


@dataclass(frozen=True)
class Species:
    """One band of a coarse sensor."""

    name: str
    background: float
    """Mean level where nothing is emitted."""
    wander: float
    """Standard deviation of the smooth background."""
    noise: float
    """Standard deviation of the retrieval."""
    yields: tuple[float, float, float, float]
    """What a square kilometre of general, light, heavy and petrochemical industry adds near its source."""
    traffic: float = 1.0
    """How much of what towns give off is this."""


# Levels in the units of the products where they have one (10^16 molecules/cm2, ug/m3, ppb); plausible, not fitted.
GEMS = (
    Species("NO2", 1.1, 0.30, 0.10, (0.55, 0.30, 0.90, 0.75), 1.0),
    Species("SO2", 0.25, 0.10, 0.08, (0.18, 0.05, 0.60, 0.45), 0.1),
    Species("HCHO", 0.9, 0.20, 0.12, (0.16, 0.12, 0.12, 0.60), 0.3),
    Species("CHOCHO", 0.04, 0.010, 0.008, (0.005, 0.004, 0.004, 0.030), 0.2),
    Species("O3_total", 310.0, 9.0, 2.0, (-0.8, -0.4, -1.3, -1.0), 0.5),
    Species("O3_lower", 38.0, 4.0, 2.0, (-1.4, -0.8, -2.2, -1.6), 1.0),
    Species("AOD", 0.38, 0.12, 0.04, (0.06, 0.03, 0.12, 0.08), 0.6),
    Species("UVAI", 0.2, 0.25, 0.15, (0.03, 0.01, 0.08, 0.06), 0.2),
    Species("SSA", 0.94, 0.012, 0.008, (-0.004, -0.002, -0.009, -0.006), 0.3),
    Species("cloud_fraction", 0.2, 0.15, 0.03, (0.0, 0.0, 0.0, 0.0), 0.0),
)
AIR = (
    Species("PM10", 42.0, 9.0, 3.0, (5.0, 2.0, 12.0, 7.0), 0.6),
    Species("PM2_5", 22.0, 5.0, 2.0, (2.4, 1.2, 5.5, 4.0), 0.7),
    Species("O3", 38.0, 5.0, 2.5, (-1.5, -0.8, -2.4, -1.8), 1.0),
    Species("NO2", 18.0, 4.0, 2.0, (5.5, 3.0, 8.5, 7.0), 1.0),
    Species("CO", 420.0, 60.0, 25.0, (28.0, 14.0, 60.0, 35.0), 0.9),
    Species("SO2", 3.2, 0.6, 0.5, (1.4, 0.4, 4.5, 3.2), 0.1),
)
MODALITIES = {"GEMS": GEMS, "AIR": AIR}


@dataclass(frozen=True)
class Wind:
    """The wind of a day, the same everywhere."""

    to_east: float
    """East part of the unit vector along which the air moves."""
    to_north: float
    strength: float
    """1 is an ordinary day; calm days keep the plume at its source."""


def wind_on(seed: int, day: date) -> Wind:
    """Return the wind of a day: from the north-west in winter, from the south-west in summer, and never quite."""
    dice = Dice(seed, 80, day.toordinal())
    summer = 0.5 - 0.5 * math.cos(2 * math.pi * (day.timetuple().tm_yday - 15) / 365.25)
    angle = math.radians(-40 + 85 * summer) + 1.6 * (dice.unit() + dice.unit() - 1)
    return Wind(math.cos(angle), math.sin(angle), dice.between(0.4, 1.8))


def plume(x_m: Array, y_m: Array, site: Site, wind: Wind) -> Array:
    """Return how much of a site's emission is above each place, float32, about 1 at a site of one square kilometre."""
    dx, dy = x_m - site.x_m, y_m - site.y_m
    near = np.maximum(0, 1 - (dx * dx + dy * dy) / REACH_M**2)
    along, across = dx * wind.to_east + dy * wind.to_north, dy * wind.to_east - dx * wind.to_north
    size = 260 + 0.55 * math.sqrt(site.built_km2) * 1_000
    downwind = np.maximum(along, 0)
    width = size + 0.16 * downwind
    rise = np.exp(-((np.minimum(along, 0) / size) ** 2))
    tail = np.exp(-downwind / (4_500 * wind.strength)) * (size / width)
    return np.asarray(rise * tail * np.exp(-0.5 * (across / width) ** 2) * near * near, np.float32)


def render_air(country: Country, grid: PixelGrid, day: date, modality: str) -> Array:
    """Return a coarse raster, float32 (band, y, x), in the units of the species.

    Args:
        country: the world.
        grid: where; any projected CRS, pixels of some 50 m to 5 km.
        day: its wind; emissions vary by a third from day to day.
        modality: a key of `MODALITIES`.
    """
    if modality not in MODALITIES:
        raise ValueError(f"modality {modality!r} is unknown; known are {sorted(MODALITIES)}")
    rows, cols = np.meshgrid(np.arange(grid.height) + 0.5, np.arange(grid.width) + 0.5, indexing="ij")
    x, y = transformer(grid.crs, WORLD_CRS).transform(*grid.xy(rows, cols))
    x0, y0, x1, y1 = bounds_of(x, y)
    sites = country.sites_within((x0 - REACH_M, y0 - REACH_M, x1 + REACH_M, y1 + REACH_M), EMITTING)
    emitted = _emitted(country.seed, sites, x, y, day)
    out = np.empty((len(MODALITIES[modality]), *x.shape), np.float32)
    for band, species in enumerate(MODALITIES[modality]):
        key = key_of(country.seed, 82, day.toordinal(), sum(map(ord, modality + species.name)))
        smooth = fractal_noise(key, x, y, ((60_000.0, 1.6), (17_000.0, 1.0)))
        cell = hash_cells(key, np.floor(y / 80).astype(np.int64), np.floor(x / 80).astype(np.int64))
        out[band] = species.background + species.wander * smooth + species.noise * 0.5 * bell(cell, 1)
        for kind, amount in enumerate((*species.yields, species.traffic * species.yields[0])):
            out[band] += np.float32(amount) * emitted[kind]
    return out


def _emitted(seed: int, sites: list[Site], x_m: Array, y_m: Array, day: date) -> Array:
    """Return the plumes of each subtype of industry, and last of towns, float32 (kind, y, x)."""
    wind = wind_on(seed, day)
    out = np.zeros((len(SUBTYPES) + 1, *x_m.shape), np.float32)
    for site in sites:
        if not site.active:
            continue
        today = 0.75 + 0.5 * Dice(site.key, day.toordinal()).unit()
        kind = SUBTYPES.index(site.subtype) if site.subtype else len(SUBTYPES)
        amount = KINDS[site.kind].emission * today * min(2.5, 0.35 + site.built_km2)
        out[kind] += np.float32(amount) * plume(x_m, y_m, site, wind)
    return out
