import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiler.rasters_for_tests import TRANSFORM, grid, moved, numbers
from tiler.fusion import coarse_channels, resample
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


def test_what_cannot_be_resampled_is_refused():
    with pytest.raises(ValueError, match="known are"):
        resample(np.ones((1, 6, 5)), coarse_grid(8, 6, 5), TILE, TILE.box, "cubic")
    with pytest.raises(ValueError, match="their grid is 6 x 5"):
        resample(np.ones((1, 5, 6)), coarse_grid(8, 6, 5), TILE, TILE.box)


def test_bands_together_are_the_bands_one_by_one():
    """Bands that miss unlike pixels share coordinates and weights, and nothing else."""
    values = numbers(5, 9, 8).astype(float)
    values[1, 2:4, 3] = values[3, 2:4, 3] = np.nan
    values[2, 0] = np.nan
    values[4] = np.nan
    source, box = coarse_grid(7, 9, 8, -3.5, -5.25), Box(-20, -9, 60, 55)
    together = resample(values, source, TILE, box)
    for band, plane in enumerate(values):
        np.testing.assert_array_equal(together[band], resample(plane[None], source, TILE, box)[0])


@pytest.mark.parametrize("factor", [2, 3])
def test_a_finer_raster_is_averaged_over_the_pixels(factor):
    """And a part is still the part of the whole."""
    y, x = np.mgrid[0 : 48 * factor, 0 : 40 * factor]
    values = (5.0 + 0.5 * y - 0.25 * x)[None]
    source = coarse_grid(1, 48, 40)
    a, b, c, d, e, f = source.transform
    source = PixelGrid(source.crs, (a / factor, b, c, d, e / factor, f), 48 * factor, 40 * factor)
    found = resample(values, source, TILE, TILE.box)[0]
    expected = values[0].reshape(48, factor, 40, factor).mean(axis=(1, 3))
    np.testing.assert_allclose(found[1:-1, 1:-1], expected[1:-1, 1:-1], atol=2e-3)
    part = Box(5, 9, 33, 38)
    np.testing.assert_array_equal(resample(values, source, TILE, part)[0], found[part.slices])


def test_channels_of_a_modality_by_name():
    values, source = numbers(3, 6, 5).astype(float), coarse_grid(8, 6, 5)
    values[0, 2:, 1:] = np.nan
    values[1:, 3:, 2:] = np.nan
    found = coarse_channels(("a", "b", "c"), ("c", "x_mask", "a"), values, source, TILE, TILE.box)
    bands = resample(values, source, TILE, TILE.box)
    np.testing.assert_array_equal(found[0], bands[2])
    np.testing.assert_array_equal(found[2], bands[0])
    np.testing.assert_array_equal(found[1], np.isnan(bands).all(axis=0))
    assert 0 < found[1].sum() < np.isnan(bands[0]).sum(), "missing is where no band says anything"
    absent = coarse_channels(("a", "b", "c"), ("x_mask", "b"), values[:, :0, :0], None, TILE, Box(-3, 2, 4, 11))
    assert absent.shape == (2, 7, 9)
    assert (absent[0] == 1).all()
    assert np.isnan(absent[1]).all()
