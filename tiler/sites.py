"""Sites: patches that belong together, over all cells, without those that are too small and with small holes filled.

Everything here is arithmetic on the table of patches: which rows are one patch, which patches are one site, what lies
within what. Pixels are not looked at again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tiler.components import joined
from tiler.patches import OUTSIDE, PatchTable, PolygonRules

NOWHERE = -1


@dataclass(frozen=True)
class Sites:
    """The sites of a map, in the order of their first pixels; all arrays (site,) where not said."""

    kind: np.ndarray
    """uint8: the class."""
    pixels: np.ndarray
    """int64: of the class; those of filled holes are not among them."""
    area_m2: np.ndarray
    """float64, with filled holes."""
    last_row: np.ndarray
    """int64: row of its last pixels, from the map's first one."""
    means: Mapping[str, np.ndarray]
    """float64, NaN where there was no number."""
    bounds: Mapping[str, tuple[np.ndarray, np.ndarray]]
    """int64 least and most; the least exceeds the most where there was none."""
    lies_in: Mapping[str, np.ndarray]
    """Of each of `SiteLayers.lies_in`: int64 (n, 3), site, thing, pixels, each pair once, rising."""
    drawn: np.ndarray
    """int32 (row of the table,): the patch that a row is drawn as, from 1 on; 0: not at all."""
    owner: np.ndarray
    """int64 (drawn patch + 1,): its site."""

    def __len__(self) -> int:
        """Number of sites."""
        return len(self.kind)

    def lies_most_in(self, name: str) -> np.ndarray:
        """Return the thing that holds most pixels of each site, of equal ones the first: int64, `NOWHERE` for none."""
        found = np.full(len(self), NOWHERE, np.int64)
        if name in self.lies_in:
            site, thing, pixels = self.lies_in[name].T
            order = np.lexsort((thing, -pixels, site))
            leading = order[np.diff(site[order], prepend=-1) != 0]
            found[site[leading]] = thing[leading]
        return found


def sites_of(table: PatchTable, rules: PolygonRules) -> Sites:
    """Join the patches of all cells to sites."""
    rows = len(table.kind)
    alike = table.kind[table.beside[:, 0]] == table.kind[table.beside[:, 1]]
    patch = joined(rows, table.beside[alike])  # row 0 stays alone, and first
    count = int(patch.max()) + 1
    kind = np.zeros(count, np.uint8)
    kind[patch] = table.kind
    corners = patch[table.corners]
    of_class = (kind > 0) & (kind < OUTSIDE)
    group = joined(count, corners[of_class[corners[:, 0]]])
    area = np.bincount(patch, table.area_m2, count)
    groups = int(group.max()) + 1
    kept_group = np.bincount(group, np.where(of_class, area, 0), groups) >= rules.min_area_m2
    kept = kept_group[group] & of_class
    site = np.where(kept, group, -1)
    shape = np.arange(count)
    if rules.min_hole_m2 > 0:
        is_open = np.zeros(count, bool)
        np.logical_or.at(is_open, patch, table.open)
        pairs = patch[table.beside]
        site, shape = _filled(pairs[pairs[:, 0] != pairs[:, 1]], kept, site, area, is_open, rules.min_hole_m2)
    return _described(table, patch, kept, site, shape)


