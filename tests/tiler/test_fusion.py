import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiler.rasters_for_tests import TRANSFORM, grid, moved, numbers
from tiler.fusion import channel_names, fused, resample
from tiler.grids import Box, PixelGrid

TILE = grid(48, 40)


def coarse_grid(factor: int, height: int, width: int, rows: float = 0, cols: float = 0) -> PixelGrid:
    """Return a grid of pixels `factor` times as large, its origin shifted by tile pixels."""
    return grid(height, width, moved(rows, cols) @ type(TRANSFORM).scale(factor))


def linear_oracle(values: np.ndarray, factor: int, length: int) -> np.ndarray:
    """Interpolate along the last axis as every textbook does: centres at (i + 0.5) * factor, ends held."""
    centres = (np.arange(values.shape[-1]) + 0.5) * factor
    wanted = np.arange(length) + 0.5
    return np.apply_along_axis(lambda row: np.interp(wanted, centres, row), -1, values)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_linear_is_the_half_pixel_interpolation_of_the_textbook(factor):
    values = numbers(3, 48 // factor, 40 // factor).astype(float)
    found = resample(values, coarse_grid(factor, 48 // factor, 40 // factor), TILE, TILE.box)
    across = linear_oracle(values, factor, 40)
    expected = np.swapaxes(linear_oracle(np.swapaxes(across, -1, -2), factor, 48), -1, -2)
    np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_nearest_repeats_every_value():
    values = numbers(2, 6, 5).astype(float)
    found = resample(values, coarse_grid(8, 6, 5), TILE, TILE.box, "nearest")
    np.testing.assert_array_equal(found, np.kron(values, np.ones((8, 8))))


@settings(max_examples=25, deadline=None)
@given(st.floats(-20, 20), st.floats(-20, 20), st.integers(2, 9))
def test_a_plane_stays_a_plane_wherever_the_coarse_grid_lies(rows, cols, factor):
    source = coarse_grid(factor, 16, 15, rows - 30, cols - 30)
    y, x = (np.arange(16) + 0.5) * factor + rows - 30, (np.arange(15) + 0.5) * factor + cols - 30
    plane = 3.0 + 0.5 * y[:, None] - 0.25 * x[None, :]
    found = resample(plane[None], source, TILE, TILE.box)[0]
    ty, tx = np.arange(48) + 0.5, np.arange(40) + 0.5
    expected = 3.0 + 0.5 * ty[:, None] - 0.25 * tx[None, :]
    inside = (ty[:, None] >= y[0]) & (ty[:, None] <= y[-1]) & (tx[None, :] >= x[0]) & (tx[None, :] <= x[-1])
    np.testing.assert_allclose(found[inside], expected[inside], atol=2e-3)


def test_a_hole_lends_nothing_and_takes_nothing():
    values = np.full((2, 6, 5), 7.0)
    values[0, 2, 3] = np.nan
    found = resample(values, coarse_grid(8, 6, 5), TILE, TILE.box)
    assert (found[1] == 7.0).all(), "a band that is whole is not touched by the hole of another"
    known = np.isfinite(found[0])
    np.testing.assert_allclose(found[0][known], 7.0, rtol=1e-6)
    values[0] = np.nan
    assert np.isnan(resample(values, coarse_grid(8, 6, 5), TILE, TILE.box)[0]).all()


def test_beyond_the_raster_nothing_is_known():
    found = resample(np.ones((1, 2, 2)), coarse_grid(8, 2, 2), TILE, TILE.box)[0]
    assert np.isfinite(found[:16, :16]).all(), "up to its own corners"
    assert np.isnan(found[21:]).all()
    assert np.isnan(found[:, 21:]).all()
    far = resample(np.ones((1, 2, 2)), coarse_grid(8, 2, 2, rows=500), TILE, TILE.box)
    assert np.isnan(far).all()


def test_a_part_is_the_part_of_the_whole():
    values, source = numbers(2, 9, 8).astype(float), coarse_grid(7, 9, 8, -3.5, -5.25)
    part = Box(5, 9, 33, 38)
    whole = resample(values, source, TILE, TILE.box)
    np.testing.assert_array_equal(resample(values, source, TILE, part), whole[(slice(None), *part.slices)])


def test_another_coordinate_system_is_no_obstacle():
    lon, lat = 126.99, 37.23  # near the tile's origin in UTM 52
    source = PixelGrid("EPSG:4326", (0.001, 0, lon - 0.01, 0, -0.001, lat + 0.01), 24, 24)
    values = np.broadcast_to(lon - 0.01 + 0.001 * (np.arange(24) + 0.5), (1, 24, 24))
    found = resample(values, source, TILE, TILE.box)[0]
    import pyproj

    rows, cols = np.meshgrid(np.arange(48) + 0.5, np.arange(40) + 0.5, indexing="ij")
    expected = pyproj.Transformer.from_crs(TILE.crs, "EPSG:4326", always_xy=True).transform(*TILE.xy(rows, cols))[0]
    assert np.isfinite(found).any()
    known = np.isfinite(found)
    np.testing.assert_allclose(found[known], expected[known], atol=2e-5)


def test_channels_stand_in_the_order_of_the_document():
    names = channel_names(("red", "green", "blue", "nir"), [("gems", 2), ("air", 1)])
    assert names == ("red", "green", "blue", "nir", "mask", "gems0", "gems1", "air0")
    tile = numbers(5, 4, 3).astype(np.float32)
    gems, air = np.full((2, 4, 3), np.nan, np.float32), np.ones((1, 4, 3), np.float32)
    gems[1, 2, 1] = 9
    out = fused(tile, [gems, air], [np.array([4.0, 5.0]), np.array([0.0])])
    assert out.shape == (8, 4, 3)
    np.testing.assert_array_equal(out[:5], tile)
    assert (out[5] == 4).all(), "missing is the training mean, never zero"
    assert out[6, 2, 1] == 9
    assert (out[6] == 5).sum() == 11
    assert (out[7] == 1).all()


def test_what_cannot_be_resampled_is_refused():
    with pytest.raises(ValueError, match="known are"):
        resample(np.ones((1, 6, 5)), coarse_grid(8, 6, 5), TILE, TILE.box, "cubic")
    with pytest.raises(ValueError, match="their grid is 6 x 5"):
        resample(np.ones((1, 5, 6)), coarse_grid(8, 6, 5), TILE, TILE.box)
