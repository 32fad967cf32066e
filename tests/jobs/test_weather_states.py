from datetime import date

import numpy as np
import pytest

from jobs.weather_states import states_at
from models.retrieval import state_gain
from tiler.synthetic.weather import WeatherWorld, latent_of, read_states, similarity, states_of, write_states


def test_states_of_frames_are_compared_as_the_world_compares_them(tmp_path):
    world = WeatherWorld(seed=4, start=date(2018, 8, 10), days=40, side_px=16)
    write_states(states_of(world, latent_of(world)), tmp_path / "states.csv")
    times = world.times()[[3, 3, 40, 41, 200, 319]]  # two sensors saw one instant
    states = states_at(tmp_path / "states.csv", times)
    table = read_states(tmp_path / "states.csv").at(times)
    np.testing.assert_allclose(state_gain(states.vectors)(np.arange(6)), similarity(table, table), atol=1e-5)
    whole = states_at(tmp_path / "states.csv", world.times())
    present = read_states(tmp_path / "states.csv").columns["typhoon_present"] > 0
    assert present.any()
    assert ((whole.quadrant >= 0) == present).all()
    assert whole.quadrant.max() <= 3
    with pytest.raises(ValueError, match="no state of 2019"):
        states_at(tmp_path / "states.csv", np.array(["2019-01-01"], "datetime64[s]"))
