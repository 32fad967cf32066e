"""Land, sea, mountains and the temperature of the ground.

The coast is a rough outline of East Asia by hand, roughened by noise: a geography that people recognise, not a survey.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from tiler.synthetic.noise import gradient_noise
from tiler.synthetic.weather.domain import (
    KM_PER_LATITUDE,
    KM_PER_LONGITUDE,
    MIDDLE_LATITUDE,
    MIDDLE_LONGITUDE,
    Plane,
    y_of,
)
from tiler.synthetic.weather.state import warmth_of

Array = np.ndarray

LANDS: dict[str, tuple[tuple[float, float], ...]] = {
    "mainland": (
        *((80, 75), (80, 20), (92, 22), (98, 16), (99, 8), (103, 10), (107, 10), (109, 12), (108, 16), (106, 19)),
        *((108, 21.5), (110, 21), (113.5, 22.2), (117, 23.5), (119.5, 25.5), (121.5, 28.5), (122, 30.5), (120, 34)),
        *((119.3, 35), (122.4, 37), (119, 37.4), (118, 39), (121.5, 40.8), (121.3, 38.9), (124.2, 40), (125, 38)),
        *((126.5, 37), (126.4, 34.6), (128.8, 35), (129.4, 36.8), (127.6, 39.4), (130.5, 42.4), (133, 42.8)),
        *((136, 45), (140.5, 49), (141, 52.5), (138, 54), (143, 59), (150, 59.5), (156, 61), (156, 75)),
    ),
    "honshu": (
        *((131, 34), (133, 35.5), (136, 35.8), (137, 37.3), (138.6, 37.4), (140, 39.5), (140.3, 41.2), (141.5, 41.3)),
        *((142, 39.5), (141, 38), (140.8, 36), (139.8, 35), (138.2, 34.6), (136.8, 34.4), (135.8, 33.5), (135, 34.6)),
        *((132.5, 34.2),),
    ),
    "kyushu": ((130, 33.8), (131.7, 33.6), (131.4, 31.5), (130.4, 31.1), (129.8, 32.7)),
    "shikoku": ((132.3, 33.6), (134.4, 34.2), (134.2, 33.3), (133, 32.8)),
    "hokkaido": ((140.1, 41.6), (140.4, 43.3), (141.8, 45.4), (143.5, 44), (145.3, 43.4), (143.2, 42), (141.4, 42.5)),
    "sakhalin": ((142, 46), (142.3, 52), (142.8, 54.3), (143.5, 50), (143, 46.5)),
    "taiwan": ((120.1, 23), (121.5, 25.2), (122, 25), (120.9, 22)),
    "luzon": ((120.3, 16), (120.7, 18.5), (122.2, 18.4), (121.6, 15.5), (124, 13), (120.7, 13.7)),
    "hainan": ((108.7, 19.2), (110.6, 20), (110.3, 18.6)),
    "kamchatka": ((155.8, 56), (156.8, 51), (162, 56), (162, 62)),
}
MOUNTAINS = (
    # longitude, latitude, half-widths in degrees east and north, metres
    *((96.0, 33.0, 8.0, 6.0, 4_300.0), (104.0, 27.0, 4.0, 3.0, 1_800.0), (110.0, 40.5, 7.0, 3.0, 1_200.0)),
    *((100.0, 48.0, 9.0, 3.5, 1_600.0), (120.5, 48.0, 2.5, 5.0, 900.0), (128.0, 42.0, 2.5, 1.5, 1_100.0)),
    *((128.7, 37.6, 0.6, 1.8, 800.0), (137.8, 36.0, 1.2, 1.3, 1_700.0), (120.9, 23.6, 0.6, 1.2, 2_200.0)),
    *((116.5, 27.0, 3.0, 2.0, 700.0), (138.0, 49.0, 3.0, 4.0, 900.0), (143.0, 43.3, 1.0, 0.7, 900.0)),
)
COAST_NOISE = ((350.0, 0.7), (130.0, 0.35))
"""Wavelength in km and amplitude in degrees of what bends the outline."""
CONTINENT_KM = 700.0
"""From the coast inland over which the climate becomes continental."""
CELL_KM, REACH_KM = 25.0, 3_000.0
"""Of the coarse map on which storms look up whether they are over land."""


@dataclass(frozen=True)
class Surface:
    """What lies under the clouds. All float32 (y, x)."""

    land: Array
    """Share of land in [0, 1]."""
    height_m: Array
    continental: Array
    """In [0, 1]: 0 at sea, 1 far inland."""
    latitude: Array
    longitude: Array

    @classmethod
    def of(cls, plane: Plane) -> Surface:
        """Return the surface of a plane."""
        lat, lon = np.broadcast_arrays(plane.latitudes(), plane.longitudes())
        land = land_share(lat, lon, plane.pixel_km)
        height = np.zeros(lat.shape, np.float32)
        for at_lon, at_lat, wide, high, metres in MOUNTAINS:
            height += np.float32(metres) * np.exp(-(((lon - at_lon) / wide) ** 2) - ((lat - at_lat) / high) ** 2)
        rough = 1 + 0.35 * gradient_noise(11, lon.astype(np.float64), lat.astype(np.float64), 3.0)
        return cls(
            land=land,
            height_m=(height * rough * land).astype(np.float32),
            continental=_smoothed(land, CONTINENT_KM / plane.pixel_km) * land,
            latitude=np.ascontiguousarray(lat, np.float32),
            longitude=np.ascontiguousarray(lon, np.float32),
        )


def land_share(lat: Array, lon: Array, pixel_km: float) -> Array:
    """Return float32: the share of each pixel that is land, from 3 x 3 points of it."""
    total = np.zeros(lat.shape, np.float32)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            shift = pixel_km / 3
            total += is_land(lat + down * shift / KM_PER_LATITUDE, lon + right * shift / KM_PER_LONGITUDE)
    return total / np.float32(9)


def is_land(lat: Array, lon: Array) -> Array:
    """Return bool of the shape of the degrees."""
    lat, lon = np.asarray(lat, np.float64), np.asarray(lon, np.float64)
    x_km, y_km = (lon - MIDDLE_LONGITUDE) * KM_PER_LONGITUDE, (lat - MIDDLE_LATITUDE) * KM_PER_LATITUDE
    bent_lat, bent_lon = lat.copy(), lon.copy()
    for number, (wavelength_km, degrees) in enumerate(COAST_NOISE):
        bent_lat += degrees * gradient_noise(101 + number, x_km, y_km, wavelength_km)
        bent_lon += degrees * gradient_noise(201 + number, x_km, y_km, wavelength_km)
    inside = np.zeros(lat.shape, bool)
    for outline in LANDS.values():
        inside |= _inside(bent_lat, bent_lon, outline)
    return inside


def _inside(lat: Array, lon: Array, outline: tuple[tuple[float, float], ...]) -> Array:
    """Return whether points lie in a polygon, by the parity of the edges that a ray to the east crosses."""
    odd = np.zeros(lat.shape, bool)
    for (lon_a, lat_a), (lon_b, lat_b) in zip(outline, (*outline[1:], outline[0]), strict=True):
        if lat_a != lat_b:
            crosses = (lat_a > lat) != (lat_b > lat)
            odd ^= crosses & (lon < lon_a + (lat - lat_a) * (lon_b - lon_a) / (lat_b - lat_a))
    return odd


def _smoothed(field: Array, radius_px: float) -> Array:
    """Return the mean over a square of about `radius_px` on each side, twice, with edges repeated."""
    reach = max(1, round(radius_px / 2))
    for axis in (0, 1, 0, 1):
        padding = [(reach + 1, reach) if a == axis else (0, 0) for a in (0, 1)]
        sums = np.cumsum(np.pad(field.astype(np.float64), padding, mode="edge"), axis=axis)
        upper, lower = (
            np.take(sums, range(2 * reach + 1, sums.shape[axis]), axis),
            np.take(sums, range(sums.shape[axis] - 2 * reach - 1), axis),
        )
        field = (upper - lower) / (2 * reach + 1)
    return field.astype(np.float32)


def solar_zenith_cosine(season_rad: float, hour_utc: float, latitude: Array, longitude: Array) -> Array:
    """Return float32: the cosine of the sun's zenith angle, negative at night.

    Declination by Cooper (1969, Solar Energy 12:333); local solar time from the longitude alone.
    """
    declination = np.radians(23.45) * np.sin(season_rad - 2 * np.pi * 81 / 365.25)
    hour_angle = np.radians((hour_utc - 12.0) * 15.0 + longitude)
    lat = np.radians(latitude)
    found = np.sin(lat) * np.sin(declination) + np.cos(lat) * np.cos(declination) * np.cos(hour_angle)
    return np.asarray(found, np.float32)


def ground_temperature(surface: Surface, season_rad: float, hour_utc: float) -> Array:
    """Return float32 kelvin (y, x) of the ground under a clear sky.

    Sea: by latitude, its year six weeks late and small. Land: by latitude and height, with a year and a day that grow
    inland.
    """
    lat = surface.latitude
    late = float(warmth_of(np.array(season_rad - 2 * np.pi * 42 / 365.25)))
    sea = np.minimum(303.0, 310.5 - 0.72 * lat) + 5.5 * late * np.clip((lat - 12) / 25, 0, 1.2)
    now = float(warmth_of(np.array(season_rad)))
    year = (3.0 + 0.33 * np.clip(lat - 15, 0, None)) * (0.55 + 0.6 * surface.continental)
    local = hour_utc + surface.longitude / 15.0
    day = (3.0 + 6.0 * surface.continental) * np.cos(2 * np.pi * (local - 14.0) / 24.0)
    land = 311.0 - 0.72 * lat + year * now + day - 0.0062 * surface.height_m
    return np.asarray(sea + surface.land * (land - sea), np.float32)


def slopes(height_m: Array, pixel_km: float) -> tuple[Array, Array]:
    """Return float32 (east, north): how heights rise, metres a kilometre."""
    down, right = np.gradient(height_m, pixel_km)
    return np.asarray(right, np.float32), np.asarray(-down, np.float32)


def is_land_at(x_km: float, y_km: float) -> bool:
    """Whether a point of the map is land, to the nearest `CELL_KM`; beyond the map counts as its edge."""
    cells = _land_cells()
    row, col = (min(max(int((v + REACH_KM) / CELL_KM), 0), len(cells) - 1) for v in (y_km, x_km))
    return bool(cells[row, col])


@functools.cache
def _land_cells() -> Array:
    """Return bool (cell to the north, cell to the east): one point at a time would cost a thousand times as much."""
    middles = np.arange(-REACH_KM, REACH_KM, CELL_KM) + CELL_KM / 2
    lat = MIDDLE_LATITUDE + middles[:, None] / KM_PER_LATITUDE
    lon = MIDDLE_LONGITUDE + middles[None, :] / KM_PER_LONGITUDE
    return is_land(*np.broadcast_arrays(lat, lon))


WARM_SEA_KM = y_of(32.0)
"""North of it the sea is too cool to feed a typhoon."""
