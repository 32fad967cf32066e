"""What an imager would measure: infrared window, shortwave infrared and water vapour, as grey values.

Brightness temperatures are mixed linearly in kelvin, which is what the eye compares; cold is bright, as in the pictures
of the Korea Meteorological Administration.
"""

from __future__ import annotations

import numpy as np

from tiler.synthetic.weather.clouds import Sky
from tiler.synthetic.weather.surface import Surface, ground_temperature, solar_zenith_cosine

Array = np.ndarray

BANDS = ("ir", "swir", "wv")
WARMEST_K = (331.0, 346.0, 276.0)
"""Of each band: shown black."""
COLDEST_K = (167.0, 172.0, 192.0)
"""Of each band: shown white."""
HIGH_OPACITY, LOW_OPACITY = 1.5, 1.6
LAPSE_K = 55.0
"""By which the top of the deepest cloud is colder than that of the thinnest."""
LOW_CLOUD_KM = 1.6


def radiances(surface: Surface, sky: Sky, season_rad: float, hour_utc: float) -> Array:
    """Return float32 (band, y, x): grey values of `BANDS`, about 0 (warm) to 1 (cold), not clipped.

    Args:
        surface: under the clouds.
        sky: over it.
        season_rad: angle of the year.
        hour_utc: of the day.
    """
    ground = ground_temperature(surface, season_rad, hour_utc)
    sun = np.clip(solar_zenith_cosine(season_rad, hour_utc, surface.latitude, surface.longitude), 0, 1)
    veil, lid = _hidden(sky.high, HIGH_OPACITY), _hidden(sky.low, LOW_OPACITY)
    top_low = np.minimum(ground, 6.5 + 0.965 * ground) - 6.5 * LOW_CLOUD_KM
    tropopause = 236.0 - 0.35 * (45.0 - surface.latitude)
    top_high = tropopause + 30.0 - LAPSE_K * np.clip(sky.high / 2.2, 0, 1) ** 0.7
    below = ground + lid * (top_low - ground)
    infrared = below + veil * (top_high - below)
    # by day at 3.8 micrometres: water clouds and thick tops reflect, dry warm land too; in real frames of COMS three
    # hours about dawn and dusk change this band half as much as another time altogether does, as they do here
    reflected = sun * ((1 - veil) * (lid * 42.0 + (1 - lid) * surface.land * 10.0 + 1.5) + veil * 34.0)
    shortwave = infrared + 3.0 + reflected
    dry = 256.0 - 24.0 * sky.humid - 0.2 * (surface.latitude - 30.0)
    deep = _hidden(np.maximum(sky.high - 0.35, 0), 1.3)
    vapour = dry + deep * (np.minimum(top_high + 4.0, dry) - dry)
    kelvin = np.stack([infrared, shortwave, vapour])
    warmest, coldest = (np.array(v, np.float32)[:, None, None] for v in (WARMEST_K, COLDEST_K))
    return np.asarray((warmest - kelvin) / (warmest - coldest), np.float32)


def encoded(values: Array) -> Array:
    """Return uint8: grey values of [0, 1] as 1 to 255. 0 is kept for what was not measured."""
    return np.clip(np.rint(values * np.float32(255)), 1, 255).astype(np.uint8)


def _hidden(depth: Array, opacity: float) -> Array:
    """Return the share that a cloud of some depth hides."""
    return -np.expm1(-np.float32(opacity) * depth)
