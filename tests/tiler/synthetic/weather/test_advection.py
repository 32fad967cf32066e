import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tiler.synthetic.noise import bell, hash_cells
from tiler.synthetic.weather.advection import bring, departures, sample, spread

SHAPE = (19, 31)


def noise(key: int, *shape: int) -> np.ndarray:
    cells = np.arange(np.prod(shape)).reshape(shape)
    return bell(hash_cells(key, cells, cells), 1)


def test_no_wind_keeps_the_field():
    still = np.zeros(SHAPE, np.float32)
    fields = noise(1, 3, *SHAPE)
    np.testing.assert_array_equal(bring(fields, *departures(still, still, 6)), fields)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.1, 12))
def test_advection_keeps_bounds(key, strength):
    east, south = np.float32(strength) * noise(key, 2, *SHAPE)
    fields = noise(key + 1, 2, *SHAPE)
    found = bring(fields, *departures(east, south, 4))
    for before, after in zip(fields, found, strict=True):
        assert before.min() <= after.min() <= after.max() <= before.max()


def test_an_even_wind_moves_a_field_by_whole_pixels_and_around():
    east, south = np.full(SHAPE, 4, np.float32), np.full(SHAPE, -2, np.float32)
    field = noise(5, 1, *SHAPE)
    found = bring(field, *departures(east, south, 5))
    # four pixels to the east, two to the north; what leaves in the east comes back in the west
    np.testing.assert_allclose(found[0, :-2], np.roll(field[0], (-2, 4), (0, 1))[:-2], atol=1e-4)


def test_a_turning_wind_comes_back_after_one_turn():
    y, x = np.mgrid[-20:21, -20:21].astype(np.float32)
    blob = np.exp(-((x - 6) ** 2 + y**2) / 12).astype(np.float32)
    steps = 32
    rate = np.float32(2 * np.pi / steps)
    inside = (np.hypot(x, y) < 16).astype(np.float32)
    back = departures(-y * rate * inside, x * rate * inside, 6)
    found = blob[None]
    for _ in range(steps // 2):
        found = bring(found, *back)
    opposite = blob[::-1, ::-1]
    assert np.corrcoef(found[0].ravel(), opposite.ravel())[0, 1] > 0.98
    for _ in range(steps // 2):
        found = bring(found, *back)
    assert np.corrcoef(found[0].ravel(), blob.ravel())[0, 1] > 0.97


def test_equal_numbers_of_a_lattice_spread_evenly():
    np.testing.assert_allclose(spread(np.full((11, 15), 2.5, np.float32), 0.3, 0.9, 3.0, *SHAPE), 2.5, rtol=1e-6)


def test_sampling_at_pixels_gives_the_pixels():
    fields = noise(7, 2, *SHAPE)
    rows, cols = np.broadcast_arrays(*np.ogrid[: SHAPE[0], : SHAPE[1]])
    np.testing.assert_array_equal(sample(fields, rows.astype(np.float32), cols.astype(np.float32)), fields)
    halves = sample(fields, (rows[:, :-1]).astype(np.float32), (cols[:, :-1] + 0.5).astype(np.float32))
    np.testing.assert_allclose(halves, (fields[..., :-1] + fields[..., 1:]) / 2, rtol=1e-5, atol=1e-6)
