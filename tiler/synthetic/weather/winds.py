"""Winds from a stream function: a meandering jet, trades and storms. Such winds neither gather nor spread air.

With psi in m/s times km: u = -d psi / dy to the east, v = d psi / dx to the north. Both are centred differences of psi
at pixel centres, so that the centred divergence of the grid is 0 up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiler.synthetic.weather.domain import Plane, y_of
from tiler.synthetic.weather.state import WAVELENGTHS_KM, Flow
from tiler.synthetic.weather.typhoons import Storms, vortex_stream

Array = np.ndarray

JET_HALF_WIDTH_KM = 800.0
WAVE_TILT_RAD_PER_KM = 2.0e-4
"""Troughs lean to the west toward the pole."""
TRADES_M_S = 5.5
TRADES_EDGE_KM = 350.0
LOW_LEVEL_SHARE = 0.42
"""Of the jet's wind that is left near the ground."""


@dataclass(frozen=True)
class Winds:
    """Winds at one step, float32 (y, x) m/s, to the east and to the north."""

    upper_east: Array
    upper_north: Array
    lower_east: Array
    lower_north: Array
    jet_axis_km: Array
    """float32 (y, x): how far north of the jet's meandering axis each pixel lies."""
    jet_north: Array
    """float32 (y, x): the jet's own wind to the north; air rises where it is positive, ahead of troughs."""


def meander(flow: Flow, step: int, x_km: Array, y_km: Array) -> Array:
    """Return float32 kilometres by which the waves displace the jet to the north, at places (x,) and (y, 1)."""
    total = np.zeros(np.broadcast_shapes(x_km.shape, y_km.shape), np.float32)
    tilt = (y_km * WAVE_TILT_RAD_PER_KM).astype(np.float32)
    waves = zip(WAVELENGTHS_KM, flow.amplitude_km[step], flow.phase_rad[step], strict=True)
    for wavelength_km, amplitude_km, phase in waves:
        # cos(a + b) of one angle along x and one along y: two short vectors instead of a field of cosines
        along = (2 * np.pi / wavelength_km * x_km - phase % (2 * np.pi)).astype(np.float32)
        total += np.float32(amplitude_km) * (np.cos(along) * np.cos(tilt) - np.sin(along) * np.sin(tilt))
    return total


def jet_stream(flow: Flow, step: int, x_km: Array, y_km: Array) -> tuple[Array, Array]:
    """Return the stream function of the jet, and how far north of its axis each place lies (km)."""
    axis = np.float32(y_of(float(flow.jet_latitude[step])))
    apart = y_km - axis - meander(flow, step, x_km, y_km)
    half = np.float32(JET_HALF_WIDTH_KM)
    return np.float32(-flow.jet_m_s[step]) * half * np.tanh(apart / half), apart


def trades_stream(flow: Flow, step: int, y_km: Array) -> Array:
    """Return the stream function (y, 1) of the easterlies south of the subtropical ridge."""
    south = (y_of(float(flow.ridge_latitude[step])) - y_km) / TRADES_EDGE_KM
    return np.asarray(-TRADES_M_S * TRADES_EDGE_KM * np.logaddexp(0, south), np.float32)


def storms_stream(storms: Storms, step: int, x_km: Array, y_km: Array) -> Array:
    """Return the stream function of all storms, float32."""
    total = np.zeros(np.broadcast_shapes(x_km.shape, y_km.shape), np.float32)
    for slot in np.flatnonzero(storms.intensity[step] > 0):
        radius = np.hypot(x_km - storms.x_km[step, slot], y_km - storms.y_km[step, slot])
        total += vortex_stream(radius, float(storms.intensity[step, slot]), float(storms.size[step, slot]))
    return total


def winds_at(flow: Flow, storms: Storms, step: int, plane: Plane) -> Winds:
    """Return the winds of one step over a plane and its margin."""
    x_km, y_km = plane.x_km(1), plane.y_km(1)
    jet, apart = jet_stream(flow, step, x_km, y_km)
    rest = trades_stream(flow, step, y_km) + storms_stream(storms, step, x_km, y_km)
    jet_east, jet_north = _turned(jet, plane.pixel_km)
    rest_east, rest_north = _turned(rest, plane.pixel_km)
    share = np.float32(LOW_LEVEL_SHARE)
    return Winds(
        upper_east=jet_east + rest_east,
        upper_north=jet_north + rest_north,
        lower_east=share * jet_east + rest_east,
        lower_north=share * jet_north + rest_north,
        jet_axis_km=np.ascontiguousarray(apart[1:-1, 1:-1]),
        jet_north=jet_north,
    )


def _turned(psi: Array, pixel_km: float) -> tuple[Array, Array]:
    """Return (east, north) of a stream function that has one more pixel on each side; rows go south."""
    scale = np.float32(0.5 / pixel_km)
    east = (psi[2:, 1:-1] - psi[:-2, 1:-1]) * scale
    north = (psi[1:-1, 2:] - psi[1:-1, :-2]) * scale
    return east.astype(np.float32), north.astype(np.float32)
