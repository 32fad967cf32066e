"""Fresh smooth noise for each step: numbers on a lattice that lies differently every time."""

from __future__ import annotations

import numpy as np

from tiler.synthetic.noise import bell, hash_cells, key_of
from tiler.synthetic.weather.advection import spread
from tiler.synthetic.weather.domain import Plane

Array = np.ndarray

SPLINE_SPREAD = 151.0 / 315.0
"""Standard deviation of two-dimensional cubic B-splines through independent numbers, in the mean over places."""


def fresh_noise(key: int, plane: Plane, wavelength_km: float) -> Array:
    """Return float32 (y, x) of mean 0 and standard deviation about 1, that changes over `wavelength_km`.

    The same key gives the same numbers of the lattice on planes of any resolution.
    """
    spacing_px = wavelength_km / 2 / plane.pixel_km
    side = int(np.ceil(plane.whole_px / spacing_px)) + 5
    rows, cols = np.broadcast_arrays(np.arange(side)[:, None], np.arange(side)[None, :])
    lattice = bell(hash_cells(key, rows, cols), 1) * np.float32(1 / SPLINE_SPREAD)
    shift_y, shift_x = (key_of(key, 7 + axis) / 2.0**32 for axis in (0, 1))
    return spread(lattice, shift_y, shift_x, spacing_px, plane.whole_px, plane.whole_px)
