"""The known states of a synthetic weather world, as the scores want them: vectors, and the quarter of a typhoon."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jobs.weather_scores import States
from tiler.synthetic.weather import read_states
from tiler.synthetic.weather.state_similarity import features


def states_at(path: Path, times: np.ndarray) -> States:
    """Return the states of some times (datetime64[s]), of the table that `sandan synthesize --kind weather` writes.

    Raises:
        ValueError: it is not such a table, or has no row for a time.
    """
    states = read_states(path).at(times)
    # 0 says: none in view
    return States(features(states), states.columns["typhoon_quadrant"].astype(np.int64) - 1)
