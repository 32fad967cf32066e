"""Typhoons: when they are born, where they go, how strong they are, and their wind.

Births are a Poisson process whose rate peaks in late August. A storm is carried by the large flow about it: trades
south of the subtropical high, westerlies beyond its ridge, and beta drift to the north-west everywhere (Holland 1983,
J. Atmos. Sci. 40:328), so tracks recurve by themselves. Three storms at most live at once; a birth that finds no place
is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiler.synthetic.weather.chance import normals, stream, units
from tiler.synthetic.weather.domain import STEP_HOURS, VIEW_KM, latitude_of, y_of
from tiler.synthetic.weather.state import Flow
from tiler.synthetic.weather.surface import WARM_SEA_KM, is_land_at

Array = np.ndarray

SLOTS = 3
BIRTHS_PER_DAY = 0.17
"""At the peak of the season."""
PEAK_DAY, SEASON_DAYS = 234.0, 38.0
BIRTH_PLACE = ((-300.0, 2_400.0), (12.0, 19.5))
"""Kilometres east of the middle, and degrees north."""
BETA_DRIFT_M_S = (-1.3, 1.7)
"""To the east and north."""
KM_PER_STEP = 3.6 * STEP_HOURS
"""Of 1 m/s."""
LIMIT_KM = VIEW_KM * 0.66
"""Beyond this from the middle, in either direction, a storm is forgotten."""
FAINTEST = 0.1
WIND_M_S = 52.0
"""Of a storm of intensity 1, at its radius of largest wind."""
RANKINE_DECAY = 0.55
OUTER_KM = 750.0


@dataclass(frozen=True)
class Storms:
    """All storms of a sequence, in slots. float64 (step, slot); without a storm, intensity is 0 and the rest NaN."""

    x_km: Array
    y_km: Array
    intensity: Array
    """In [0, 1]."""
    size: Array
    """Factor of all radii, about 1."""
    spin_rad: Array
    """By how much the spiral bands have turned."""
    number: Array
    """Which storm, counted from 0 in order of birth."""


def birth_rate(season_rad: Array) -> Array:
    """Return births a day."""
    day = np.asarray(season_rad) * 365.25 / (2 * np.pi)
    return BIRTHS_PER_DAY * np.exp(-(((day - PEAK_DAY) / SEASON_DAYS) ** 2) / 2) + 0.004


def storms_of(seed: int, flow: Flow) -> Storms:
    """Return the storms of a sequence of steps."""
    steps = np.arange(len(flow))
    chance = -np.expm1(-birth_rate(flow.season_rad) * STEP_HOURS / 24.0)
    born = units(stream(seed, 20), steps, 1)[:, 0] < chance
    draws, wander = units(stream(seed, 21), steps, 6), normals(stream(seed, 22), steps, 2 * SLOTS)
    found = {name: np.full((len(flow), SLOTS), np.nan) for name in ("x", "y", "size", "spin", "number")}
    strength = np.zeros((len(flow), SLOTS))
    living: list[_Storm | None] = [None] * SLOTS
    count = 0
    for step in range(len(flow)):
        for slot, storm in enumerate(living):
            if storm is not None and not storm.move(flow, step, wander[step, 2 * slot : 2 * slot + 2]):
                living[slot] = None
        if born[step] and None in living:
            living[living.index(None)] = _Storm.born(count, draws[step])
            count += 1
        for slot, storm in enumerate(living):
            if storm is not None:
                strength[step, slot] = storm.intensity
                for name, value in (("x", storm.x_km), ("y", storm.y_km), ("size", storm.size)):
                    found[name][step, slot] = value
                found["spin"][step, slot], found["number"][step, slot] = storm.spin_rad, storm.number
    return Storms(found["x"], found["y"], strength, found["size"], found["spin"], found["number"])


@dataclass
class _Storm:
    """One storm on its way."""

    number: int
    x_km: float
    y_km: float
    intensity: float
    potential: float
    size: float
    spin_rad: float
    gust: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def born(cls, number: int, draws: Array) -> _Storm:
        """Return a weak storm at a place of low latitude."""
        (west, east), (south, north) = BIRTH_PLACE
        x_km = west + (east - west) * float(draws[0])
        y_km = y_of(south + (north - south) * float(draws[1]))
        potential = 0.45 + 0.55 * float(draws[2])
        return cls(number, x_km, y_km, 0.15, potential, 0.8 + 0.5 * float(draws[3]), 2 * np.pi * float(draws[4]))

    def move(self, flow: Flow, step: int, noise: Array) -> bool:
        """Go on by one step; return whether the storm still is one."""
        keep = float(np.exp(-STEP_HOURS / 48.0))
        fresh = float(np.sqrt(1 - keep**2)) * 1.8
        self.gust = (keep * self.gust[0] + fresh * float(noise[0]), keep * self.gust[1] + fresh * float(noise[1]))
        east, north = steering(flow, step, self.y_km)
        self.x_km += (east + BETA_DRIFT_M_S[0] + self.gust[0]) * KM_PER_STEP
        self.y_km += (north + BETA_DRIFT_M_S[1] + self.gust[1]) * KM_PER_STEP
        days = STEP_HOURS / 24.0
        if is_land_at(self.x_km, self.y_km):
            self.intensity *= float(np.exp(-days / 0.7))
        elif self.y_km > WARM_SEA_KM:
            self.intensity *= float(np.exp(-days / 2.2))
        else:
            self.intensity += days * 1.1 * self.intensity * (1 - self.intensity / self.potential)
        self.spin_rad += 2 * np.pi * days * (0.6 + 0.8 * self.intensity)
        inside = max(abs(self.x_km), abs(self.y_km)) < LIMIT_KM
        return bool(inside and self.intensity > FAINTEST)


def steering(flow: Flow, step: int, y_km: float) -> tuple[float, float]:
    """Return m/s to the east and north: trades south of the ridge, westerlies toward the jet."""
    latitude = float(latitude_of(np.array(y_km)))
    ridge, jet = float(flow.ridge_latitude[step]), float(flow.jet_latitude[step])
    toward = np.clip((latitude - ridge) / max(jet - ridge, 4.0), 0, 1.2)
    south = np.clip((ridge - latitude) / 6.0, 0, 1)
    east = -4.2 * south + 0.42 * float(flow.jet_m_s[step]) * toward**1.3
    return float(east), float(0.8 + 3.2 * toward)


def largest_wind_km(intensity: float, size: float) -> float:
    """Return the radius of the largest wind: tight in strong storms."""
    return (95.0 - 40.0 * intensity) * size


def tangential_wind(radius_km: Array, intensity: float, size: float) -> Array:
    """Return m/s, anticlockwise, by radius: a modified Rankine vortex (Depperman 1947) that fades outside.

    Solid rotation within the radius of largest wind, r**-`RANKINE_DECAY` beyond, times exp(-(r / outer)^2) so that it
    ends.
    """
    inner = largest_wind_km(intensity, size)
    ratio = np.maximum(radius_km, 1e-3) / inner
    shape = np.where(ratio < 1, ratio, ratio**-RANKINE_DECAY)
    return WIND_M_S * intensity * shape * np.exp(-((radius_km / (OUTER_KM * size)) ** 2))


def vortex_stream(radius_km: Array, intensity: float, size: float) -> Array:
    """Return the stream function, m/s times km, whose slope along the radius is `tangential_wind`; 0 far outside."""
    nodes = np.linspace(0.0, 3.0 * OUTER_KM * size, 600)
    wind = tangential_wind(nodes, intensity, size)
    total = np.concatenate([[0.0], np.cumsum((wind[1:] + wind[:-1]) / 2 * np.diff(nodes))])
    return np.interp(radius_km, nodes, total - total[-1])
