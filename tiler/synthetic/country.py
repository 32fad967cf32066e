"""The country: a seed and a style, and from them every site of any rectangle of the plane."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tiler.synthetic.lines import Bounds
from tiler.synthetic.noise import Dice, key_of
from tiler.synthetic.roads import TRUNK_REACH_M, TRUNK_SPACING_M, Roads
from tiler.synthetic.sites import KIND_NAMES, KINDS, Site, make_site
from tiler.synthetic.terrain import Terrain, bounds_of

WORLD_CRS = "EPSG:5179"
"""The plane in which the world is laid out (Korea 2000, unified), metres."""


@dataclass(frozen=True)
class Style:
    """What kind of country."""

    sea_level: float
    """Macro height below which is sea: -0.3 leaves about a quarter of the plane under water."""
    ruggedness: float
    """Factor of the hills; 1 is Korea."""
    major_m: float
    """Side of the cells in which large sites are placed, at most one estate and one other each."""
    middle: float
    """Share of a cell's side, around its middle, in which they may lie."""
    estate_share: float
    """Share of these cells with an estate, where the land allows one."""
    estate_radius_m: tuple[float, float]
    """Half the long side of the estates, smallest and largest."""
    confusers: tuple[tuple[str, float], ...]
    """Large sites that are not industry, and their shares of the cells."""
    minor_m: float
    """Side of the cells with at most one small site each."""
    minors: tuple[tuple[str, float], ...]
    """Small sites, and their shares of the cells."""


CONFUSERS = (
    ("greenhouses", 0.27), ("apartments", 0.22), ("logistics", 0.22), ("solar", 0.10), ("quarry", 0.08)
)  # fmt: skip
MINORS = (("works", 0.10), ("barns", 0.10), ("warehouse", 0.04), ("village", 0.34), ("greenhouses", 0.06))

STYLES: dict[str, Style] = {
    # Industry covers a few percent of the land.
    "country": Style(-0.30, 1.0, 8_000, 0.5, 0.55, (350, 1_700), CONFUSERS, 1_900, MINORS),
    # Flat coasts full of very large estates: one fills four fifths of a 5 km chip, as in the industrial document.
    "chips": Style(-0.65, 0.45, 16_000, 0.3, 1.0, (3_900, 4_700), CONFUSERS, 1_900, MINORS),
}

PLACES_TRIED = 10
WORST = 15.0
"""Score above which no place of a cell is taken."""


