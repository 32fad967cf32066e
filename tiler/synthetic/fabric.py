"""What stands on the blocks of a site: lots, roofs, yards, tanks, slabs, rows of plastic or panels.

Each function gets places inside blocks and says what covers each of them. Everything follows from the block's key and
the place, so that a building looks the same in every scene and for every cut of the work.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tiler.synthetic.lots import BOXES, GROUND, HEAVY_METAL, HOUSES, METAL, Paint, Spots, border_m, choose, hall, plain
from tiler.synthetic.noise import Array, hash_cells, rehash, unit
from tiler.synthetic.sites import SUBTYPES
from tiler.synthetic.spectra import CODE


def factory(s: Spots) -> Paint:
    """A planned estate: streets, lots with one large metal roof each, yards with piles, tanks."""
    street = 9.0
    out = plain(s, "asphalt")
    cover, tone = out.cover, out.tone
    roof, key = hall(s, street, 4)
    height = 7 + 9 * unit(key, 26)
    shaded, _ = hall(s.moved(height), street, 4)
    use = unit(key, 27)
    heavy = (s.subtype == SUBTYPES.index("heavy")) | (s.subtype == SUBTYPES.index("petrochemical"))
    tanks = (use < 0.06) | ((s.subtype == SUBTYPES.index("petrochemical")) & (use < 0.55))
    yard = ~tanks & (use < np.where(heavy, np.float32(0.28), np.float32(0.17)))
    vacant = use > 0.91
    inside = border_m(s) > street
    ground = choose(GROUND, unit(key, 28))
    metal = np.where(heavy, choose(HEAVY_METAL, unit(key, 29)), choose(METAL, unit(key, 29)))
    roof &= ~tanks & ~yard & ~vacant
    cover[inside] = np.where(roof, metal, ground)[inside]
    # Ridges of long halls, and machines, ducts and skylights on them: a roof is never one colour.
    ridge = (np.floor(s.a_m / 15).astype(np.int64) & 1).astype(np.float32)
    tone[roof] = (0.93 + 0.14 * ridge)[roof]
    _pile(s, inside & yard, cover, tone)
    _tanks(s, inside & tanks, key, cover, tone)
    weeds = inside & vacant
    cover[weeds] = np.where(unit(key[weeds], 30) < 0.6, CODE["grass"], CODE["soil"])
    trees = (border_m(s) > street - 2.5) & ~inside & (unit(s.key, 31) < 0.35)
    cover[trees] = CODE["broadleaf"]
    return Paint(cover, tone, np.where(inside, key, s.key), shaded & ~roof & inside & ~tanks & ~yard & ~vacant)


def _pile(s: Spots, where: Array, cover: Array, tone: Array) -> None:
    """Storage: piles, trucks and goods in patches of 14 m."""
    patch = hash_cells(
        s.key[where], np.floor(s.b_m[where] / 14).astype(np.int64), np.floor(s.a_m[where] / 14).astype(np.int64)
    )
    cover[where] = choose(
        {"concrete": 0.40, "soil": 0.2, "asphalt": 0.2, **{k: 0.2 * v for k, v in BOXES.items()}}, unit(patch, 1)
    )
    tone[where] = 0.75 + 0.5 * unit(patch, 2)


def _tanks(s: Spots, where: Array, key: Array, cover: Array, tone: Array) -> None:
    """Round tanks in rows."""
    pitch = 26 + 34 * unit(s.key[where], 32)
    a, b = s.a_m[where] / pitch, s.b_m[where] / pitch
    centre = (a - np.floor(a) - np.float32(0.5)) ** 2 + (b - np.floor(b) - np.float32(0.5)) ** 2
    tank = hash_cells(key[where], np.floor(b).astype(np.int64), np.floor(a).astype(np.int64))
    stands = (centre < np.float32(0.16)) & (unit(tank, 1) < 0.85)
    cover[where] = np.where(stands, choose({"roof_white": 0.7, "roof_grey": 0.3}, unit(tank, 2)), CODE["concrete"])
    tone[where] = np.where(stands, 1.0, 0.85)


def warehouse(s: Spots) -> Paint:
    """One or two large roofs alone among fields: shops, depots, sports halls."""
    out = plain(s, "asphalt")
    roof, key = hall(s, 6.0, 2)
    shaded, _ = hall(s.moved(10.0), 6.0, 2)
    inside = border_m(s) > 6
    ground = choose({"asphalt": 0.6, "concrete": 0.25, "grass": 0.15}, unit(key, 28))
    out.cover[inside] = np.where(roof, choose(METAL, unit(key, 29)), ground)[inside]
    return Paint(out.cover, out.tone, np.where(inside, key, s.key), shaded & ~roof)


def barns(s: Spots) -> Paint:
    """Livestock: long narrow roofs side by side."""
    out = plain(s, "soil")
    pitch = 19 + 8 * unit(s.key, 33)
    number = np.floor(s.a_m / pitch)
    roof = (s.a_m - number * pitch < 13) & (s.b_m > 8) & (s.b_m < s.h_m - 8) & (number * pitch + 13 < s.w_m)
    key = hash_cells(s.key, np.zeros_like(s.key), number.astype(np.int64) // 3)
    out.cover[roof] = choose(METAL, unit(key, 1))[roof]
    grass = ~roof & (unit(s.key, 34) < 0.5)
    out.cover[grass] = CODE["grass"]
    return Paint(out.cover, out.tone, np.where(roof, key, s.key), out.shade)


def _house(s: Spots, street_m: float) -> tuple[Array, Array]:
    """Return where a house stands (bool) and its key (uint32)."""
    lot = 13 + 13 * unit(s.key, 35) ** 2
    col, row = np.floor((s.a_m - street_m) / lot), np.floor((s.b_m - street_m) / lot)
    key = hash_cells(s.key, row.astype(np.int64), col.astype(np.int64))
    a, b = s.a_m - street_m - col * lot, s.b_m - street_m - row * lot
    gap = 1 + 2.5 * unit(key, 1)
    return (a > gap) & (a < lot - gap) & (b > gap) & (b < lot - gap) & (unit(key, 2) < 0.90), key


def town(s: Spots) -> Paint:
    """Streets of houses with gardens, a few schools, commercial blocks and parks."""
    street = 4.0
    out = plain(s, "asphalt")
    roof, key = _house(s, street)
    shaded, _ = _house(s.moved(7.0), street)
    inside = border_m(s) > street
    ground = choose({"concrete": 0.48, "grass": 0.14, "broadleaf": 0.08, "soil": 0.10, "asphalt": 0.20}, unit(key, 36))
    out.cover[inside] = np.where(roof, choose(HOUSES, unit(key, 37)), ground)[inside]
    use = unit(s.key, 38)
    big, lot = hall(s, 6.0, 3)
    shops = inside & (use < 0.07)
    out.cover[shops] = np.where(big, choose(METAL | {"roof_dark": 0.3}, unit(lot, 37)), CODE["asphalt"])[shops]
    school = inside & (use > 0.97)
    out.cover[school] = np.where(s.b_m > s.h_m * 0.65, CODE["roof_grey"], CODE["pitch"])[school]
    other = shops | school
    return Paint(out.cover, out.tone, np.where(other, lot, np.where(inside, key, s.key)), shaded & ~roof & ~other)


def _slab(s: Spots) -> Array:
    pitch, gap = 46 + 18 * unit(s.key, 39), 62 + 40 * unit(s.key, 40)
    b, a = s.b_m - 22, s.a_m - 12
    row, col = np.floor(b / pitch), np.floor(a / gap)
    inside = (s.a_m > 12) & (s.a_m < s.w_m - 12) & (s.b_m > 16) & (s.b_m < s.h_m - 14)
    lie = b - row * pitch
    standing = hash_cells(s.key, row.astype(np.int64), col.astype(np.int64))
    return np.asarray(inside & (lie < 13) & (a - col * gap < gap - 17) & (unit(standing, 1) < 0.93))


def apartments(s: Spots) -> Paint:
    """Slabs of fifteen to twenty-five floors in rows, their long shadows, lawns and car parks."""
    out = plain(s, "asphalt")
    height = 40 + 32 * unit(s.key, 41)
    roof = _slab(s)
    # The shadow of a slab is a band: it is met at several heights of the wall.
    shaded = _slab(s.moved(height)) | _slab(s.moved(height * 0.66)) | _slab(s.moved(height * 0.33))
    patch = hash_cells(s.key, np.floor(s.b_m / 16).astype(np.int64), np.floor(s.a_m / 24).astype(np.int64))
    inside = border_m(s) > 8
    ground = choose({"grass": 0.26, "broadleaf": 0.22, "asphalt": 0.32, "concrete": 0.20}, unit(patch, 1))
    roofs = choose({"roof_grey": 0.55, "roof_green": 0.25, "concrete": 0.20}, unit(s.key, 42))
    out.cover[inside] = np.where(roof, roofs, ground)[inside]
    return Paint(out.cover, out.tone, np.where(roof, s.key, patch), shaded & ~roof)


def logistics(s: Spots) -> Paint:
    """Depots and ports: very large depots in a sea of asphalt, and stacks of containers of all colours."""
    out = plain(s, "asphalt")
    stacks = unit(s.key, 43) < 0.55
    a, b = s.a_m - 14, s.b_m - 14
    inside = border_m(s) > 14
    lane = b - np.floor(b / 31) * 31
    box = hash_cells(
        s.key,
        np.floor(b / 31).astype(np.int64) * 4 + np.floor(lane / 6.5).astype(np.int64),
        np.floor(a / 13).astype(np.int64),
    )
    stacked = inside & stacks & (lane < 22) & (unit(box, 1) < 0.8)
    out.cover[stacked] = choose(BOXES, unit(box, 2))[stacked]
    depot = inside & ~stacks & (s.b_m > 0.24 * s.h_m) & (s.b_m < 0.80 * s.h_m) & (s.a_m > 26) & (s.a_m < s.w_m - 26)
    out.cover[depot] = choose(METAL, unit(s.key, 44))[depot]
    trailers = inside & ~stacks & ~depot & (np.abs(s.b_m / s.h_m - 0.52) > 0.36) & (unit(box, 3) < 0.5)
    out.cover[trailers] = choose(BOXES | {"roof_white": 0.8}, unit(box, 2))[trailers]
    return Paint(out.cover, out.tone, np.where(stacked | trailers, box, s.key), out.shade)


def greenhouses(s: Spots) -> Paint:
    """Parcels of plastic tunnels, some without cover this year."""
    out = plain(s, "soil")
    pitch = 8.4
    row = np.floor((s.b_m - 3) / pitch)
    house = hash_cells(s.key, row.astype(np.int64), np.zeros_like(s.key))
    inside = border_m(s) > 3
    bare = unit(s.key, 45) < 0.16
    tunnel = inside & ~bare & (s.b_m - 3 - row * pitch < 6.9) & (unit(house, 1) < 0.93)
    out.cover[tunnel] = CODE["vinyl"]
    out.cover[inside & bare] = choose({"vegetables": 0.6, "paddy": 0.4}, unit(s.key, 46))[inside & bare]
    # New film is clear and white, old film is dull; some crops are shaded by dark netting.
    age = 0.72 + 0.5 * unit(s.key, 47)
    out.tone[tunnel] = (age * (0.92 + 0.16 * unit(house, 2)))[tunnel]
    netted = tunnel & (unit(s.key, 48) < 0.07)
    out.cover[netted] = CODE["roof_dark"]
    return Paint(out.cover, out.tone, s.key, out.shade)


def solar(s: Spots) -> Paint:
    """Rows of dark panels over grass."""
    out = plain(s, "grass")
    pitch = 8 + 3 * unit(s.key, 49)
    panel = (border_m(s) > 7) & (s.b_m - np.floor(s.b_m / pitch) * pitch < pitch * 0.62) & (unit(s.key, 50) < 0.9)
    out.cover[panel] = CODE["panels"]
    return out


def quarry(s: Spots) -> Paint:
    """Bare rock in benches; blocks here are only the coarse outline."""
    out = plain(s, "rock")
    patch = hash_cells(s.key, np.floor(s.b_m / 20).astype(np.int64), np.floor(s.a_m / 20).astype(np.int64))
    out.tone[:] = 0.72 + 0.45 * unit(s.key, 51) + 0.12 * unit(patch, 1)
    pond = unit(s.key, 52) > 0.96
    out.cover[pond] = CODE["river"]
    return Paint(out.cover, out.tone, rehash(s.key, 53), out.shade)


def park(s: Spots) -> Paint:
    """Lawns and groves."""
    patch = hash_cells(s.key, np.floor(s.b_m / 40).astype(np.int64), np.floor(s.a_m / 40).astype(np.int64))
    out = plain(s, "grass")
    out.cover[:] = choose({"grass": 0.45, "broadleaf": 0.35, "conifer": 0.20}, unit(patch, 1))
    return Paint(out.cover, out.tone, patch, out.shade)


FABRICS: dict[str, Callable[[Spots], Paint]] = {
    "village": town,
    "barns": barns,
    "warehouse": warehouse,
    "works": factory,
    "greenhouses": greenhouses,
    "town": town,
    "apartments": apartments,
    "logistics": logistics,
    "solar": solar,
    "quarry": quarry,
    "estate": factory,
}
"""Kind of site to what stands on its built blocks; park and housing are the same everywhere."""
