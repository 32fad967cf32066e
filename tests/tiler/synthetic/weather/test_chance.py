import numpy as np

from tiler.synthetic.weather.chance import normals, stream, units, wandering
from tiler.synthetic.weather.domain import Plane
from tiler.synthetic.weather.smooth_noise import fresh_noise


def test_numbers_belong_to_their_steps():
    key = stream(3, 1)
    np.testing.assert_array_equal(normals(key, np.arange(-5, 40), 3)[12:20], normals(key, np.arange(7, 15), 3))
    assert not np.array_equal(units(key, np.arange(9), 2), units(stream(4, 1), np.arange(9), 2))


def test_a_wandering_process_forgets_as_it_is_told():
    memory = np.array([4.0, 30.0])
    found = wandering(normals(stream(8, 2), np.arange(60_000), 2), memory)
    np.testing.assert_allclose(found.std(0), 1, atol=0.06)
    np.testing.assert_allclose(found.mean(0), 0, atol=0.08)
    for lag in (1, 4, 12):
        kept = (found[lag:] * found[:-lag]).mean(0) / found.var(0)
        np.testing.assert_allclose(kept, np.exp(-lag / memory), atol=0.04)


def test_fresh_noise_has_unit_spread_at_every_scale_and_is_new_every_step():
    plane = Plane(64)
    for wavelength_km in (750.0, 300.0, 110.0):
        fields = np.stack([fresh_noise(stream(1, step), plane, wavelength_km) for step in range(120)])
        assert abs(fields.std() - 1) < 0.06
        assert abs(fields.mean()) < 0.05
        assert abs((fields[1:] * fields[:-1]).mean()) < 0.06
