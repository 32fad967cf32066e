"""Clouds: water and vapour that the winds carry, that grow where air rises and vanish where it sinks.

Upper fields travel with the upper wind: small-scale forcing at five scales, each forgetting at its own pace; depth of
high cloud; humidity of the upper air. Lower fields travel with the wind near the ground: forcing at two scales, and
depth of low cloud. What a typhoon adds is drawn by `typhoon_clouds.py` and left behind in the water.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiler.synthetic.weather.advection import bring, departures
from tiler.synthetic.weather.chance import stream
from tiler.synthetic.weather.domain import KM_PER_LATITUDE, STEP_HOURS, Plane, y_of
from tiler.synthetic.weather.smooth_noise import fresh_noise
from tiler.synthetic.weather.state import Flow
from tiler.synthetic.weather.surface import Surface, slopes
from tiler.synthetic.weather.typhoon_clouds import add_storms
from tiler.synthetic.weather.typhoons import Storms
from tiler.synthetic.weather.winds import Winds

Array = np.ndarray

UPPER_SCALES_KM = (1_500.0, 750.0, 375.0, 190.0, 110.0)
UPPER_MEMORY_HOURS = (36.0, 24.0, 14.0, 12.0, 12.0)
UPPER_AMPLITUDES = (0.06, 0.14, 0.42, 0.56, 0.40)
LOWER_SCALES_KM = (900.0, 200.0)
LOWER_MEMORY_HOURS = (24.0, 12.0)
LOWER_AMPLITUDES = (0.15, 0.85)
"""Little at large scales: whether a whole region is cloudy is the work of waves, front and storms, which the state
knows."""
GROW_HOURS, DECAY_HOURS, HUMIDITY_HOURS, LOW_HOURS = 2.5, 6.0, 20.0, 4.0
DEEPEST = 3.0
"""Largest depth of cloud; at 1 a cloud hides two thirds of what lies under it."""
PIECES = 6
"""Into which the way back over one step is cut."""


@dataclass(frozen=True)
class Sky:
    """What hangs over the surface at one step. float32 (y, x)."""

    high: Array
    """Depth of high and deep cloud in [0, DEEPEST]."""
    low: Array
    """Depth of low cloud in [0, DEEPEST]."""
    humid: Array
    """Humidity of the upper air in [0, 1]."""


class Clouds:
    """The fields that have a past. `step` goes on by three hours and returns what is seen."""

    def __init__(self, seed: int, plane: Plane, surface: Surface) -> None:
        self._seed, self._plane, self._surface = seed, plane, surface
        self._rise = slopes(surface.height_m, plane.pixel_km)
        side = plane.whole_px
        self._upper = np.zeros((len(UPPER_SCALES_KM) + 2, side, side), np.float32)
        self._lower = np.zeros((len(LOWER_SCALES_KM) + 1, side, side), np.float32)
        self._upper[-1] = 0.5

    def step(self, number: int, flow: Flow, storms: Storms, row: int, winds: Winds) -> Sky:
        """Go on by one step.

        Args:
            number: of the step, which noise belongs to; negative before the first frame.
            flow: the state of all steps.
            storms: likewise.
            row: of the step in them.
            winds: of the step.
        """
        pixels = np.float32(3.6 * STEP_HOURS / self._plane.pixel_km)
        self._upper = bring(self._upper, *departures(winds.upper_east * pixels, -winds.upper_north * pixels, PIECES))
        self._lower = bring(self._lower, *departures(winds.lower_east * pixels, -winds.lower_north * pixels, PIECES))
        self._stir(self._upper, 1, number, UPPER_SCALES_KM, UPPER_MEMORY_HOURS)
        self._stir(self._lower, 2, number, LOWER_SCALES_KM, LOWER_MEMORY_HOURS)
        warmth = float(flow.warmth[row])
        noise = _mixed(self._upper[: len(UPPER_SCALES_KM)], UPPER_AMPLITUDES)
        lift = self._lift(flow, row, winds, warmth)
        depth, eye, sinking = add_storms(storms, row, self._plane, self._seed)
        lift -= sinking
        self._grow(lift, noise, depth)
        self._grow_low(lift, winds, warmth)
        # an eye is open whatever was there before; a storm's own cloud is not older than the storm
        high = np.maximum(self._upper[-2], depth) * (1 - 0.92 * eye)
        return Sky(
            high=np.clip(high, 0, DEEPEST),
            low=self._lower[-1] * (1 - 0.5 * eye),
            humid=np.clip(self._upper[-1] + 0.35 * depth - 0.25 * eye, 0, 1),
        )

    def _stir(
        self, fields: Array, level: int, number: int, scales_km: tuple[float, ...], memory_hours: tuple[float, ...]
    ) -> None:
        """Let the forcing forget a little, and add as much that is new."""
        for k, (wavelength_km, hours) in enumerate(zip(scales_km, memory_hours, strict=True)):
            keep = np.float32(np.exp(-STEP_HOURS / hours))
            fresh = np.float32(np.sqrt(1 - np.exp(-2 * STEP_HOURS / hours)))
            key = stream(self._seed, 40, level, k, number)
            fields[k] = keep * fields[k] + fresh * fresh_noise(key, self._plane, wavelength_km)

    def _lift(self, flow: Flow, row: int, winds: Winds, warmth: float) -> Array:
        """Return float32 (y, x): how air rises on large scales, about -1 to 1.5."""
        x_km, y_km = self._plane.x_km(), self._plane.y_km()
        # ahead of troughs, on the warm side of the jet more than on the cold one
        near_jet = np.exp(-(((winds.jet_axis_km + 250) / 950) ** 2))
        waves = np.clip(winds.jet_north / 14.0, -1.1, 1.1) * near_jet
        # the front bends with the jet and slopes from the south-west to the north-east
        bent = 0.35 * (y_km - y_of(float(flow.jet_latitude[row])) - winds.jet_axis_km)
        from_front = y_km - y_of(float(flow.front_latitude[row])) - 0.16 * x_km - bent
        front = float(flow.front_activity[row]) * np.exp(-((from_front / 190.0) ** 2))
        # the subtropical high sinks along its ridge, stronger to the east; the tropics south of it are unstable
        from_ridge = y_km - y_of(float(flow.ridge_latitude[row]))
        high = np.exp(-((from_ridge / 500.0) ** 2)) * (0.55 + 0.2 * x_km / 2_200)
        tropics = (0.3 + 0.25 * warmth) / (1 + np.exp((from_ridge + 700.0) / (1.2 * KM_PER_LATITUDE)))
        east, north = self._rise
        slope = np.clip((winds.lower_east * east + winds.lower_north * north) / 60.0, -0.4, 0.5)
        return np.asarray(0.95 * waves + 1.5 * front - 0.65 * high + tropics + slope, np.float32)

    def _grow(self, lift: Array, noise: Array, depth: Array) -> None:
        """Bring high cloud and upper humidity nearer to what the lift makes."""
        high, humid = self._upper[-2], self._upper[-1]
        made = np.clip(1.5 * _softened(1.0 * lift + noise - 0.42, 0.2) + 0.8 * depth, 0, DEEPEST)
        rate = np.where(made > high, -np.expm1(-STEP_HOURS / GROW_HOURS), -np.expm1(-STEP_HOURS / DECAY_HOURS))
        self._upper[-2] = high + rate.astype(np.float32) * (made - high)
        moist = np.clip(0.46 + 0.34 * lift + 0.16 * self._upper[0] + 0.1 * self._upper[1], 0, 1)
        self._upper[-1] = humid + np.float32(-np.expm1(-STEP_HOURS / HUMIDITY_HOURS)) * (moist - humid)

    def _grow_low(self, lift: Array, winds: Winds, warmth: float) -> None:
        """Bring low cloud nearer to what cold air over the sea, fog and quiet highs make."""
        sea = 1 - self._surface.land
        cold_air = np.clip(-winds.lower_north / 9.0, -0.6, 1.2) * sea * (0.55 - 0.45 * warmth)
        north = np.clip((self._surface.latitude - 34) / 12, 0, 1) * sea * (0.25 + 0.35 * warmth)
        noise = _mixed(self._lower[: len(LOWER_SCALES_KM)], LOWER_AMPLITUDES)
        made = np.clip(1.3 * _softened(cold_air + north + 0.25 * lift + noise - 0.45, 0.2), 0, DEEPEST)
        low = self._lower[-1]
        self._lower[-1] = low + np.float32(-np.expm1(-STEP_HOURS / LOW_HOURS)) * (made - low)


def _mixed(fields: Array, amplitudes: tuple[float, ...]) -> Array:
    """Return the sum of fields times amplitudes, in their order."""
    total = np.zeros(fields.shape[1:], np.float32)
    for field, amplitude in zip(fields, amplitudes, strict=True):
        total += np.float32(amplitude) * field
    return total


def _softened(values: Array, width: float) -> Array:
    """Return the positive part of values, rounded off over `width` about 0."""
    scaled = values / np.float32(width)
    return np.asarray(np.float32(width) * np.logaddexp(np.float32(0), scaled), np.float32)
