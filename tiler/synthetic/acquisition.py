"""One pass of a satellite: its day, its clouds, its swath, its dropouts; and how light becomes digital numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from statistics import NormalDist

import numpy as np

from tiler.synthetic.canvas import Patch
from tiler.synthetic.noise import Array, fractal_noise, hash_cells, key_of, smooth_step, unit
from tiler.synthetic.spectra import SHADOW_LIGHT, SNOW, Sun, sun_at

CLOUD_OCTAVES = ((26_000.0, 0.55), (9_000.0, 0.45), (3_400.0, 0.32), (1_300.0, 0.20), (520.0, 0.12))
CLOUD_DEVIATION = 0.230
"""Standard deviation of the sum of these octaves, measured."""
CLOUD_HEIGHT_M = 1_500.0
CLOUD_LIGHT = (0.72, 0.73, 0.75, 0.70)
CLEAR, CLOUD, SHADOW = 0, 1, 2
"""Codes of the cloud mask."""
DROPOUT_M = 1_500.0
"""Side of the cells of the world in which data may be lost."""


@dataclass(frozen=True)
class Response:
    """How a sensor turns light into numbers."""

    pixel: int
    """Pixels of the 10 m ground along one of its pixels."""
    blur: tuple[float, ...]
    """Half of its point-spread function: weights at 0, 1, 2... ground pixels from the middle."""
    gain: float
    """Digital numbers for a reflectance of 1."""
    noise: float
    """Standard deviation of the sensor's noise, in reflectance."""
    haze: float
    """Largest reflectance of clear air in blue."""


def _gauss(width_px: float, reach: int) -> tuple[float, ...]:
    """Return half of a Gauss curve of unit sum; `width_px` is its width at half height."""
    weights = [math.exp(-4 * math.log(2) * (k / width_px) ** 2) for k in range(reach + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    return tuple(w / total for w in weights)


RESPONSES: dict[str, Response] = {
    "SN10": Response(1, _gauss(1.1, 2), 10_000, 0.0022, 0.020),
    "LS30": Response(3, _gauss(3.0, 4), 1 / 2.75e-5, 0.0035, 0.028),
}


@dataclass(frozen=True)
class Acquisition:
    """What one scene was taken with and under."""

    sensor: str
    """A key of `RESPONSES`."""
    day: date
    """Two scenes of one day and sensor see the same clouds."""
    clouds: float = 0.0
    """Share of the sky, 0 to 0.95, on the average over a large country."""
    missing: float = 0.0
    """Share of pixels lost in dropouts, on the average."""
    edge: float = 0.0
    """Share of the scene's width beyond the border of the swath."""
    snow: float = 0.0
    """Share of the open ground under snow."""

    def __post_init__(self) -> None:
        if self.sensor not in RESPONSES:
            raise ValueError(f"sensor {self.sensor!r} cannot be imitated; known are {sorted(RESPONSES)}")
        for name, high in (("clouds", 0.95), ("missing", 0.95), ("edge", 0.95), ("snow", 1.0)):
            if not 0 <= getattr(self, name) <= high:
                raise ValueError(f"{name} of a scene must lie within 0 and {high}, got {getattr(self, name)}")

    @property
    def response(self) -> Response:
        """Its sensor."""
        return RESPONSES[self.sensor]

    @property
    def sun(self) -> Sun:
        """The sun above it."""
        return sun_at(self.day)

    def key(self, seed: int) -> int:
        """The seed of its weather and noise."""
        return key_of(seed, 70, self.day.toordinal(), self.response.pixel)


def add_snow(seen: Array, patch: Patch, share: float, seed: int) -> None:
    """Cover part of the ground with snow, in place; patches of it, not a veil."""
    if share <= 0:
        return
    nodes = patch.nodes
    field = fractal_noise(key_of(seed, 71), nodes.x_m, nodes.y_m, ((3_000.0, 0.5), (700.0, 0.4), (200.0, 0.4)))
    level = 0.22 * NormalDist().inv_cdf(min(max(1 - share, 1e-3), 1 - 1e-3))
    depth = patch.spread(0.85 * smooth_step(level - 0.25, level + 0.25, field))
    for band, white in enumerate(SNOW):
        lies = depth * (seen[band] > 0.02 if band == 3 else 1)
        seen[band] += (np.float32(white) - seen[band]) * lies


def add_air(seen: Array, patch: Patch, how: Acquisition, seed: int) -> Array:
    """Lay haze, clouds and their shadows over the ground, in place; return the cloud mask, uint8 (y, x)."""
    key, nodes = how.key(seed), patch.nodes
    haze = patch.spread(
        np.float32(0.5) + np.float32(0.6) * fractal_noise(key_of(key, 1), nodes.x_m, nodes.y_m, ((15_000.0, 0.8),))
    )
    for band, part in enumerate((0.45, 0.65, 1.0, 0.2)):
        seen[band] += np.float32(how.response.haze * part) * haze
    mask = np.zeros(seen.shape[1:], np.uint8)
    if how.clouds <= 0:
        return mask
    away = CLOUD_HEIGHT_M * how.sun.shadow_per_m
    shadow = _cloud(key, patch, how.clouds, how.sun.to_east * away, how.sun.to_north * away)
    cloud = _cloud(key, patch, how.clouds, 0.0, 0.0)
    for band, (left, white) in enumerate(zip(SHADOW_LIGHT, CLOUD_LIGHT, strict=True)):
        seen[band] *= 1 - np.float32(1 - left) * shadow
        seen[band] += (np.float32(white) - seen[band]) * cloud
    mask[shadow > 0.4] = SHADOW
    mask[cloud > 0.10] = CLOUD
    return mask


def _cloud(key: int, patch: Patch, share: float, east_m: float, north_m: float) -> Array:
    """Return how opaque the cloud is that stands `east_m`, `north_m` from each pixel, float32 0 to 1."""
    field = fractal_noise(key_of(key, 2), patch.nodes.x_m + east_m, patch.nodes.y_m + north_m, CLOUD_OCTAVES)
    level = CLOUD_DEVIATION * NormalDist().inv_cdf(1 - share)
    return patch.spread(smooth_step(level - 0.05, level + 0.20, field))


def lost(patch: Patch, how: Acquisition, seed: int) -> Array:
    """Return where data dropped out, bool (y, x): rectangles in cells of the world, another set for each scene."""
    gone = np.zeros(patch.x_m.shape, bool)
    if how.missing <= 0:
        return gone
    x, y = patch.x_m * (1 / DROPOUT_M), patch.y_m * (1 / DROPOUT_M)
    col, row = np.floor(x), np.floor(y)
    key = hash_cells(key_of(how.key(seed), 3), row.astype(np.int32), col.astype(np.int32))
    # A hit cell loses half of itself on the average; above one half every cell is hit, and loses more.
    least = np.float32(max(0.0, 2 * how.missing - 1))
    wide = least + (1 - least) * unit(key, 2)
    return np.asarray((unit(key, 1) < min(2 * how.missing, 1)) & ((x - col) < wide))


def beyond_swath(how: Acquisition, rows: Array, cols: Array, width_px: int) -> Array:
    """Return which pixels of a scene lie beyond the slanting border of the swath, bool (y, x)."""
    border = how.edge * width_px * 1.0
    lean = 0.21 * min(1.0, 2 * how.edge)
    return (
        np.asarray((cols[None] + lean * rows[:, None]) < border)
        if how.edge > 0
        else np.zeros((len(rows), len(cols)), bool)
    )
