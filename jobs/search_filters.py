"""Which items a search may find: filters and exclusions, as masks over the items of one embedding store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tiler.embedding_items import WHOLE
from tiler.embedding_store import EmbeddingStore

EARTH_KM = 6371.0088
"""Mean radius (IUGG): distances are those on a sphere, within 0.6 % of those on the ellipsoid."""
PARTS = ("all", "whole", "quadrants")


@dataclass(frozen=True)
class Filters:
    """What is asked for."""

    bbox: tuple[float, float, float, float] | None = None
    """West, south, east, north in degrees; across the antimeridian where west > east. Middles of items count."""
    first: np.datetime64 | None = None
    """UTC; None: from the beginning."""
    last: np.datetime64 | None = None
    """UTC, included; None: to the end."""
    sensors: tuple[str, ...] = ()
    """Names; empty: any."""
    missing_limit: float | None = None
    parts: str = "all"
    """One of `PARTS`: which items of windows that have quadrants."""
    exclude_hours: float = 0.0
    """Items so near in time to an example, or nearer, are not found; 0: all may be."""
    exclude_km: float = 0.0
    """Items whose middles are so near to that of an example, or nearer; 0: all may be."""


@dataclass(frozen=True)
class Examples:
    """What the filters have to know of the examples of a search."""

    own: frozenset[int] = frozenset()
    """Ids of their items: they are never found themselves."""
    times: tuple[np.datetime64, ...] = ()
    places: tuple[tuple[float, float], ...] = ()
    """Longitude and latitude."""


@dataclass
class Allowed:
    """Which items of a span may be found."""

    mask: np.ndarray
    """bool (n,)."""
    counted: int
    """Rows from the first that are counted: the others belong to the next span as well."""
    removed: dict[str, int] = field(default_factory=dict)
    """Name of a filter to how many items it took away that those before it had left."""

    def keep(self, name: str, good: np.ndarray) -> None:
        """Take away what is not good."""
        self.removed[name] = self.removed.get(name, 0) + int(np.count_nonzero((self.mask & ~good)[: self.counted]))
        self.mask &= good


class Places:
    """Times and places of the items of a store, found out once."""

    def __init__(self, store: EmbeddingStore) -> None:
        self.store = store
        self.times = store.times
        count = len(store)
        self.centres = None if store.items is None else store.items.centres(np.arange(count))
        """float64 (n, 2) of a scene: longitude and latitude."""


def allowed(
    places: Places,
    span: tuple[int, int],
    base: int,
    norm: np.ndarray,
    missing: np.ndarray,
    filters: Filters,
    examples: Examples,
    counted: int | None = None,
) -> Allowed:
    """Return which items of a span of a store may be found.

    Args:
        places: of the store.
        span: items `[first, last)`.
        base: id of the store's first item.
        norm: float32 (last - first,).
        missing: float32 (last - first,): missing ratios.
        filters: what is asked for.
        examples: of the search.
        counted: items from the first whose removal is counted; None: all.
    """
    first, last = span
    store, here, times = places.store, slice(first, last), places.times[first:last]
    found = Allowed(np.ones(last - first, bool), last - first if counted is None else counted)
    found.keep("no vector (saw too little)", norm > 0)
    if filters.sensors:
        found.keep("--sensor", np.full(last - first, store.what.sensor in filters.sensors))
    if filters.bbox is not None:
        found.keep("--bbox", _inside(places.centres, here, filters.bbox, last - first))
    if filters.first is not None or filters.last is not None:
        good = ~np.isnat(times)
        good &= True if filters.first is None else times >= filters.first
        good &= True if filters.last is None else times <= filters.last
        found.keep("--dates", good)
    if filters.missing_limit is not None:
        found.keep("--missing-limit", missing <= np.float32(filters.missing_limit))
    if filters.parts != "all" and store.items is not None and store.items.parts > WHOLE:
        whole = np.arange(first, last) % store.items.parts == 0
        found.keep("--parts", whole if filters.parts == "whole" else ~whole)
    own = np.array(sorted(one - base for one in examples.own if first <= one - base < last), np.int64)
    mine = np.ones(last - first, bool)
    mine[own - first] = False
    found.keep("the examples themselves", mine)
    if filters.exclude_hours > 0 and examples.times:
        found.keep("--exclude-hours", _far_in_time(times, examples.times, filters.exclude_hours))
    if filters.exclude_km > 0 and examples.places and places.centres is not None:
        found.keep("--exclude-km", _far_away(places.centres[here], examples.places, filters.exclude_km))
    return found


def _inside(centres: np.ndarray | None, here: slice, bbox: tuple[float, float, float, float], count: int) -> np.ndarray:
    if centres is None:  # frames have no place of their own
        return np.zeros(count, bool)
    west, south, east, north = bbox
    lon, lat = centres[here].T
    along = (lon >= west) & (lon <= east) if west <= east else (lon >= west) | (lon <= east)
    return np.asarray(along & (lat >= south) & (lat <= north))


def _far_in_time(times: np.ndarray, near: tuple[np.datetime64, ...], hours: float) -> np.ndarray:
    limit = np.timedelta64(round(hours * 3600), "s")
    good = np.ones(len(times), bool)
    for moment in near:
        good &= np.isnat(times) | (np.abs(times - moment) > limit)
    return good


def _far_away(centres: np.ndarray, near: tuple[tuple[float, float], ...], limit_km: float) -> np.ndarray:
    good = np.ones(len(centres), bool)
    for lon, lat in near:
        good &= distance_km(centres[:, 0], centres[:, 1], lon, lat) > limit_km
    return good


def distance_km(lon: np.ndarray, lat: np.ndarray, to_lon: float, to_lat: float) -> np.ndarray:
    """Return great-circle distances in km (haversine formula; Sinnott 1984, Sky and Telescope 68, 159)."""
    a, b, c, d = (np.radians(v) for v in (lon, lat, to_lon, to_lat))
    half = np.sin((d - b) / 2) ** 2 + np.cos(b) * np.cos(d) * np.sin((c - a) / 2) ** 2
    return np.asarray(2 * EARTH_KM * np.arcsin(np.sqrt(np.clip(half, 0, 1))))


def parse_dates(text: str) -> tuple[np.datetime64 | None, np.datetime64 | None]:
    """Return first and last moment of `A:B` or `A/B`; either may be empty, and a day includes all of it.

    Raises:
        ValueError: not of this form, or the wrong way round.
    """
    first, mark, last = text.partition("/" if "/" in text else ":")
    if not mark or not (first or last):
        raise ValueError(f"--dates {text!r}: give 2019-06-01:2019-08-31, or 2019-06-01T03:00/2019-06-02T21:00")
    begin, end = (_moment(one, "--dates") if one else None for one in (first, last))
    if end is not None and len(last) <= 10:
        end = end + np.timedelta64(1, "D").astype("timedelta64[s]") - np.timedelta64(1, "s")
    if begin is not None and end is not None and begin > end:
        raise ValueError(f"--dates {text!r}: {first} is later than {last}; turn them round")
    return begin, end


def _moment(text: str, what: str) -> np.datetime64:
    try:
        found = np.datetime64(text.removesuffix("Z"), "s")
    except ValueError as error:
        raise ValueError(f"{what}: {text!r} is no time; give 2019-08-03 or 2019-08-03T02:00 (UTC)") from error
    if np.isnat(found):
        raise ValueError(f"{what}: {text!r} is no time; give 2019-08-03 or 2019-08-03T02:00 (UTC)")
    return found


def parse_moment(text: str, what: str = "--time") -> np.datetime64:
    """Return a time in UTC, datetime64[s].

    Raises:
        ValueError: it is none.
    """
    return _moment(text, what)


def parse_bbox(text: str) -> tuple[float, float, float, float]:
    """Return west, south, east, north of `W,S,E,N`.

    Raises:
        ValueError: not four numbers, or not on the Earth.
    """
    try:
        west, south, east, north = (float(one) for one in text.split(","))
    except ValueError as error:
        raise ValueError(f"--bbox {text!r}: give west,south,east,north in degrees: 126.5,34,129.7,38.6") from error
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south < north <= 90):
        raise ValueError(f"--bbox {text!r}: longitudes lie in -180..180, south is below north, in -90..90")
    return west, south, east, north


def told(removed: Mapping[str, int], total: int) -> str:
    """Return which filter took away how many of all items."""
    parts = [f"{name}: {count}" for name, count in removed.items() if count]
    return f"of {total} items " + (", ".join(parts) + " were taken away" if parts else "none was taken away")
