import functools

import numpy as np

from tests.tiler.synthetic.weather.test_state import times_of
from tiler.synthetic.weather.domain import latitude_of
from tiler.synthetic.weather.state import flow_of
from tiler.synthetic.weather.typhoons import (
    Storms,
    birth_rate,
    largest_wind_km,
    storms_of,
    tangential_wind,
    vortex_stream,
)


@functools.cache
def decade() -> tuple[np.ndarray, Storms]:
    times = times_of(10 * 365)
    return times, storms_of(7, flow_of(7, times))


def test_births_are_poisson_and_peak_in_late_summer():
    times, storms = decade()
    living = np.isfinite(storms.number)
    born = {int(n): times[np.where(storms.number == n)[0][0]] for n in np.unique(storms.number[living])}
    months = np.array([t.astype("datetime64[M]").astype(int) % 12 + 1 for t in born.values()])
    assert np.isin(months, [7, 8, 9]).mean() > 0.6
    assert np.isin(months, [1, 2, 3]).mean() < 0.06
    flow = flow_of(7, times)
    expected = birth_rate(flow.season_rad).sum() * 3 / 24
    assert abs(len(born) - expected) < 4 * np.sqrt(expected)


def test_tracks_go_north_west_and_then_recurve():
    _, storms = decade()
    first, later = [], []
    for number in range(int(np.nanmax(storms.number)) + 1):
        steps, slots = np.where(storms.number == number)
        x, y = storms.x_km[steps, slots], storms.y_km[steps, slots]
        lat = latitude_of(y)
        moves = np.diff(x)
        first.extend(moves[lat[:-1] < 21])
        later.extend(moves[lat[:-1] > 36])
        assert (np.diff(y) > -140).all()
    assert np.mean(first) < -20
    assert np.mean(later) > 60


def test_intensity_stays_within_bounds_and_absence_is_marked():
    _, storms = decade()
    absent = ~np.isfinite(storms.x_km)
    assert (storms.intensity[absent] == 0).all()
    assert (storms.intensity[~absent] > 0.1).all()
    assert storms.intensity.max() <= 1


def test_the_stream_function_has_the_wind_for_a_slope():
    radius = np.linspace(20, 1_500, 4_000)
    slope = np.gradient(vortex_stream(radius, 0.8, 1.1), radius)
    wind = tangential_wind(radius, 0.8, 1.1)
    np.testing.assert_allclose(slope, wind, atol=1.2)
    assert abs(radius[wind.argmax()] - largest_wind_km(0.8, 1.1)) < 2
    assert abs(vortex_stream(np.array([5_000.0]), 0.8, 1.1)[0]) < 1e-9
