"""Synthetic weather over East Asia as two geostationary imagers see it, with the state behind it as the truth.

    world = WeatherWorld(seed=1, start=date(2018, 6, 25), days=60, side_px=48)
    for moment in moments(world): ...                     # grey values without a sensor, step by step
    files = write_weather(world, Path("out"), pictures=True)
    similarity(files.states, files.states.take(rows))     # how alike states are, (60 x 8, rows)

docs/weather_world.md says what is in it.
"""

from tiler.synthetic.weather.domain import SCALES, Scale, WeatherWorld
from tiler.synthetic.weather.observe import COMS, GK2A, Imager, Sensor, sensors_of
from tiler.synthetic.weather.radiance import BANDS, encoded
from tiler.synthetic.weather.sequence import Moment, latent_of, moments
from tiler.synthetic.weather.state_similarity import similarity
from tiler.synthetic.weather.state_table import QUADRANTS, States, read_states, states_of, write_states
from tiler.synthetic.weather.write import WeatherFiles, write_weather

__all__ = [
    "BANDS",
    "COMS",
    "GK2A",
    "QUADRANTS",
    "SCALES",
    "Imager",
    "Moment",
    "Scale",
    "Sensor",
    "States",
    "WeatherFiles",
    "WeatherWorld",
    "encoded",
    "latent_of",
    "moments",
    "read_states",
    "sensors_of",
    "similarity",
    "states_of",
    "write_states",
    "write_weather",
]
