"""Readers of tiles over any ground: a plain one stands in for scenes and data sets."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tiler.augment import Channels, compose
from tiler.grids import Box
from tiler.ground import Statistics
from tiler.tiles import HeldBackTiles, TrainingTiles, filled

CHANNELS = ("red", "mask", "gems0")


class Numbers:
    """Ground of random numbers; the coarse channel of every second place is missing in part."""

    channels = CHANNELS
    tiles = 5

    def draw(self, random, index):
        return int(random.integers(1000)), Box(index, 0, index + 6, 9)

    def read(self, place):
        number, box = place
        image = np.random.default_rng([number, box.y0]).random((3, 6, 9)).astype(np.float32)
        image[1] = 0
        if number % 2:
            image[2, 2:, 3:] = np.nan
        return image, np.full((6, 9), number % 2, np.uint8)

    def held_back(self):
        return [(number, Box(0, 0, 6, 9)) for number in range(7)]

    read_held_back = read

    def statistics(self):
        return Statistics((0.5, 0.0, 7.25), (0.3, 1.0, 2.0), (0.4, 0.0, 7.0))


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_missing_coarse_value_is_the_training_mean():
    tiles = TrainingTiles(Numbers(), 20)
    missing = 0
    for i in range(20):
        image, label = tiles[i]
        assert np.isfinite(image).all()
        if label[0, 0]:
            assert (image[2, 2:, 3:] == np.float32(7.25)).all()
            assert (image[2, :2] != np.float32(7.25)).all()
            missing += 1
    assert 0 < missing < 20
    held_back = HeldBackTiles(Numbers())
    assert (held_back[1][0][2, 2:, 3:] == np.float32(7.25)).all()


def test_augmentation_draws_from_seed_epoch_and_index():
    about = Channels(CHANNELS, (0.5, 0.0, 7.25), (0.3, 1.0, 2.0), (0.4, 0.0, 7.0))
    augment = compose(["HorizontalFlip", "VerticalFlip", {"GaussianNoise": {"p": 1.0, "sd": [0.1, 0.2]}}], about)
    first, second = (TrainingTiles(Numbers(), 6, seed=3, augment=augment) for _ in range(2))
    assert all(same(first[i], second[5 - (5 - i)]) for i in range(6))
    plain = TrainingTiles(Numbers(), 6, seed=3)
    assert not any(np.array_equal(first[i][0], plain[i][0]) for i in range(6))
    second.set_epoch(1)
    assert not any(np.array_equal(first[i][0], second[i][0]) for i in range(6))


def test_a_limit_spreads_validation_over_all_of_it():
    places = [HeldBackTiles(Numbers(), limit)._places for limit in (None, 3, 7, 100)]
    assert [[number for number, _ in p] for p in places] == [list(range(7)), [0, 2, 4], list(range(7)), list(range(7))]
    tiles = HeldBackTiles(Numbers(), 3)
    before = tiles[1]
    tiles.set_epoch(4)
    assert same(tiles[1], before)
    assert len(tiles) == 3


def test_past_the_end_there_is_nothing():
    for index in (-1, 4):
        with pytest.raises(IndexError, match=f"tile {index} of 4"):
            TrainingTiles(Numbers(), 4)[index]


def test_filling_touches_only_what_is_missing():
    image = np.array([[[1, np.nan]], [[np.nan, 4]]], np.float32)
    filled(image, np.array([8, 9], np.float32))
    assert_array_equal(image, [[[1, 8]], [[9, 4]]])
