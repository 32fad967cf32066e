"""Land covers and what a satellite sees of them: one table, and the arithmetic from cover to reflectance.

Reflectances are red, green, blue, near infrared, 0 to 1. The means of many covers lie close together, and each parcel
and each building is drawn around them: no pixel tells by its colour alone whether a factory stands on it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date

import numpy as np

from tiler.synthetic.noise import Array, bell, rehash, unit

BANDS = ("red", "green", "blue", "nir")

# Share of the way from "bare or dry" to "green" at the middle of each month, January first.
SEASONS: dict[str, tuple[float, ...]] = {
    "none": (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    "evergreen": (0.5, 0.5, 0.6, 0.7, 0.9, 1, 1, 1, 0.9, 0.8, 0.6, 0.5),
    "deciduous": (0, 0, 0.05, 0.4, 0.95, 1, 1, 1, 0.9, 0.5, 0.1, 0),
    "paddy": (0.05, 0.05, 0.1, 0.1, 0.1, 0.35, 0.85, 1, 0.8, 0.25, 0.05, 0.05),
    "winter": (0.35, 0.4, 0.65, 0.95, 0.9, 0.2, 0.1, 0.3, 0.35, 0.2, 0.25, 0.3),
    "summer": (0, 0, 0.05, 0.15, 0.4, 0.75, 0.95, 1, 0.75, 0.3, 0.1, 0),
    "grass": (0.1, 0.1, 0.2, 0.5, 0.8, 0.95, 1, 1, 0.8, 0.5, 0.2, 0.1),
}


@dataclass(frozen=True)
class Cover:
    """One land cover."""

    dry: tuple[float, float, float, float]
    """Reflectance without green leaves."""
    green: tuple[float, float, float, float] | None = None
    """Reflectance in full leaf; None where nothing grows."""
    season: str = "none"
    """A key of `SEASONS`."""
    spread: float = 0.15
    """Standard deviation of the brightness between parcels or buildings, as a share of the mean."""
    hue: float = 0.05
    """Standard deviation of each band beside that."""
    grain: float = 0.05
    """Standard deviation between neighbouring pixels of one parcel."""


COVERS: dict[str, Cover] = {
    "sea": Cover((0.030, 0.045, 0.050, 0.015), spread=0.05, hue=0.02, grain=0.03),
    "river": Cover((0.050, 0.062, 0.055, 0.030), spread=0.10, hue=0.05, grain=0.03),
    "mudflat": Cover((0.125, 0.115, 0.095, 0.140), spread=0.06, grain=0.04),
    "conifer": Cover((0.042, 0.054, 0.033, 0.20), (0.030, 0.047, 0.027, 0.27), "evergreen", 0.10, 0.06, 0.09),
    "broadleaf": Cover((0.085, 0.077, 0.055, 0.165), (0.030, 0.058, 0.027, 0.39), "deciduous", 0.10, 0.06, 0.10),
    "paddy": Cover((0.145, 0.128, 0.105, 0.185), (0.042, 0.075, 0.040, 0.42), "paddy", 0.12, 0.06, 0.03),
    "flooded": Cover((0.070, 0.078, 0.064, 0.085), spread=0.18, hue=0.05, grain=0.03),
    "barley": Cover((0.180, 0.152, 0.120, 0.235), (0.045, 0.080, 0.042, 0.43), "winter", 0.18, 0.07, 0.04),
    "vegetables": Cover((0.190, 0.163, 0.132, 0.240), (0.055, 0.090, 0.048, 0.41), "summer", 0.20, 0.08, 0.06),
    "orchard": Cover((0.130, 0.115, 0.080, 0.210), (0.050, 0.075, 0.040, 0.36), "deciduous", 0.14, 0.06, 0.10),
    "grass": Cover((0.160, 0.138, 0.100, 0.240), (0.062, 0.092, 0.052, 0.35), "grass", 0.16, 0.06, 0.06),
    "soil": Cover((0.225, 0.198, 0.165, 0.275), spread=0.22, hue=0.07, grain=0.06),
    "mulch": Cover((0.235, 0.228, 0.215, 0.270), (0.120, 0.150, 0.105, 0.370), "summer", 0.22, 0.05, 0.05),
    "asphalt": Cover((0.105, 0.104, 0.102, 0.125), spread=0.22, hue=0.03, grain=0.07),
    "concrete": Cover((0.215, 0.209, 0.196, 0.245), spread=0.22, hue=0.04, grain=0.07),
    "roof_white": Cover((0.325, 0.327, 0.323, 0.342), spread=0.24, hue=0.04, grain=0.03),
    "roof_grey": Cover((0.235, 0.236, 0.238, 0.255), spread=0.28, hue=0.05, grain=0.04),
    "roof_blue": Cover((0.140, 0.180, 0.240, 0.245), spread=0.24, hue=0.09, grain=0.04),
    "roof_green": Cover((0.140, 0.205, 0.165, 0.255), spread=0.24, hue=0.08, grain=0.04),
    "roof_rust": Cover((0.205, 0.135, 0.105, 0.245), spread=0.24, hue=0.08, grain=0.05),
    "roof_dark": Cover((0.100, 0.098, 0.100, 0.125), spread=0.25, hue=0.05, grain=0.05),
    "vinyl": Cover((0.340, 0.335, 0.315, 0.400), (0.255, 0.280, 0.235, 0.410), "winter", 0.24, 0.05, 0.05),
    "panels": Cover((0.065, 0.072, 0.098, 0.170), spread=0.14, hue=0.06, grain=0.04),
    "rock": Cover((0.300, 0.280, 0.245, 0.335), spread=0.12, hue=0.05, grain=0.07),
    "pitch": Cover((0.230, 0.170, 0.125, 0.290), spread=0.15, hue=0.06, grain=0.03),
}

CODE: dict[str, int] = {name: code for code, name in enumerate(COVERS)}
"""Number of a cover in arrays of covers (uint8)."""

SNOW = (0.78, 0.80, 0.82, 0.70)
FLOOD_DAYS = (125, 172)
"""Days of the year between which paddies stand under water."""
SHADOW_LIGHT = (0.30, 0.36, 0.45, 0.26)
"""Share of the light that is left in a shadow: the blue sky lights it."""

_DRY = np.array([c.dry for c in COVERS.values()], np.float32)
_GAIN = np.array([np.subtract(c.green or c.dry, c.dry) for c in COVERS.values()], np.float32)
_SPREAD, _HUE, _GRAIN = (
    np.array([getattr(c, n) for c in COVERS.values()], np.float32) for n in ("spread", "hue", "grain")
)


@dataclass(frozen=True)
class Sun:
    """Where the sun stands."""

    to_east: float
    """East part of the horizontal unit vector that points to the sun."""
    to_north: float
    """North part of it."""
    elevation_rad: float
    """Height above the horizon."""

    @property
    def shadow_per_m(self) -> float:
        """Length of the shadow of one metre of height, metres."""
        return 1.0 / math.tan(self.elevation_rad)


def sun_at(day: date, latitude_deg: float = 36.5, hour: float = 11.0) -> Sun:
    """Return the sun's place at a solar hour (both satellites pass in the late morning)."""
    declination = math.radians(-23.44) * math.cos(2 * math.pi * (day.timetuple().tm_yday + 10) / 365.25)
    latitude, angle = math.radians(latitude_deg), math.radians(15 * (hour - 12))
    up = math.sin(latitude) * math.sin(declination) + math.cos(latitude) * math.cos(declination) * math.cos(angle)
    east = -math.cos(declination) * math.sin(angle)
    north = math.cos(latitude) * math.sin(declination) - math.sin(latitude) * math.cos(declination) * math.cos(angle)
    flat = math.hypot(east, north)
    return Sun(east / flat, north / flat, math.asin(up))


