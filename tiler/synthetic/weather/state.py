"""The latent state of the weather: a few dozen numbers a step, from which every picture follows.

Season, jet and its travelling waves, the summer front: stochastic processes about seasonal means. Typhoons are added by
`typhoons.py`. The sequence of a decade is 4 MB, so it is made at once; only fields of pixels are made step by step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tiler.synthetic.weather.chance import normals, stream, wandering
from tiler.synthetic.weather.domain import STEPS_PER_DAY, season_phase

Array = np.ndarray

WAVELENGTHS_KM = (6_000.0, 4_600.0, 3_600.0, 2_900.0, 2_300.0)
PERIODS_DAYS = (8.0, 6.6, 5.3, 4.1, 3.0)
AMPLITUDES_KM = (380.0, 350.0, 320.0, 240.0, 160.0)
"""Of each wave's displacement of the jet, in the mean over winter."""
WAVES = len(WAVELENGTHS_KM)
AMPLITUDE_SPREAD = 0.4
AMPLITUDE_MEMORY_DAYS = 10.0
PHASE_WANDER_RAD = 0.35
"""Standard deviation that a wave's phase gathers in a day beside its regular travel."""
JET_MEMORY_DAYS = (8.0, 6.0)
FRONT_MEMORY_DAYS = (4.0, 3.0)
DAYS_OF_FRONT = (168.0, 206.0)
"""Day of the year on which the front reaches the south and leaves the north of the view."""


@dataclass(frozen=True)
class Flow:
    """Everything but typhoons. All arrays are float64; one row a step."""

    season_rad: Array
    """(step,): angle of the year, 0 on 1 January."""
    jet_latitude: Array
    """(step,), degrees."""
    jet_m_s: Array
    """(step,): the jet's largest wind."""
    amplitude_km: Array
    """(step, wave): displacement of the jet by each wave."""
    phase_rad: Array
    """(step, wave): at the middle of the view, unwrapped."""
    front_latitude: Array
    """(step,): of the summer front on the middle meridian."""
    front_activity: Array
    """(step,) in [0, 1]."""

    def __len__(self) -> int:
        return len(self.season_rad)

    @cached_property
    def warmth(self) -> Array:
        """(step,) in [-1, 1]: 1 at the end of July."""
        return warmth_of(self.season_rad)

    @cached_property
    def ridge_latitude(self) -> Array:
        """(step,): the axis of the subtropical high, which follows the jet."""
        return 24.0 + 4.0 * self.warmth + 0.35 * (self.jet_latitude - jet_mean_latitude(self.season_rad))


def warmth_of(season_rad: Array) -> Array:
    """Return 1 on 29 July, -1 on 28 January, and a cosine between."""
    return np.cos(season_rad - 2 * np.pi * 209.0 / 365.25)


def jet_mean_latitude(season_rad: Array) -> Array:
    """Return degrees: 33 in winter, 44 in summer."""
    return 38.5 + 5.5 * warmth_of(season_rad)


def flow_of(seed: int, times: Array) -> Flow:
    """Return the state of the flow at each step.

    Args:
        seed: of the world.
        times: datetime64[s] (step,), one step apart. The processes begin with the first of them.
    """
    steps, season = np.arange(len(times)), season_phase(times)
    warmth = warmth_of(season)
    jet = _process(seed, 1, steps, JET_MEMORY_DAYS)
    front = _process(seed, 2, steps, FRONT_MEMORY_DAYS)
    amplitude = _process(seed, 3, steps, [AMPLITUDE_MEMORY_DAYS] * WAVES)
    step_rad = 2 * np.pi / (np.array(PERIODS_DAYS) * STEPS_PER_DAY)
    wander = normals(stream(seed, 4), steps, WAVES) * PHASE_WANDER_RAD / np.sqrt(STEPS_PER_DAY)
    begin = normals(stream(seed, 5), steps[:1], WAVES) * 5.0
    return Flow(
        season_rad=season,
        jet_latitude=jet_mean_latitude(season) + 2.5 * jet[:, 0],
        jet_m_s=np.clip(31.0 - 11.0 * warmth + 5.0 * jet[:, 1], 8.0, None),
        amplitude_km=np.array(AMPLITUDES_KM)
        * (0.8 - 0.2 * warmth)[:, None]
        * np.exp(AMPLITUDE_SPREAD * amplitude - AMPLITUDE_SPREAD**2 / 2),
        phase_rad=begin + np.cumsum(step_rad + wander, axis=0),
        front_latitude=front_mean_latitude(season) + 1.6 * front[:, 0],
        front_activity=front_mean_activity(season) * (1 / (1 + np.exp(-1.5 - 1.6 * front[:, 1]))),
    )


def _process(seed: int, number: int, steps: Array, memory_days: Sequence[float]) -> Array:
    memory = np.asarray(memory_days, np.float64) * STEPS_PER_DAY
    return wandering(normals(stream(seed, number), steps, len(memory)), memory)


def front_mean_latitude(season_rad: Array) -> Array:
    """Return degrees: 27 until June, 42 from August."""
    day = season_rad * 365.25 / (2 * np.pi)
    begin, end = DAYS_OF_FRONT
    share = np.clip((day - begin + 10) / (end - begin + 20), 0, 1)
    return 27.0 + 15.0 * share * share * (3 - 2 * share)


def front_mean_activity(season_rad: Array) -> Array:
    """Return [0, 1]: near 1 from mid-June to late July, 0 from September to May."""
    day = season_rad * 365.25 / (2 * np.pi)
    begin, end = DAYS_OF_FRONT
    rise, fall = 1 / (1 + np.exp(-(day - begin + 2) / 4.0)), 1 / (1 + np.exp((day - end - 2) / 4.0))
    return rise * fall
