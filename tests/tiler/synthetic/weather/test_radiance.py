import numpy as np
import pytest

from tiler.synthetic.weather.clouds import Sky
from tiler.synthetic.weather.domain import Plane
from tiler.synthetic.weather.radiance import encoded, radiances
from tiler.synthetic.weather.surface import Surface

SURFACE = Surface.of(Plane(16))
JULY, NOON, MIDNIGHT = 2 * np.pi * 200 / 365.25, 3.0, 15.0


def seen(high: float = 0.0, low: float = 0.0, humid: float = 0.4, hour: float = NOON) -> np.ndarray:
    sky = Sky(*(np.full(SURFACE.land.shape, value, np.float32) for value in (high, low, humid)))
    return radiances(SURFACE, sky, JULY, hour)


def test_deep_cloud_is_bright_in_all_bands():
    assert (seen(high=2.5) > seen() + 0.1).all()
    ir = [seen(high=depth)[0].mean() for depth in (0, 0.3, 0.8, 1.5, 2.5)]
    assert ir == sorted(ir)


def test_low_cloud_is_dark_in_swir_by_day_alone():
    day, night = seen(low=1.5), seen(low=1.5, hour=MIDNIGHT)
    clear_day, clear_night = seen(), seen(hour=MIDNIGHT)
    sea = SURFACE.land == 0
    assert ((day[1] - day[0]) < (clear_day[1] - clear_day[0]))[sea].all()
    np.testing.assert_allclose((night[1] - night[0])[sea], (clear_night[1] - clear_night[0])[sea], atol=0.01)


def test_water_vapour_shows_humidity_and_no_ground():
    assert (seen(humid=0.9)[2] > seen(humid=0.1)[2] + 0.1).all()
    np.testing.assert_allclose(seen(hour=MIDNIGHT)[2], seen()[2])
    np.testing.assert_allclose(seen(low=2.0)[2], seen()[2])


def test_grey_values_keep_zero_for_what_is_missing():
    assert encoded(np.array([-1, 0, 0.5, 1, 3], np.float32)).tolist() == [1, 1, 128, 255, 255]
    assert encoded(np.linspace(0, 1, 9)).dtype == np.uint8
    assert encoded(np.array(100 / 255)) == pytest.approx(100)
