"""A weather world, step by step: latent states at once, pictures one after the other in flat memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tiler.synthetic.weather.clouds import Clouds, Sky
from tiler.synthetic.weather.domain import STEP_HOURS, STEPS_PER_DAY, WeatherWorld
from tiler.synthetic.weather.radiance import radiances
from tiler.synthetic.weather.state import Flow, flow_of
from tiler.synthetic.weather.surface import Surface
from tiler.synthetic.weather.typhoons import Storms, storms_of
from tiler.synthetic.weather.winds import winds_at

Array = np.ndarray

LEAD_DAYS = 6
"""Before the first frame, in which clouds gather a past; typhoons may already be on their way."""


@dataclass(frozen=True)
class Moment:
    """One step."""

    step: int
    time: np.datetime64
    values: Array
    """float32 (band, y, x) of the view and its margin: grey values without a sensor."""
    sky: Sky


def latent_of(world: WeatherWorld) -> tuple[Flow, Storms]:
    """Return the latent state of each step, with `LEAD_DAYS` before the first."""
    lead = LEAD_DAYS * STEPS_PER_DAY
    hours = np.arange(-lead, len(world)) * STEP_HOURS
    times = np.datetime64(world.start, "s") + hours.astype("timedelta64[h]")
    flow = flow_of(world.seed, times.astype("datetime64[s]"))
    return flow, storms_of(world.seed, flow)


def moments(world: WeatherWorld, latent: tuple[Flow, Storms] | None = None) -> Iterator[Moment]:
    """Yield each step of a world in order of time. Memory does not grow with their number."""
    flow, storms = latent_of(world) if latent is None else latent
    plane, times = world.plane, world.times()
    surface = Surface.of(plane)
    clouds = Clouds(world.seed, plane, surface)
    lead = LEAD_DAYS * STEPS_PER_DAY
    for row in range(len(flow)):
        step = row - lead
        sky = clouds.step(step, flow, storms, row, winds_at(flow, storms, row, plane))
        if step >= 0:
            hour = float((step % STEPS_PER_DAY) * STEP_HOURS)
            yield Moment(step, times[step], radiances(surface, sky, float(flow.season_rad[row]), hour), sky)