def green_share(day: date) -> Array:
    """Return how green each cover is on a day, float32 (cover), between the months' middles by straight lines."""
    place = (day.timetuple().tm_yday - 15.5) / 30.4375
    month, part = math.floor(place), place - math.floor(place)
    curves = np.array([SEASONS[c.season] for c in COVERS.values()], np.float32)
    return (curves[:, month % 12] * (1 - part) + curves[:, (month + 1) % 12] * part).astype(np.float32)


def reflectance(cover: Array, tone: Array, keys: Array, grains: Array, day: date) -> Array:
    """Return what is reflected in each band before light and air are counted.

    Args:
        cover: uint8 codes, any shape.
        tone: float32 factor of the brightness beside what the table draws (1 is plain).
        keys: uint32, one for each parcel or building: all its pixels draw the same variation.
        grains: float32 of mean 0 and deviation 1, another one for each pixel.
        day: date of the season.

    Returns:
        float32 (band, *shape).
    """
    cover = flooded(cover, keys, day)
    # Parcels of one crop are weeks apart: each takes its own share of the season's way.
    share = green_share(day)[cover] * (np.float32(1) + np.float32(0.14) * bell(keys, 11))
    np.clip(share, 0, 1, out=share)
    light = np.float32(1) + _SPREAD[cover] * bell(keys, 12) + _GRAIN[cover] * grains
    np.clip(light, 0.35, 1.9, out=light)
    light *= tone
    hue, hues = _HUE[cover], rehash(keys, 13)
    out = np.empty((len(BANDS), *cover.shape), np.float32)
    for band in range(len(BANDS)):
        byte = ((hues >> np.uint32(8 * band)) & np.uint32(255)).astype(np.float32)
        colour = np.float32(1) + hue * (byte - np.float32(127.5)) * np.float32(1 / 74)
        out[band] = (_DRY[:, band][cover] + _GAIN[:, band][cover] * share) * light * colour
    return out


def flooded(cover: Array, keys: Array, day: date) -> Array:
    """Return the covers with most paddies under water in the weeks of planting."""
    first, last = FLOOD_DAYS
    now = day.timetuple().tm_yday
    if not first <= now <= last:
        return cover
    paddies = cover == CODE["paddy"]
    start = unit(keys[paddies], 14) * np.float32(25)
    wet = (now > first + start) & (now < last - 20 + start)
    out = cover.copy()
    out[paddies] = np.where(wet, CODE["flooded"], CODE["paddy"]).astype(np.uint8)
    return out
