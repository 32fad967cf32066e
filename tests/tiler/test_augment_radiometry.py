import numpy as np
import pytest

from tests.tiler.augment_for_tests import ABOUT, BANDS, MASKS, one, seeded, tile
from tiler.augment import compose
from tiler.augment_radiometry import blur_matrix


def test_noise_has_its_size_and_spares_what_is_missing():
    image, label = tile((200, 240))
    made, _ = one("GaussianNoise", sd=[0.5, 0.5])(image, label, seeded(2))
    noise, missing = made - image, image[2] == 1
    assert not noise[:, missing].any()
    assert not noise[MASKS].any()
    for band in BANDS:
        own = noise[band][~missing]
        assert own.std() == pytest.approx(0.5 * ABOUT.deviation[band], rel=0.03)
        assert abs(own.mean()) < 0.02 * ABOUT.deviation[band]
    assert abs(np.corrcoef(noise[0][~missing], noise[1][~missing])[0, 1]) < 0.03


def test_jitter_is_linear_per_band_and_its_ranges_are_filled():
    wide = {"gain": [0.8, 1.2], "offset": [-0.2, 0.3], "band_gain": [0.9, 1.1], "band_offset": [-0.1, 0.1]}
    operation = one("ColorJitter", **wide).operations[0]
    gains, offsets = (np.array(v) for v in zip(*(operation.draw(seeded(s)) for s in range(3000)), strict=True))
    for values, low, high in ((gains, 0.8 * 0.9, 1.2 * 1.1), (offsets, -0.3, 0.4)):
        assert low <= values.min() < low + 0.05
        assert high - 0.05 < values.max() <= high
    assert np.corrcoef(gains[:, 0], gains[:, 1])[0, 1] > 0.5  # the common part
    assert (gains[:, 0] != gains[:, 1]).all()  # and each one's own
    image, label = tile()
    made, truth = one("ColorJitter", **wide)(image, label, seeded(4))
    for band in BANDS:
        slope, start = np.polyfit(image[band].ravel(), made[band].ravel(), 1)
        np.testing.assert_allclose(made[band], slope * image[band] + start, atol=1e-2)
    np.testing.assert_array_equal(made[MASKS], image[MASKS])
    np.testing.assert_array_equal(truth, label)
    only, _ = one("ColorJitter", channels=["nir"])(image, label, seeded(4))
    changed = [c for c in range(6) if not np.array_equal(only[c], image[c])]
    assert changed == [3]


@pytest.mark.parametrize("flag", [True, False])
def test_dropped_pixels_follow_the_policy(flag):
    image, label = tile((40, 60))
    for seed in range(10):
        operation = one("CoarseDropout", count=[2, 5], size=[0.1, 0.3], flag=flag)
        drawing = seeded(seed)
        drawing.random()
        gone = operation.operations[0].draw(label.shape, drawing)
        made, truth = operation(image, label, seeded(seed))
        assert 0 < gone.mean() < 5 * 0.3**2 + 0.02
        expected = image.copy()
        for band in BANDS:
            expected[band][gone] = (ABOUT.median if flag else ABOUT.mean)[band]
        if flag:
            expected[2][gone] = 1
        np.testing.assert_array_equal(made, expected)
        np.testing.assert_array_equal(truth, label)


def test_a_dropped_modality_is_its_training_mean_and_flagged():
    image, label = tile()
    made, truth = one("ModalityDropout")(image, label, seeded(0))
    assert (made[4] == 5.0).all()
    assert (made[5] == 1).all()
    np.testing.assert_array_equal(made[:4], image[:4])
    np.testing.assert_array_equal(truth, label)
    unflagged, _ = compose([{"ModalityDropout": {"channels": ["gems", "nir"], "p": 1}}], ABOUT)(image, label, seeded(0))
    np.testing.assert_array_equal(unflagged[[0, 1, 2, 5]], image[[0, 1, 2, 5]])
    assert (unflagged[3] == 300.0).all()


def test_blur_is_a_gaussian_that_repeats_the_border():
    matrix = blur_matrix(41, 3.0)
    expected = np.exp(-0.5 * (np.arange(-20, 21) / 3.0) ** 2)
    np.testing.assert_allclose(matrix[20], expected / expected.sum(), atol=1e-6)
    np.testing.assert_allclose(matrix.sum(1), 1.0, rtol=1e-6)
    assert matrix[0, 0] > 0.5  # half of the bell lies beyond the border
    np.testing.assert_array_equal(blur_matrix(9, 0.0), np.eye(9, dtype=np.float32))


def test_blur_smooths_bands_alone_and_keeps_their_level():
    image, label = tile((40, 60))
    made, _ = one("GaussianBlur", sigma_px=[2.0, 2.0])(image, label, seeded(1))
    np.testing.assert_array_equal(made[MASKS], image[MASKS])
    for band in BANDS:
        assert made[band].mean() == pytest.approx(image[band].mean(), rel=0.01)
        # white noise keeps 1 / (4 pi sigma^2) of its variance
        inside = made[band][8:-8, 8:-8].var()
        assert inside == pytest.approx(image[band].var() / (4 * np.pi * 4), rel=0.35)
