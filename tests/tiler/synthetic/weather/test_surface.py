import numpy as np
import pytest

from tiler.synthetic.weather.domain import KM_PER_LONGITUDE, Plane, y_of
from tiler.synthetic.weather.surface import Surface, ground_temperature, is_land, is_land_at, solar_zenith_cosine

PLACES = [
    (36.5, 127.8, True),  # inland Korea
    (40.0, 116.0, True),  # Beijing
    (36.2, 138.2, True),  # Nagano
    (38.5, 134.0, False),  # East Sea
    (28.0, 135.0, False),  # Pacific
    (20.0, 125.0, False),  # Philippine Sea
]


@pytest.mark.parametrize(("lat", "lon", "land"), PLACES)
def test_the_map_is_roughly_east_asia(lat, lon, land):
    assert bool(is_land(np.array([lat]), np.array([lon]))[0]) == land
    assert is_land_at((lon - 127) * KM_PER_LONGITUDE, y_of(lat)) == land


def test_shares_of_land_do_not_depend_much_on_resolution():
    coarse, fine = Surface.of(Plane(32)), Surface.of(Plane(96))
    assert abs(coarse.land[Plane(32).view].mean() - fine.land[Plane(96).view].mean()) < 0.02
    assert (coarse.height_m[coarse.land == 0] == 0).all()
    assert 0 <= coarse.continental.min() <= coarse.continental.max() <= 1


def test_the_sun_is_highest_at_local_noon_in_june():
    lat, lon = np.array([36.0]), np.array([127.0])
    hours = np.arange(0, 24, 0.5)
    june = np.array([solar_zenith_cosine(2 * np.pi * 172 / 365.25, hour, lat, lon)[0] for hour in hours])
    december = np.array([solar_zenith_cosine(2 * np.pi * 355 / 365.25, hour, lat, lon)[0] for hour in hours])
    assert abs(hours[june.argmax()] - 3.5) <= 0.5  # 12 h at 127 degrees east is 3.5 h UTC
    assert june.max() == pytest.approx(np.cos(np.radians(36 - 23.45)), abs=0.01)
    assert december.max() == pytest.approx(np.cos(np.radians(36 + 23.45)), abs=0.01)


def test_land_has_a_day_and_a_large_year_and_the_sea_does_not():
    surface = Surface.of(Plane(48))
    inland, open_sea = surface.continental > 0.9, surface.land == 0
    january, july = (2 * np.pi * day / 365.25 for day in (15, 200))
    day = ground_temperature(surface, july, 6) - ground_temperature(surface, july, 18)
    year = ground_temperature(surface, july, 3) - ground_temperature(surface, january, 3)
    assert day[inland].mean() > 10
    assert abs(day[open_sea]).max() == 0
    assert year[inland].mean() > year[open_sea].mean() + 10
