"""Sites: towns, industrial estates and everything that looks like one, each with a place, a street grid and a plan."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tiler.synthetic.noise import Array, Dice, fractal_noise, hash_cells, key_of, unit
from tiler.synthetic.terrain import Terrain

OUTSIDE, BUILT, PARK, HOUSING = 0, 1, 2, 3
"""What a block of a plan is. Park and housing inside an estate are background."""


@dataclass(frozen=True)
class SiteKind:
    """What all sites of one kind have in common."""

    block_m: tuple[float, float, float, float]
    """Smallest and largest width, smallest and largest depth of a block of the street grid."""
    radius_m: tuple[float, float]
    """Half the long side, smallest and largest."""
    aspect: tuple[float, float] = (0.55, 1.0)
    """Short side as a share of the long one."""
    square: float = 4.0
    """Exponent of the outline: 2 is an ellipse, large is a rectangle."""
    ragged: float = 0.5
    """How irregular the outline is."""
    max_hill: float = 0.22
    """Hilliness above which a block is not built."""
    park: float = 0.0
    """Share of the blocks that are park."""
    housing: float = 0.0
    """Share of the blocks that are housing."""
    industrial: bool = False
    """Whether it is the class to be found."""
    emission: float = 0.0
    """What it gives off for each square kilometre that is built, relative to an estate (traffic and heating too)."""


KINDS: dict[str, SiteKind] = {
    "village": SiteKind((48, 75, 34, 50), (70, 240), square=2, ragged=0.9, max_hill=0.3, emission=0.05),
    "barns": SiteKind((70, 160, 60, 120), (50, 130), ragged=0.3, max_hill=0.3),
    "warehouse": SiteKind((90, 190, 70, 130), (60, 170), ragged=0.2, max_hill=0.3),
    "works": SiteKind((80, 170, 70, 130), (60, 230), ragged=0.5, max_hill=0.3, industrial=True, emission=1.0),
    "greenhouses": SiteKind((70, 120, 40, 70), (150, 1_300), square=2, ragged=1.5, max_hill=0.12),
    "town": SiteKind((60, 105, 40, 60), (350, 2_300), square=2, ragged=1.2, max_hill=0.28, park=0.04, emission=0.10),
    "apartments": SiteKind((200, 330, 170, 260), (250, 900), ragged=0.5, park=0.08, emission=0.08),
    "logistics": SiteKind((280, 420, 200, 300), (350, 1_100), ragged=0.3, max_hill=0.25, emission=0.06),
    "solar": SiteKind((100, 220, 80, 160), (150, 700), square=2, ragged=1.2, max_hill=0.45),
    "quarry": SiteKind((60, 60, 60, 60), (120, 420), square=2, ragged=0.8, max_hill=9.0),
    "estate": SiteKind(
        (190, 330, 130, 230),
        (350, 1_700),
        ragged=0.7,
        max_hill=0.24,
        park=0.04,
        housing=0.02,
        industrial=True,
        emission=1.0,
    ),
}
KIND_NAMES = tuple(KINDS)
"""In the order in which they are drawn: a later one covers an earlier one."""
SUBTYPES = ("general", "light", "heavy", "petrochemical")
"""Of estates and works."""


@dataclass(frozen=True, eq=False)
class Site:
    """One site."""

    kind: str
    """A key of `KINDS`."""
    subtype: str
    """One of `SUBTYPES`, empty for other kinds."""
    active: bool
    """Whether it gives off anything today; an idle estate looks the same from above."""
    x_m: float
    y_m: float
    angle_rad: float
    """Direction of its streets, anticlockwise from east."""
    block_w_m: float
    block_h_m: float
    plan: Array
    """uint8 (rows northwards, columns eastwards) of blocks, before the turn; see `OUTSIDE`."""
    key: int
    """Its own seed."""

    @property
    def name(self) -> str:
        """An identifier that says where it lies."""
        return f"{self.kind}-{self.x_m:.0f}-{self.y_m:.0f}"

    @cached_property
    def radius_m(self) -> float:
        """Radius of a circle around it."""
        rows, cols = self.plan.shape
        return math.hypot(rows * self.block_h_m, cols * self.block_w_m) / 2

    @property
    def industrial_km2(self) -> float:
        """Area of its blocks that belong to the class."""
        built = int((self.plan == BUILT).sum()) if KINDS[self.kind].industrial else 0
        return built * self.block_w_m * self.block_h_m * 1e-6

    @property
    def built_km2(self) -> float:
        """Area of its blocks that are built on."""
        return int((self.plan == BUILT).sum()) * self.block_w_m * self.block_h_m * 1e-6

    def corners(self, rows: Array, cols: Array) -> tuple[Array, Array]:
        """Return the world coordinates, float64, of corners of its street grid (row 0, column 0 is the first)."""
        n_rows, n_cols = self.plan.shape
        u, v = (cols - n_cols / 2) * self.block_w_m, (rows - n_rows / 2) * self.block_h_m
        cos, sin = math.cos(self.angle_rad), math.sin(self.angle_rad)
        return self.x_m + cos * u - sin * v, self.y_m + sin * u + cos * v

    def outline(self) -> Any:
        """Return its industrial blocks as a shapely geometry in world coordinates (empty for other kinds)."""
        import shapely

        rows, cols = np.nonzero(self.plan == BUILT) if KINDS[self.kind].industrial else (np.empty(0), np.empty(0))
        ring = [self.corners(rows + dy, cols + dx) for dx, dy in ((0, 0), (1, 0), (1, 1), (0, 1))]
        corners = np.stack([np.stack(c, axis=-1) for c in ring], axis=1)
        # Rounded to a millimetre: corners of neighbouring blocks differ in the last bit, which would leave slits.
        return shapely.union_all([shapely.Polygon(np.round(c, 3)) for c in corners], grid_size=1e-3)


def make_site(
    kind: str,
    x_m: float,
    y_m: float,
    dice: Dice,
    terrain: Terrain,
    radius_m: tuple[float, float] | None = None,
    free: Callable[[float], bool] = lambda radius_m: True,
) -> Site | None:
    """Lay out one site.

    Args:
        kind: a key of `KINDS`.
        x_m: world coordinates of its middle.
        y_m: world coordinates of its middle.
        dice: its own random numbers.
        terrain: blocks in the water or on slopes are left out.
        radius_m: half its long side, smallest and largest, in place of the kind's.
        free: told the radius of a circle around it, whether that is free of others.

    Returns:
        The site, or None where nothing of it can be built.
    """
    what = KINDS[kind]
    low_w, high_w, low_h, high_h = what.block_m
    width, height = dice.between(low_w, high_w), dice.between(low_h, high_h)
    low, high = radius_m or what.radius_m
    long_m = low * (high / low) ** (dice.unit() ** 1.4)
    short_m = long_m * dice.between(*what.aspect)
    angle, key = dice.between(0, math.pi), key_of(int(dice.unit() * 2**32), 1)
    subtype = SUBTYPES[dice.pick((0.4, 0.25, 0.22, 0.13))] if what.industrial else ""
    active = dice.unit() < 0.85
    half_r, half_c = max(1, round(short_m / height)), max(1, round(long_m / width))
    odd = int(kind in ("works", "barns", "warehouse") and dice.unit() < 0.6)
    plan = np.zeros((2 * half_r - odd, 2 * half_c - odd), np.uint8)
    site = Site(kind, subtype, active, x_m, y_m, angle, width, height, plan, key)
    if not free(site.radius_m):
        return None
    rows, cols = np.meshgrid(*(np.arange(n) + 0.5 for n in plan.shape), indexing="ij")
    x, y = site.corners(rows, cols)
    across = np.abs(cols / plan.shape[1] * 2 - 1) ** what.square + np.abs(rows / plan.shape[0] * 2 - 1) ** what.square
    rough = fractal_noise(key, x, y, ((long_m * 0.8, 0.7), (width * 2.2, 0.6)))
    plan[(across + what.ragged * rough < 1.02) & _buildable(terrain, x, y, what, max(width, height))] = BUILT
    _set_aside(plan, key, what)
    if not (plan == BUILT).any():
        return None
    return site


def _buildable(terrain: Terrain, x: Array, y: Array, kind: SiteKind, block_m: float) -> Array:
    ground = terrain.plan(x, y)
    dry = (ground.height_m > 0.8) & (ground.bank_m > 0.6 * block_m)
    return np.asarray(dry & (ground.hill < kind.max_hill))


def _set_aside(plan: Array, key: int, kind: SiteKind) -> None:
    """Turn some built blocks of a plan into park and housing."""
    if kind.park + kind.housing == 0:
        return
    rows, cols = np.meshgrid(*(np.arange(n) for n in plan.shape), indexing="ij")
    # Two by two blocks share the draw, so that parks are larger than one block.
    draw = unit(hash_cells(key, rows // 2, cols // 2), 7)
    built = plan == BUILT
    plan[built & (draw < kind.park)] = PARK
    plan[built & (draw >= kind.park) & (draw < kind.park + kind.housing)] = HOUSING
