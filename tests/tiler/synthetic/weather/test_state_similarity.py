import numpy as np
import pytest

from tests.tiler.synthetic.weather.worlds import states
from tiler.synthetic.weather import States, WeatherWorld, similarity
from tiler.synthetic.weather.state_similarity import WEIGHTS, features, parts

TABLE = states(WeatherWorld(seed=2, days=365, side_px=16)).take(np.arange(0, 2_920, 37))


def changed(**values: float) -> tuple[float, States]:
    """One state, without storms, and the similarity to it after a change."""
    still = {f"typhoon{k}_intensity": np.zeros(1) for k in (1, 2, 3)}
    one = TABLE.take(np.array([40]))
    base = States(one.times, {**one.columns, **still})
    other = States(one.times, {**base.columns, **{name: np.array([value]) for name, value in values.items()}})
    return float(similarity(base, other)[0, 0]), other


def test_it_is_symmetric_one_for_equal_states_and_between_0_and_1():
    found = similarity(TABLE, TABLE)
    np.testing.assert_allclose(np.diag(found), 1)
    np.testing.assert_allclose(found, found.T, rtol=1e-5)
    assert 0 <= found.min() <= found.max() <= 1
    assert np.median(found) < 0.3
    part = similarity(TABLE.take(np.arange(5)), TABLE.take(np.arange(3, 20)))
    np.testing.assert_allclose(part, found[:5, 3:20], rtol=1e-5)


def test_it_is_the_gaussian_of_the_weighted_parts():
    vectors = parts(TABLE)
    assert set(vectors) == set(WEIGHTS)
    apart = sum(WEIGHTS[n] * ((v[3] - v[50]) ** 2).sum() for n, v in vectors.items())
    assert similarity(TABLE, TABLE)[3, 50] == pytest.approx(np.exp(-apart), rel=1e-5)
    assert features(TABLE).shape[0] == len(TABLE)


def test_every_part_counts_and_farther_is_less_alike():
    for name, near, far in (
        ("season_rad", 0.2, 1.5),
        ("jet_latitude", 1.0, 6.0),
        ("jet_m_s", 2.0, 15.0),
        ("wave2_rad", 0.2, 1.5),
        ("wave2_km", 40.0, 300.0),
    ):
        here = float(TABLE.columns[name][40])
        assert 1 > changed(**{name: here + near})[0] > changed(**{name: here + far})[0] > 0
    assert changed()[0] == 1


def test_typhoons_count_by_place_and_strength_and_not_by_slot():
    def storm(slot: int, x: float, y: float, intensity: float) -> States:
        where = {f"typhoon{slot}_x": x, f"typhoon{slot}_y": y, f"typhoon{slot}_intensity": intensity}
        return changed(**where)[1]

    here = storm(1, 0.7, 0.8, 0.9)
    none = changed()[1]
    same_slot2, close, weaker, far = (
        float(similarity(here, other)[0, 0])
        for other in (
            storm(2, 0.7, 0.8, 0.9),
            storm(3, 0.74, 0.8, 0.9),
            storm(1, 0.7, 0.8, 0.5),
            storm(1, 0.2, 0.2, 0.9),
        )
    )
    without = float(similarity(here, none)[0, 0])
    assert same_slot2 == pytest.approx(1)
    assert 1 > close > weaker > without > far
    # moving a storm across the lattice of the bumps changes nothing but its place
    places = np.linspace(0.1, 0.9, 9)
    lengths = [(parts(storm(1, p, 0.5, 0.9))["typhoons"] ** 2).sum() for p in places]
    np.testing.assert_allclose(lengths, 0.81, rtol=1e-6)


def test_the_front_counts_where_it_is_active():
    def front(latitude: float, activity: float) -> States:
        return changed(front_latitude=latitude, front_activity=activity)[1]

    assert float(similarity(front(30, 0), front(38, 0))[0, 0]) == pytest.approx(1)
    assert float(similarity(front(30, 1), front(38, 1))[0, 0]) < float(similarity(front(30, 1), front(31, 1))[0, 0])
