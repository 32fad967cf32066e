import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from models.image_distance import Psnr, Ssim, shrunk, unit_images


def frames(n, height=37, width=83, seed=0):
    """Smooth images of 3 bands with some noise: both high and low similarities."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 20
    phase = rng.uniform(0, 6, (n, 3, 1, 1))
    wave = 0.5 + 0.4 * np.sin(x + phase) * np.cos(y - phase)
    return torch.from_numpy(np.clip(wave + rng.normal(0, 0.05, wave.shape), 0, 1).astype(np.float32))


def scikit_ssim(a, b):
    flags = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    a, b = (image.double().numpy() for image in (a, b))
    return structural_similarity(a, b, data_range=1.0, channel_axis=0, **flags)


@pytest.mark.parametrize("shape", [(37, 83), (11, 140), (64, 64)])
def test_ssim_is_that_of_scikit_image(shape):
    a, b = frames(3, *shape, seed=1), frames(4, *shape, seed=2)
    metric = Ssim()
    found = metric.compare(metric.prepare(a), metric.prepare(b))
    expected = [[scikit_ssim(x, y) for y in b] for x in a]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(metric.compare(metric.prepare(a), metric.prepare(a)).diagonal(), 1, atol=1e-6)


def test_ssim_does_not_depend_on_how_many_pairs_are_in_memory(monkeypatch):
    a, metric = frames(7), Ssim()
    whole = metric.compare(metric.prepare(a), metric.prepare(a))
    monkeypatch.setattr("models.image_distance.PAIR_VALUES", 2 * a[0].numel())
    np.testing.assert_allclose(metric.compare(metric.prepare(a), metric.prepare(a)), whole, atol=1e-6)


def test_psnr_is_that_of_scikit_image():
    a, b, metric = frames(3, seed=1), frames(4, seed=2), Psnr()
    found = metric.compare(metric.prepare(a), metric.prepare(b))
    expected = [[peak_signal_noise_ratio(x.numpy(), y.numpy(), data_range=1) for y in b] for x in a]
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert torch.isinf(metric.compare(metric.prepare(a), metric.prepare(a)).diagonal()).all()


def test_small_images_are_refused_by_ssim():
    with pytest.raises(ValueError, match=r"at least 11 px a side, got \(10, 40\)"):
        Ssim().prepare(torch.zeros(1, 3, 10, 40))


def test_missing_pixels_take_the_mean_of_what_the_frame_saw():
    images = np.array([[[[10, 20, 99]], [[30, 99, 50]], [[99, 99, 99]]]], np.uint8)
    valid = images < 99
    found = unit_images(images, valid, np.array([0, 30, 0]), np.array([100, 40, 1]))
    np.testing.assert_allclose(found, [[[[0.1, 0.2, 0.15]], [[0, 0.25, 0.5]], [[0.5, 0.5, 0.5]]]])
    assert found.dtype == np.float32


def test_shrunk_images_are_area_means_of_the_same_shape():
    image = torch.arange(8.0 * 12).view(1, 1, 8, 12)
    expected = image.view(1, 1, 4, 2, 6, 2).mean((3, 5))
    torch.testing.assert_close(shrunk(image, 4), expected)
    assert shrunk(image, None) is image
    assert shrunk(image, 100) is image
