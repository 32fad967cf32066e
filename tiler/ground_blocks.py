"""Squares of the Earth with numbers of their own, and items of several scenes that show one place.

No map grid is needed: a number depends on longitude, latitude and the side alone, so that two runs in other grids, or
in other years, give the same ground the same number.
"""

from __future__ import annotations

import numpy as np

EARTH_RADIUS_M = 6_371_008.8
"""Of the sphere with the mean radius (IUGG)."""
COLUMNS = 2**26
"""More than columns of one metre need half around the Earth."""


def ground_blocks(lonlat: np.ndarray, side_m: float) -> np.ndarray:
    """Return the number of the square in which each place lies, int64 (n,); negative where there is no place.

    Squares lie in rows of equal latitude; each row is divided by the length of its middle parallel, so they have about
    one size from the equator to the poles (the sinusoidal projection, row by row).

    Args:
        lonlat: float64 (n, 2) degrees; NaN where an item has no place.
        side_m: of a square, at least a metre.

    Raises:
        ValueError: a side that is none.
    """
    if not side_m >= 1:
        raise ValueError(f"blocks of ground need a side of a metre or more, got {side_m:g} m; give more")
    placed = np.isfinite(lonlat).all(axis=1)
    lon, lat = np.radians(np.where(placed[:, None], lonlat, 0.0)).T
    rows = np.floor((lat + np.pi / 2) * EARTH_RADIUS_M / side_m)
    middle = (rows + 0.5) * side_m / EARTH_RADIUS_M - np.pi / 2
    around = (lon + np.pi) % (2 * np.pi)  # 180 degrees east is 180 degrees west
    cols = np.floor(around * np.cos(np.clip(middle, -np.pi / 2, np.pi / 2)) * EARTH_RADIUS_M / side_m)
    return np.where(placed, (rows * COLUMNS + cols).astype(np.int64), -1)


def on_sphere_m(lonlat: np.ndarray) -> np.ndarray:
    """Return places as metres from the middle of the Earth, float64 (n, 3): near ones are near at any longitude."""
    lon, lat = np.radians(lonlat).T
    return EARTH_RADIUS_M * np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def same_places(lonlat: np.ndarray, source: np.ndarray, tolerance_m: float) -> np.ndarray:
    """Return the place of each item, int64 (n,): the number of the first item that shows it.

    Items of the first source are places of their own; of each later source an item shows the nearest place known so
    far, if that is nearer than the tolerance, or else a new one. Windows of one grid fall together at every date; those
    of another grid, or of a scene that begins elsewhere, only where they lie near enough.

    Args:
        lonlat: float64 (n, 2) degrees of the items' middles.
        source: int (n,): whose items they are; taken in rising order.
        tolerance_m: how far apart two middles of one place may lie.
    """
    from scipy.spatial import KDTree

    at, place = on_sphere_m(lonlat), np.full(len(lonlat), -1, np.int64)
    known: np.ndarray = np.empty(0, np.int64)
    for one in np.unique(source):
        mine = np.flatnonzero(source == one)
        if len(known):
            away_m, nearest = KDTree(at[known]).query(at[mine])
            near = away_m < tolerance_m
            place[mine[near]] = known[nearest[near]]
        new = mine[place[mine] < 0]
        place[new] = new
        known = np.concatenate([known, new])
    return place