class Country:
    """All features of one seed and style; nothing is made before it is asked for."""

    def __init__(self, seed: int, style: str = "country") -> None:
        """`style` is a key of `STYLES`."""
        if style not in STYLES:
            raise ValueError(f"style {style!r} of a country is unknown; known are {sorted(STYLES)}")
        self.seed, self.style = seed, STYLES[style]
        self.terrain = Terrain(key_of(seed, 100), self.style.sea_level, self.style.ruggedness)
        self.roads = Roads(self.terrain)
        self._estates = lru_cache(maxsize=20_000)(self._make_estates)
        self._confusers = lru_cache(maxsize=20_000)(self._make_confusers)
        self._minors = lru_cache(maxsize=100_000)(self._make_minors)
        self._towns = lru_cache(maxsize=20_000)(self._make_towns)

    def sites_within(self, bounds: Bounds, kinds: Collection[str] = KIND_NAMES) -> list[Site]:
        """Return the sites of some kinds that may touch a rectangle, in the order in which they are drawn."""

        def minors(row: int, col: int) -> tuple[Site, ...]:  # what is not asked for is not made
            return self._minors(row, col) if self._minor_kind(Dice(self.seed, 106, row, col)) in kinds else ()

        small = self._near(minors, self.style.minor_m, bounds)
        found = [*small, *(site for site in self._large(bounds) if site.kind in kinds)]
        return sorted(found, key=lambda s: (KIND_NAMES.index(s.kind), s.x_m, s.y_m))

    def estates_within(self, bounds: Bounds) -> list[Site]:
        """Return only the sites of the class."""
        return [s for s in self.sites_within(bounds) if s.industrial_km2 > 0]

    def large_estates_within(self, bounds: Bounds) -> Iterator[Site]:
        """Yield only the planned estates, without looking for small works; those that nobody takes are not made."""
        x0, y0, x1, y1 = bounds
        side, half_middle = self.style.major_m, self.style.middle / 2
        # The corners of the largest plan, whose sides are whole blocks.
        reach = math.sqrt(2) * (self.style.estate_radius_m[1] + max(KINDS["estate"].block_m) / 2)

        def cells(low: float, high: float) -> range:
            first = math.ceil((low - reach) / side - 0.5 - half_middle)
            return range(first, math.floor((high + reach) / side - 0.5 + half_middle) + 1)

        for row in cells(y0, y1):
            for col in cells(x0, x1):
                yield from (site for site in self._estates(row, col) if _touches(site, bounds))

    def _large(self, bounds: Bounds) -> Iterator[Site]:
        yield from self._near(self._towns, TRUNK_SPACING_M, bounds)
        for cells in (self._estates, self._confusers):
            yield from self._near(cells, self.style.major_m, bounds)

    def _near(self, cells: Callable[[int, int], tuple[Site, ...]], side_m: float, bounds: Bounds) -> Iterator[Site]:
        x0, y0, x1, y1 = bounds
        # No site reaches further than one cell beyond its own.
        for row in range(math.floor(y0 / side_m) - 1, math.floor(y1 / side_m) + 2):
            for col in range(math.floor(x0 / side_m) - 1, math.floor(x1 / side_m) + 2):
                yield from (site for site in cells(row, col) if _touches(site, bounds))

    def _make_towns(self, row: int, col: int) -> tuple[Site, ...]:
        x, y, cost = self.roads.trunk_nodes(np.array([row]), np.array([col]))
        dice = Dice(self.seed, 101, row, col)
        if float(cost[0]) > 0.3 or dice.unit() > 0.8:
            return ()
        town = make_site("town", float(x[0]), float(y[0]), dice, self.terrain)
        return () if town is None else (town,)

    def _make_estates(self, row: int, col: int) -> tuple[Site, ...]:
        if Dice(self.seed, 102, row, col).unit() >= self.style.estate_share:
            return ()
        dice = Dice(self.seed, 103, row, col)
        estate = self._placed("estate", row, col, dice, self.style.estate_radius_m)
        return () if estate is None else (estate,)

    def _make_confusers(self, row: int, col: int) -> tuple[Site, ...]:
        shares = [share for _, share in self.style.confusers]
        estates, found = self._estates(row, col), []
        for number in range(3):
            dice = Dice(self.seed, 104 + number, row, col)
            if dice.unit() < sum(shares):
                kind = self.style.confusers[dice.pick(shares)][0]
                # What looks like industry likes the same flat land: often it stands next door.
                beside = estates and kind not in ("quarry", "solar") and dice.unit() < 0.6
                found.append(self._beside(kind, estates[0], dice) if beside else self._placed(kind, row, col, dice))
        return tuple(site for site in found if site is not None)

    def _beside(self, kind: str, estate: Site, dice: Dice) -> Site | None:
        """Return a large site a little way from an estate."""
        angle, away_m = dice.between(0, 2 * math.pi), estate.radius_m * dice.between(0.8, 1.3) + dice.between(0, 500)
        x, y = estate.x_m + math.cos(angle) * away_m, estate.y_m + math.sin(angle) * away_m
        return make_site(kind, x, y, dice, self.terrain)

    def _placed(
        self, kind: str, row: int, col: int, dice: Dice, radius_m: tuple[float, float] | None = None
    ) -> Site | None:
        """Return a large site at the best of some places of its cell."""
        side, middle = self.style.major_m, self.style.middle
        # Only estates are kept to the middle: two of them must not overlap, or their outlines would.
        spread = middle if kind == "estate" else 0.9
        x = np.array([(col + 0.5 + spread * (dice.unit() - 0.5)) * side for _ in range(PLACES_TRIED)])
        y = np.array([(row + 0.5 + spread * (dice.unit() - 0.5)) * side for _ in range(PLACES_TRIED)])
        likes_coast = dice.unit() < (0.7 if kind == "logistics" else 0.3)
        ground = self.terrain.plan(x, y)
        score = ground.hill * 5 + np.where(ground.height_m < 1.5, 20.0, 0.0)
        if kind in ("quarry", "solar"):
            score = np.abs(ground.hill - (0.35 if kind == "quarry" else 0.15)) + np.where(ground.height_m < 5, 20, 0)
        elif likes_coast:
            score += np.minimum(ground.height_m / 25, 3)
        elif (score <= WORST).any():  # roads take longer than all the rest, and make no place better
            warped = self.terrain.warp(x, y)
            _, road_m = self.roads.trunks.within(bounds_of(*warped)).nearest(*warped, TRUNK_REACH_M)
            score += road_m / 1_500
        best = int(score.argmin())
        if score[best] > WORST:
            return None
        return make_site(kind, float(x[best]), float(y[best]), dice, self.terrain, radius_m)

    def _make_minors(self, row: int, col: int) -> tuple[Site, ...]:
        dice, side = Dice(self.seed, 106, row, col), self.style.minor_m
        kind = self._minor_kind(dice)
        if kind is None:
            return ()
        x, y = ((c + 0.5 + 0.7 * (dice.unit() - 0.5)) * side for c in (col, row))
        reach = (x - 9e3, y - 9e3, x + 9e3, y + 9e3)

        # A small site that would lie under a large one is not there: what is drawn and what is listed stay the same.
        def free(radius_m: float) -> bool:
            return all(math.hypot(s.x_m - x, s.y_m - y) > s.radius_m + radius_m for s in self._large(reach))

        radius_m = (100, 320) if kind == "greenhouses" else None
        site = make_site(kind, x, y, dice, self.terrain, radius_m, free)
        return () if site is None else (site,)

    def _minor_kind(self, dice: Dice) -> str | None:
        shares = [share for _, share in self.style.minors]
        return None if dice.unit() >= sum(shares) else self.style.minors[dice.pick(shares)][0]


def _touches(site: Site, bounds: Bounds) -> bool:
    x0, y0, x1, y1 = bounds
    r = site.radius_m
    return x0 - r <= site.x_m <= x1 + r and y0 - r <= site.y_m <= y1 + r
