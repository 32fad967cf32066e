"""How alike two states of the weather are: the truth that similar-scene search is judged by.

    similarity(a, b) = exp(-D(a, b)),  D = sum over parts of weight x squared distance

Each part is a squared distance between vectors, so the whole is one too, between the vectors that `features` returns:
it is symmetric, 0 for equal states only (up to what is not looked at, below), and similarity is a Gaussian kernel in
(0, 1].

    season    |e^{i s} - e^{i s'}|^2: 4 at half a year
    jet       (latitude / 4 degrees)^2 + (speed / 10 m/s)^2
    waves     |z - z'|^2 / (350 km)^2 over all waves, z = amplitude x e^{i phase}: where which troughs and ridges lie
    front     activity x place: a bump of 250 km along the meridian, as high as the front is active
    typhoons  intensity x place: a bump of 450 km about each storm in or near the view, as high as it is strong; no
              storm is the flat field. Two equal storms far apart have twice the squared distance of one and none.

The distance of two fields of bumps is that of a reproducing kernel (of fields on a coarse lattice). Hour of the day,
single clouds and everything of a sensor are left out on purpose: they are not the weather situation.
"""

from __future__ import annotations

import numpy as np

from tiler.synthetic.weather.domain import KM_PER_LATITUDE, VIEW_KM
from tiler.synthetic.weather.state import WAVES
from tiler.synthetic.weather.state_table import States
from tiler.synthetic.weather.typhoons import SLOTS

Array = np.ndarray

WEIGHTS = {"season": 0.35, "jet": 0.08, "waves": 0.12, "front": 1.2, "typhoons": 3.5}
"""Of the squared distance of each part."""
JET_LATITUDE, JET_M_S = 4.0, 10.0
WAVE_KM = 350.0
FRONT_KM, TYPHOON_KM = 250.0, 450.0
LATTICE_KM = 300.0


def similarity(states_a: States, states_b: States) -> Array:
    """Return float32 (a, b) in [0, 1]: 1 for equal states.

    Costs a matrix product; whoever compares decades with decades asks for blocks of rows.
    """
    a, b = features(states_a), features(states_b)
    # the middle is taken off first: differences of large squares would lose the small distances
    middle = (a.mean(0) + b.mean(0)) / 2 if len(a) and len(b) else 0.0
    a, b = a - middle, b - middle
    apart = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2 * (a @ b.T)
    return np.exp(-np.maximum(apart, 0)).astype(np.float32)


def features(states: States) -> Array:
    """Return float64 (state, number): vectors whose squared distance is D of the module's description."""
    return np.concatenate([np.sqrt(WEIGHTS[name]) * part for name, part in parts(states).items()], axis=1)


def parts(states: States) -> dict[str, Array]:
    """Return the vectors of each part, without its weight: float64 (state, number)."""
    column = states.columns
    season = column["season_rad"]
    amplitude, phase = (np.stack([column[f"wave{k + 1}_{n}"] for k in range(WAVES)], 1) for n in ("km", "rad"))
    return {
        "season": np.stack([np.cos(season), np.sin(season)], 1),
        "jet": np.stack([column["jet_latitude"] / JET_LATITUDE, column["jet_m_s"] / JET_M_S], 1),
        "waves": np.concatenate([amplitude * np.cos(phase), amplitude * np.sin(phase)], 1) / WAVE_KM,
        "front": column["front_activity"][:, None] * _bumps(column["front_latitude"] * KM_PER_LATITUDE, FRONT_KM),
        "typhoons": _typhoons(states),
    }


def _typhoons(states: States) -> Array:
    """Return the fields of bumps of all storms, flattened."""
    column = states.columns
    total = 0.0
    for k in range(SLOTS):
        strength = column[f"typhoon{k + 1}_intensity"]
        place_x, place_y = (np.nan_to_num(column[f"typhoon{k + 1}_{axis}"]) * VIEW_KM for axis in "xy")
        wide, high = (_bumps(place, TYPHOON_KM, (-0.4, 1.4)) for place in (place_x, place_y))
        total = total + strength[:, None, None] * high[:, :, None] * wide[:, None, :]
    return np.asarray(total).reshape(len(states), -1)


def _bumps(places_km: Array, width_km: float, span: tuple[float, float] | None = None) -> Array:
    """Return (state, node): a Gaussian about each place, on nodes, whose sum of squares is 1."""
    low, high = (15 * KM_PER_LATITUDE, 55 * KM_PER_LATITUDE) if span is None else (v * VIEW_KM for v in span)
    spacing = min(LATTICE_KM, width_km * 0.7)
    nodes = np.arange(low, high + spacing, spacing)
    # of two bumps `d` apart the product is exp(-d^2 / (2 width^2)) where each is exp(-x^2 / width^2)
    bump = np.exp(-(((places_km[:, None] - nodes) / width_km) ** 2))
    return np.asarray(bump / np.sqrt((bump * bump).sum(1, keepdims=True)))
