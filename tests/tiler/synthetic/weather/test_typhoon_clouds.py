import numpy as np

from tiler.synthetic.weather.typhoon_clouds import cloud_cover

GRID = np.broadcast_arrays(np.arange(-800, 801, 10.0)[None, :], np.arange(800, -801, -10.0)[:, None])


def test_a_strong_storm_has_an_eye_in_a_dense_overcast():
    depth, eye = cloud_cover(*GRID, intensity=0.95, size=1.0, spin_rad=0.4, pixel_km=10.0, key=3)
    radius = np.hypot(*GRID)
    assert eye[80, 80] > 0.95
    assert eye[radius > 90].max() < 0.01
    assert depth[radius < 120].min() > 1.0
    assert depth[(radius > 350) & (radius < 600)].std() > 0.15  # bands, and gaps between them
    assert depth[radius > 790].max() < 0.5


def test_weak_storms_and_coarse_pixels_show_no_eye():
    for intensity, pixel_km in ((0.4, 10.0), (0.95, 400.0)):
        _, eye = cloud_cover(*GRID, intensity=intensity, size=1.0, spin_rad=0.0, pixel_km=pixel_km, key=3)
        assert eye.max() < 0.1


def test_bands_turn_with_the_storm():
    one, _ = cloud_cover(*GRID, intensity=0.8, size=1.0, spin_rad=0.3, pixel_km=10.0, key=5)
    turned, _ = cloud_cover(*GRID, intensity=0.8, size=1.0, spin_rad=0.3 + np.pi / 2, pixel_km=10.0, key=5)
    np.testing.assert_allclose(turned, np.rot90(one), atol=1e-4)
