import numpy as np

from tests.tiler.synthetic.weather.worlds import SUMMER
from tiler.synthetic.weather.clouds import DEEPEST
from tiler.synthetic.weather.sequence import moments


def test_water_and_vapour_stay_within_their_bounds():
    for moment in moments(SUMMER):
        sky = moment.sky
        for field, most in ((sky.high, DEEPEST), (sky.low, DEEPEST), (sky.humid, 1.0)):
            assert np.isfinite(field).all()
            assert 0 <= field.min() <= field.max() <= most
        assert sky.high.std() > 0.1
