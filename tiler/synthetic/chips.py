"""Chips: 512 px squares set on large estates so that industry covers as much of them as in the industrial document."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from tiler.grids import Box, PixelGrid
from tiler.synthetic.canvas import Patch, transformer
from tiler.synthetic.country import WORLD_CRS, Country
from tiler.synthetic.noise import Dice
from tiler.synthetic.sites import Site
from tiler.synthetic.surface import industry
from tiler.synthetic.writer import utm_crs

CHIP_PX = 512
COVERAGE = NormalDist(0.825, 0.114)
"""Share of a chip that is industrial, as the industrial document reports it."""
LOWEST, HIGHEST = 0.35, 0.97
PLACES_TRIED = 40
"""Places of a region tried for a chip; most lie in the sea, on hills, or on an estate that is too small."""
REGIONS: dict[str, tuple[float, float, float, float]] = {
    # Longitude and latitude (west, south, east, north).
    "CHN": (113.5, 31.0, 121.5, 39.5),
    "KOR": (126.2, 34.7, 129.4, 38.0),
}
CODES = ("CHN", "CHN", "CHN", "CHN", "KOR")
"""Regions of the first chips; those of the next follow in the same order."""


@dataclass(frozen=True)
class Chip:
    """One chip."""

    number: int
    """From 1."""
    country_code: str
    """A key of `REGIONS`."""
    day: date
    grid: PixelGrid
    """10 m, `CHIP_PX` on a side, in the UTM zone of its middle."""
    wanted: float
    """Share of it that was to be industrial; what it is depends on the estate."""


@lru_cache(maxsize=1)
def chip_country(seed: int) -> Country:
    """Return the country of chips, with what this process has already made of it."""
    return Country(seed, "chips")


def chips(country: Country, count: int, codes: tuple[str, ...] = CODES) -> Iterator[Chip]:
    """Yield the first chips of a country."""
    return (find_chip(country, number, codes) for number in range(1, count + 1))


def find_chip(country: Country, number: int, codes: tuple[str, ...] = CODES) -> Chip:
    """Return one chip, on an estate of its own region; `codes` is gone through again and again.

    Chip `number` (from 1) depends on the country's seed and on itself only.

    Raises:
        ValueError: the country has no estates that are large enough.
    """
    code = codes[(number - 1) % len(codes)]
    dice = Dice(country.seed, 90, number)
    day = date(2023, 1, 1) + timedelta(days=int(dice.unit() * 365))
    # Drawn once: places are refused until one fits, or estates that cannot be filled would lower the mean.
    wanted = min(max(COVERAGE.inv_cdf(min(max(dice.unit(), 1e-4), 1 - 1e-4)), LOWEST), HIGHEST)
    best, best_gap = None, 9.0
    for attempt in range(PLACES_TRIED):
        estate = _large_estate(country, code, Dice(country.seed, 92, number, attempt))
        if estate is None:
            continue
        grid, found = _shifted(country, estate, wanted, Dice(country.seed, 93, number, attempt))
        if abs(found - wanted) < best_gap:
            best, best_gap = grid, abs(found - wanted)
        if best_gap < 0.02:
            break
    if best is None:
        raise ValueError(
            f"no estate for chip {number} in {code} at {PLACES_TRIED} places; make a country of style 'chips'"
        )
    return Chip(number, code, day, best, wanted)


def _large_estate(country: Country, code: str, dice: Dice) -> Site | None:
    """Return an estate that fills a chip, near a place drawn in a region; None where there is none."""
    west, south, east, north = REGIONS[code]
    lon, lat = dice.between(west, east), dice.between(south, north)
    x, y = transformer("EPSG:4326", WORLD_CRS).transform(lon, lat)
    near = country.large_estates_within((x - 9e3, y - 9e3, x + 9e3, y + 9e3))
    return next((s for s in near if s.industrial_km2 > 20), None)


def _shifted(country: Country, estate: Site, wanted: float, dice: Dice) -> tuple[PixelGrid, float]:
    """Return the square that lies as far from the estate's middle, in a drawn direction, as its coverage asks for."""
    lon, _ = transformer(WORLD_CRS, "EPSG:4326").transform(estate.x_m, estate.y_m)
    crs = utm_crs(lon)
    x, y = transformer(WORLD_CRS, crs).transform(estate.x_m, estate.y_m)
    angle = dice.between(0, 2 * np.pi)
    best, best_gap, best_share = _square(crs, x, y), 9.0, 0.0
    for shift_m in range(0, 4_200, 150):
        grid = _square(crs, x + np.cos(angle) * shift_m, y + np.sin(angle) * shift_m)
        share = coverage(country, grid, estate)
        if abs(share - wanted) < best_gap:
            best, best_gap, best_share = grid, abs(share - wanted), share
    return best, best_share


def _square(crs: str, x_m: float, y_m: float) -> PixelGrid:
    left, top = round(x_m / 10) * 10.0 - CHIP_PX * 5, round(y_m / 10) * 10.0 + CHIP_PX * 5
    return PixelGrid(crs, (10.0, 0.0, left, 0.0, -10.0, top), CHIP_PX, CHIP_PX)


def coverage(country: Country, grid: PixelGrid, estate: Site) -> float:
    """Return about which share of a 10 m grid one estate covers, from every eighth pixel."""
    a, b, c, d, e, f = grid.transform
    coarse = PixelGrid(grid.crs, (a * 8, b * 8, c, d * 8, e * 8, f), grid.height // 8, grid.width // 8)
    return float(industry(country, Patch.of(coarse, Box(0, 0, coarse.height, coarse.width)), [estate]).mean())
