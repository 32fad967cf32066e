"""Dark objects: they see what is laid over a picture, and neither clouds beside them nor the scale of the numbers."""

import numpy as np
import pytest

from models.dark_objects import FLOOR, dark_objects

HEIGHT, WIDTH = 31, 47
SEEN = np.ones((HEIGHT, WIDTH), bool)


def ground(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(150, 4_000, (4, HEIGHT, WIDTH)).astype(np.uint16)


def test_it_is_the_first_percentile_of_each_band():
    image = ground(0)
    expected = [np.log(np.percentile(band, 1) / 20_000 + FLOOR) for band in image]
    assert dark_objects(image, SEEN, 20_000) == pytest.approx(expected)


def test_a_veil_moves_it_more_than_twice_as_much_as_the_mean_and_a_cloud_beside_it_does_not():
    image = ground(1)
    veiled, clouded = image + np.uint16(900), image.copy()
    clouded[:, :, : WIDTH // 2] = 15_000
    clear = dark_objects(image, SEEN, 20_000)
    moved = dark_objects(veiled, SEEN, 20_000) - clear
    assert (moved > 2 * np.log(veiled.mean(axis=(1, 2)) / image.mean(axis=(1, 2)))).all()
    assert (np.abs(dark_objects(clouded, SEEN, 20_000) - clear) < moved / 3).all()


def test_the_scale_of_the_sensor_does_not_matter():
    image = ground(2)
    assert dark_objects(image / 20_000, SEEN, 1.0) == pytest.approx(dark_objects(image, SEEN, 20_000))


def test_missing_pixels_have_no_part_and_nothing_seen_is_black():
    image, valid = ground(3), SEEN.copy()
    valid[4:7, 3:9] = False
    other = image.copy()
    other[:, ~valid] = 0
    assert dark_objects(image, valid, 20_000).tolist() == dark_objects(other, valid, 20_000).tolist()
    nothing = dark_objects(image, np.zeros_like(valid), 20_000)
    assert nothing.tolist() == dark_objects(np.zeros_like(image), SEEN, 20_000).tolist() == [np.log(FLOOR)] * 4
    assert np.isfinite(dark_objects(-image.astype(float), SEEN, 20_000)).all()
