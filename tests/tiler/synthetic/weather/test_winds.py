import numpy as np

from tests.tiler.synthetic.weather.worlds import SUMMER
from tiler.synthetic.weather.domain import Plane
from tiler.synthetic.weather.sequence import latent_of
from tiler.synthetic.weather.typhoons import Storms
from tiler.synthetic.weather.winds import winds_at


def one_storm(steps: int, x_km: float, y_km: float) -> Storms:
    full = np.full((steps, 3), np.nan)
    x, y, spin = full.copy(), full.copy(), full.copy()
    x[:, 1], y[:, 1], spin[:, 1] = x_km, y_km, 0.0
    strength = np.zeros((steps, 3))
    strength[:, 1] = 0.9
    return Storms(x, y, strength, np.where(strength > 0, 1.0, np.nan), spin, spin)


def test_winds_do_not_diverge():
    flow, _ = latent_of(SUMMER)
    plane = Plane(40)
    winds = winds_at(flow, one_storm(len(flow), 300, -900), 20, plane)
    for east, north in ((winds.upper_east, winds.upper_north), (winds.lower_east, winds.lower_north)):
        along = (east[1:-1, 2:] - east[1:-1, :-2]) / (2 * plane.pixel_km)
        across = (north[:-2, 1:-1] - north[2:, 1:-1]) / (2 * plane.pixel_km)
        assert abs(along + across).max() < 2e-4 * abs(along).max() + 1e-5


def test_air_turns_anticlockwise_about_a_storm():
    flow, none = latent_of(SUMMER)
    plane = Plane(110)
    storm = winds_at(flow, one_storm(len(flow), 0, -600), 20, plane)
    calm = winds_at(flow, Storms(*(np.zeros_like(none.x_km),) * 6), 20, plane)
    north, east = storm.lower_north - calm.lower_north, storm.lower_east - calm.lower_east
    row, col = int(abs(plane.y_km()[:, 0] + 600).argmin()), int(abs(plane.x_km()).argmin())
    off = round(120 / plane.pixel_km)
    assert north[row, col + off] > 15
    assert north[row, col - off] < -15
    assert east[row + off, col] > 15
    assert east[row - off, col] < -15


def test_the_jet_blows_to_the_east_along_its_axis():
    flow, storms = latent_of(SUMMER)
    winds = winds_at(flow, storms, 3, Plane(40))
    on_axis = abs(winds.jet_axis_km) < 120
    assert winds.upper_east[on_axis].mean() > 0.6 * flow.jet_m_s[3]
