import numpy as np
import pytest

from tiler.synthetic.weather.domain import SCALES, Plane, WeatherWorld, season_phase


def test_the_large_scale_is_the_archive_of_the_weather_document():
    scale = SCALES["large"]
    world = WeatherWorld(1, scale.start, scale.days, scale.side_px, scale.handover)
    times = world.times()
    assert (len(world), str(times[0]), str(times[-1])) == (26_776, "2011-02-01T00:00:00", "2020-03-31T21:00:00")
    second = times[round(scale.handover[0] * len(world))]
    assert str(second)[:10] == "2019-07-25"


def test_the_view_lies_in_the_middle_of_the_plane():
    plane = Plane(50)
    rows, cols = plane.view
    x, y = plane.x_km(), plane.y_km()
    assert len(x) == plane.whole_px == 50 + 2 * 7
    np.testing.assert_allclose(x[cols][[0, -1]], [-2156, 2156])
    np.testing.assert_allclose(y[rows][[0, -1], 0], [2156, -2156])
    np.testing.assert_allclose(plane.x_km(1)[1:-1], x)


def test_a_year_is_once_around():
    times = np.array(["2019-01-01", "2019-07-02T15", "2019-12-31T21"], "datetime64[s]")
    np.testing.assert_allclose(season_phase(times) / (2 * np.pi), [0, 0.5, 0.999], atol=2e-3)


@pytest.mark.parametrize(
    ("wrong", "said"), [({"days": 0}, "days 0"), ({"side_px": 8}, "side 8"), ({"handover": (0.8, 0.2)}, "handover")]
)
def test_a_world_that_cannot_be_is_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        WeatherWorld(**wrong)