def _filled(
    pairs: np.ndarray, kept: np.ndarray, site: np.ndarray, area: np.ndarray, is_open: np.ndarray, limit_m2: float
) -> tuple[np.ndarray, np.ndarray]:
    """Give what lies in small holes to the site around it.

    Args:
        pairs: int64 (n, 2): patches beside each other.
        kept: bool (patch,): of a site.
        site: int64 (patch,): -1 for none.
        area: float64 (patch,), square metres.
        is_open: bool (patch,): never a part of a hole.
        limit_m2: holes from this size on stay.

    Returns:
        The site of every patch, and with which others it is one shape now, both int64 (patch,).
    """
    count = len(kept)
    loose = ~kept
    both = loose[pairs].all(axis=1)
    hole = joined(count, pairs[both])
    holes = int(hole.max()) + 1
    rim = loose[pairs[:, 0]] != loose[pairs[:, 1]]
    inner = np.where(loose[pairs[rim, 0]], pairs[rim, 0], pairs[rim, 1])
    outer = np.where(loose[pairs[rim, 0]], pairs[rim, 1], pairs[rim, 0])
    least, most = np.full(holes, count, np.int64), np.full(holes, -1, np.int64)
    np.minimum.at(least, hole[inner], site[outer])
    np.maximum.at(most, hole[inner], site[outer])
    size = np.bincount(hole, np.where(loose, area, 0), holes)
    closed = np.bincount(hole, is_open & loose, holes) == 0
    fills = (least == most) & closed & (size < limit_m2)
    fills[hole[0]] = False  # row 0 is of no patch
    filled = fills[hole] & loose
    inside = both & filled[pairs[:, 0]]
    to_rim = np.stack([inner, outer], axis=1)[filled[inner]]
    return np.where(filled, most[hole], site), joined(count, np.concatenate([pairs[inside], to_rim]))


def _described(table: PatchTable, patch: np.ndarray, kept: np.ndarray, site: np.ndarray, shape: np.ndarray) -> Sites:
    """Number the sites in the order of their first pixels, and add up what their patches say."""
    rows = np.flatnonzero(kept[patch])  # of the table
    groups, place = np.unique(site[patch[rows]], return_inverse=True)
    count = len(groups)
    first, last_row = np.full(count, 2**62, np.int64), np.full(count, -1, np.int64)
    np.minimum.at(first, place, table.first[rows])
    np.maximum.at(last_row, place, table.last_row[rows])
    order = np.argsort(first)
    number = np.empty(count, np.int64)
    number[order] = np.arange(count)
    of_row = number[place]

    kind = np.zeros(count, np.uint8)
    kind[of_row] = table.kind[rows]
    drawn_patches = np.flatnonzero(site >= 0)
    shapes, shape_place = np.unique(shape[drawn_patches], return_inverse=True)
    drawn_of_patch = np.zeros(len(kept), np.int32)
    drawn_of_patch[drawn_patches] = shape_place + 1
    owner = np.zeros(len(shapes) + 1, np.int64)
    number_of_patch = number[np.searchsorted(groups, site[drawn_patches])]
    owner[shape_place + 1] = number_of_patch
    drawn = drawn_of_patch[patch]

    area = np.bincount(owner[drawn[drawn > 0]], table.area_m2[drawn > 0], count)
    means, bounds = {}, {}
    for name, (sums, counts) in table.sums.items():
        there = np.bincount(of_row, counts[rows], count)
        total = np.bincount(of_row, sums[rows], count)
        means[name] = np.divide(total, there, out=np.full(count, np.nan), where=there > 0)
    for name, (least, most) in table.bounds.items():
        low, high = np.full(count, 2**62, np.int64), np.full(count, -(2**62), np.int64)
        np.minimum.at(low, of_row, least[rows])
        np.maximum.at(high, of_row, most[rows])
        bounds[name] = low, high
    pixels = np.bincount(of_row, table.pixels[rows], count).astype(np.int64)
    last = np.zeros(count, np.int64)
    last[number] = last_row
    site_of_row = np.full(len(table.kind), -1, np.int64)
    site_of_row[rows] = of_row
    lies_in = {name: _of_sites(site_of_row, pairs) for name, pairs in table.lies_in.items()}
    return Sites(kind, pixels, area, last, means, bounds, lies_in, drawn, owner)


def _of_sites(site_of_row: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Add up how many pixels of patches lie in things: int64 (n, 3) of site, thing, pixels."""
    site = site_of_row[pairs[:, 0]]
    there = site >= 0
    keys, place = np.unique(site[there] << 32 | pairs[there, 1], return_inverse=True)
    pixels = np.bincount(place, pairs[there, 2], len(keys)).astype(np.int64)
    return np.stack([keys >> 32, keys & 0xFFFFFFFF, pixels], axis=1)
