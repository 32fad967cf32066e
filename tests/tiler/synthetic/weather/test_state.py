import numpy as np

from tiler.synthetic.weather.state import PERIODS_DAYS, flow_of, front_mean_activity, front_mean_latitude, warmth_of


def times_of(days: int, start: str = "2015-01-01") -> np.ndarray:
    return np.datetime64(start, "s") + (np.arange(days * 8) * 3).astype("timedelta64[h]")


def day_of(month: int, day: int) -> float:
    since = np.datetime64(f"2019-{month:02d}-{day:02d}") - np.datetime64("2019-01-01")
    return float(2 * np.pi * since.astype(int) / 365.25)


def test_the_state_is_a_function_of_the_seed():
    times = times_of(40)
    one, same, other = flow_of(5, times), flow_of(5, times), flow_of(6, times)
    for name in ("jet_latitude", "jet_m_s", "amplitude_km", "phase_rad", "front_latitude", "front_activity"):
        np.testing.assert_array_equal(getattr(one, name), getattr(same, name))
        assert not np.array_equal(getattr(one, name), getattr(other, name))


def test_the_jet_is_north_and_weak_in_summer():
    flow = flow_of(2, times_of(5 * 365))
    summer, winter = flow.warmth > 0.9, flow.warmth < -0.9
    assert flow.jet_latitude[summer].mean() - flow.jet_latitude[winter].mean() > 8
    assert flow.jet_m_s[winter].mean() - flow.jet_m_s[summer].mean() > 15
    assert flow.ridge_latitude[summer].mean() > flow.ridge_latitude[winter].mean() + 5


def test_waves_travel_to_the_east_at_their_periods():
    days = 4 * 365
    turns = np.ptp(flow_of(3, times_of(days)).phase_rad, axis=0) / (2 * np.pi)
    np.testing.assert_allclose(days / turns, PERIODS_DAYS, rtol=0.05)


def test_the_front_is_there_in_june_and_july_alone():
    early, middle, late = day_of(6, 25), day_of(7, 10), day_of(7, 25)
    activity = front_mean_activity(np.array([day_of(2, 1), early, middle, late, day_of(9, 1)]))
    assert (activity[[0, 4]] < 0.01).all()
    assert (activity[1:4] > 0.6).all()
    south, between, north = front_mean_latitude(np.array([early, middle, late]))
    assert south < between < north
    flow = flow_of(1, times_of(365))
    assert 0 <= flow.front_activity.min() <= flow.front_activity.max() <= 1


def test_the_warmest_day_is_at_the_end_of_july():
    days = np.linspace(0, 2 * np.pi, 3_000)
    assert abs(days[warmth_of(days).argmax()] - day_of(7, 29)) < 0.03
