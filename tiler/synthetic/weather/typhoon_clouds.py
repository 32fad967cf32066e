"""What a typhoon looks like from above: dense overcast, eye, log-spiral bands, and dry air wound in between."""

from __future__ import annotations

import numpy as np

from tiler.synthetic.noise import fractal_noise
from tiler.synthetic.weather.chance import stream
from tiler.synthetic.weather.domain import Plane
from tiler.synthetic.weather.typhoons import Storms, largest_wind_km

Array = np.ndarray

PITCH_RAD = np.radians(17.0)
"""Angle at which bands cross circles about the eye."""
BANDS = 2
OVERCAST_KM = 300.0
BANDS_KM = 620.0
SINKING_KM, SINKING = 800.0, 0.7
"""Radius about a storm at which air sinks, and by how much about a storm of intensity 1."""
REACH_KM = 1_300.0
"""From the eye; beyond, a storm's own cloud is nothing."""
FRAYED = ((320.0, 0.7), (130.0, 0.7))
"""Wavelength in km and amplitude of the noise at the edges, which turns with the storm."""
EYE_FROM = 0.55
"""Intensity from which there is an eye."""


def add_storms(storms: Storms, row: int, plane: Plane, seed: int) -> tuple[Array, Array, Array]:
    """Return what the storms of one step add.

    Args:
        storms: of all steps.
        row: which of them.
        plane: where.
        seed: of the world.

    Returns:
        float32 (y, x) depth of cloud in [0, about 2.3], float32 (y, x) in [0, 1]: how open an eye is there, and
        float32 (y, x): how much the air sinks about the storms.
    """
    x_km, y_km = plane.x_km(), plane.y_km()[:, 0]
    depth = np.zeros((len(y_km), len(x_km)), np.float32)
    eye, sinking = np.zeros_like(depth), np.zeros_like(depth)
    for slot in np.flatnonzero(storms.intensity[row] > 0):
        dx, dy = x_km - storms.x_km[row, slot], y_km - storms.y_km[row, slot]
        near_y, near_x = np.flatnonzero(np.abs(dy) < REACH_KM), np.flatnonzero(np.abs(dx) < REACH_KM)
        if len(near_y) and len(near_x):
            box = slice(near_y[0], near_y[-1] + 1), slice(near_x[0], near_x[-1] + 1)
            east, north = np.broadcast_arrays(dx[box[1]][None, :], dy[box[0]][:, None])
            intensity, size = float(storms.intensity[row, slot]), float(storms.size[row, slot])
            one, hole = cloud_cover(
                east,
                north,
                intensity=intensity,
                size=size,
                spin_rad=float(storms.spin_rad[row, slot]),
                pixel_km=plane.pixel_km,
                key=stream(seed, 60, int(storms.number[row, slot])),
            )
            depth[box], eye[box] = np.maximum(depth[box], one), np.maximum(eye[box], hole)
            ring = (np.hypot(east, north) - SINKING_KM * size) / (0.4 * SINKING_KM * size)
            sinking[box] += np.float32(SINKING * intensity) * np.exp(-(ring**2))
    return depth, eye, sinking


def cloud_cover(
    dx_km: Array, dy_km: Array, *, intensity: float, size: float, spin_rad: float, pixel_km: float, key: int
) -> tuple[Array, Array]:
    """Return how thick a storm's own cloud is, and how open its eye is.

    Args:
        dx_km: float (y, x): east of the eye.
        dy_km: north of it.
        intensity: in [0, 1].
        size: factor of all radii.
        spin_rad: by how much the bands have turned.
        pixel_km: an eye smaller than a pixel fades instead of flickering.
        key: of the noise that frays its edges.

    Returns:
        float32 (y, x) depth in [0, about 2.3], and float32 (y, x) in [0, 1].
    """
    radius = np.maximum(np.hypot(dx_km, dy_km), 1.0)
    turned_x = dx_km * np.cos(spin_rad) + dy_km * np.sin(spin_rad)
    turned_y = dy_km * np.cos(spin_rad) - dx_km * np.sin(spin_rad)
    rough = fractal_noise(key, turned_x, turned_y, FRAYED)
    overcast_km = OVERCAST_KM * size * (0.55 + 0.45 * intensity)
    edge = radius * (1 + 0.3 * rough) / overcast_km
    overcast = 1 / (1 + np.exp(np.clip((edge - 1) * 8.0, -30, 30)))
    # log spiral: the angle of a band falls with the logarithm of the radius, so bands trail behind the rotation
    phase = np.arctan2(turned_y, turned_x) + np.log(radius / 100.0) / np.tan(PITCH_RAD) / BANDS
    band = np.clip(0.35 + 0.5 * np.cos(BANDS * phase) + 0.45 * rough, 0, 1.2) ** 1.5
    fade = np.exp(-((radius / (BANDS_KM * size * (0.6 + 0.4 * intensity))) ** 2))
    thick = 2.1 + 0.25 * rough - 0.35 * radius / overcast_km
    depth = intensity**0.6 * (thick * overcast + 1.5 * band * fade * (1 - overcast))
    eye_km = 0.62 * largest_wind_km(intensity, size)
    seen = min(1.0, (2.4 * eye_km / pixel_km) ** 2) * float(np.clip((intensity - EYE_FROM) / 0.15, 0, 1))
    eye = seen * np.exp(-((radius / np.hypot(eye_km, 0.4 * pixel_km)) ** 4))
    return np.asarray(np.maximum(depth, 0), np.float32), np.asarray(eye, np.float32)
