"""Blocks, lots and halls: what all kinds of buildings share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiler.synthetic.noise import Array, hash_cells, unit
from tiler.synthetic.spectra import CODE


@dataclass(frozen=True)
class Spots:
    """Places on blocks; all arrays are 1-D of one length."""

    a_m: Array
    """float32 distance from the block's left border."""
    b_m: Array
    """float32 distance from its lower border."""
    w_m: Array
    """float32 width of the block."""
    h_m: Array
    """float32 depth of the block."""
    key: Array
    """uint32 of the block."""
    subtype: Array
    """uint8 number in `SUBTYPES`."""
    sun_a: Array
    """float32 metres along the width to where a roof of one metre's height would throw its shadow here."""
    sun_b: Array
    """The same along the depth."""

    def moved(self, height_m: Array | float) -> Spots:
        """Return the places towards the sun from which a roof of that height would shade these."""
        a, b = self.a_m + self.sun_a * height_m, self.b_m + self.sun_b * height_m
        return Spots(a, b, self.w_m, self.h_m, self.key, self.subtype, self.sun_a, self.sun_b)


@dataclass(frozen=True)
class Paint:
    """What covers places; all arrays share a shape."""

    cover: Array
    """uint8 codes of `spectra.CODE`."""
    tone: Array
    """float32 factor of the brightness."""
    key: Array
    """uint32 of the parcel or building."""
    shade: Array
    """bool: in the shadow of a building."""


def choose(shares: dict[str, float], draw: Array) -> Array:
    """Return cover codes, uint8: each cover takes its share of [0, 1)."""
    edges = np.cumsum(list(shares.values())) / sum(shares.values())
    codes = np.array([CODE[name] for name in shares], np.uint8)
    return codes[np.minimum(np.searchsorted(edges, draw, side="right"), len(codes) - 1)]


METAL = {
    "roof_white": 0.16, "roof_grey": 0.34, "roof_blue": 0.20, "roof_green": 0.10, "roof_rust": 0.08, "roof_dark": 0.12
}  # fmt: skip
HEAVY_METAL = {"roof_grey": 0.32, "roof_rust": 0.20, "roof_blue": 0.18, "roof_dark": 0.18, "roof_white": 0.12}
HOUSES = {
    "roof_grey": 0.32, "roof_white": 0.17, "roof_blue": 0.15, "roof_rust": 0.14, "roof_green": 0.12, "roof_dark": 0.10
}  # fmt: skip
GROUND = {"asphalt": 0.36, "concrete": 0.32, "soil": 0.16, "grass": 0.16}
BOXES = {"roof_rust": 0.32, "roof_blue": 0.26, "roof_green": 0.12, "roof_white": 0.16, "roof_grey": 0.14}


def border_m(s: Spots) -> Array:
    """Return the distance to the nearest border of the block."""
    return np.minimum(np.minimum(s.a_m, s.w_m - s.a_m), np.minimum(s.b_m, s.h_m - s.b_m))


def plain(s: Spots, cover: str) -> Paint:
    """Return one cover everywhere, to be drawn upon."""
    n = len(s.a_m)
    return Paint(np.full(n, CODE[cover], np.uint8), np.ones(n, np.float32), s.key, np.zeros(n, bool))


def lots(s: Spots, street_m: float, largest: int) -> tuple[Array, Array, Array, Array]:
    """Split blocks inside their streets into lots along the width: place in the lot, its width, its key."""
    count = 1 + np.floor(unit(s.key, 21) ** 1.5 * largest)
    width = (s.w_m - 2 * street_m) / count
    number = np.clip(np.floor((s.a_m - street_m) / width), 0, count - 1)
    key = hash_cells(s.key, np.zeros_like(s.key), number.astype(np.uint32))
    return s.a_m - street_m - number * width, width, s.h_m - 2 * street_m, key


def hall(s: Spots, street_m: float, largest: int) -> tuple[Array, Array]:
    """Return where a hall stands (bool) and the key of the lot (uint32)."""
    a, width, depth, key = lots(s, street_m, largest)
    b = s.b_m - street_m
    side = 3 + 9 * unit(key, 22)
    front = 4 + 22 * unit(key, 23)
    back = depth - 3 - (depth * 0.40) * unit(key, 24) ** 2
    stands = (a > side) & (a < width - side) & (b > front) & (b < back)
    # A passage cuts a third of the halls in two; others have a wing missing.
    passage = (unit(key, 25) < 0.33) & (np.abs(b - (front + back) / 2) < 5)
    wing = (unit(key, 25) > 0.70) & (a > width * 0.6) & (b < (front + back) / 2)
    return stands & ~passage & ~wing, key
