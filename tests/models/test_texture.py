"""The histogram of gradients does not see brightness, and sees what is flat."""

import numpy as np
import pytest

from models.texture import STEPS, gradient_histogram

HEIGHT, WIDTH = 11, 17
SEEN = np.ones((HEIGHT, WIDTH), bool)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, (3, HEIGHT, WIDTH)).astype(np.uint8)


def test_brightness_changes_nothing():
    image = noise(0)
    histogram = gradient_histogram(image, SEEN, 255)
    assert histogram.sum() == pytest.approx(1)
    assert gradient_histogram(image + np.uint8(40), SEEN, 255) == pytest.approx(histogram)


def test_a_flat_image_is_flat_and_an_edge_is_counted_once_a_row():
    image = np.full((1, HEIGHT, WIDTH), 30, np.uint8)
    assert gradient_histogram(image, SEEN, 255).tolist() == [1.0] + [0.0] * len(STEPS)
    image[:, :, 5:] = 230
    histogram = gradient_histogram(image, SEEN, 255)
    assert histogram[-1] == pytest.approx(1 / (WIDTH - 1))
    assert histogram[0] == pytest.approx(1 - 1 / (WIDTH - 1))


def test_the_scale_of_the_sensor_does_not_matter():
    image = noise(1)
    many = image.astype(np.uint16) * 40
    assert gradient_histogram(many, SEEN, 255 * 40) == pytest.approx(gradient_histogram(image, SEEN, 255))


def test_missing_pixels_have_no_part():
    image, valid = noise(2), SEEN.copy()
    valid[4:7, 3:9] = False
    other = image.copy()
    other[:, ~valid] = 255
    assert gradient_histogram(image, valid, 255) == pytest.approx(gradient_histogram(other, valid, 255))
    assert gradient_histogram(image, np.zeros_like(valid), 255)[0] == 1
