"""Looks and frame of single tiles: what is missing, what is small, what is alone, strata."""

import numpy as np
import pytest

from jobs.curate_frame import duplicate_groups, lonely, strata
from jobs.curate_looks import SIDE, Looks, look

RANDOM = np.random.default_rng(8)


def looks_of(images: np.ndarray, valid: np.ndarray | None = None) -> Looks:
    seen = np.ones((len(images), *images.shape[2:]), bool) if valid is None else valid
    found = [look(image, mask, 245) for image, mask in zip(images, seen, strict=True)]
    pictures, white, digests = zip(*found, strict=True)
    return Looks(np.stack(pictures), np.array(white), np.array(digests))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 90), (12, 20)])
def test_a_small_picture_has_the_means_of_the_valid_pixels(height, width):
    image = RANDOM.integers(0, 255, (3, height, width)).astype(np.uint16)
    valid = np.ones((height, width), bool)
    picture, white, name = look(image, valid, 300)
    side = min(SIDE, height, width)
    assert picture.shape == (3, side, side)
    if (height, width) == (64, 64):
        assert picture[1, 3, 5] == pytest.approx(image[1, 6:8, 10:12].mean())
    assert (white, len(name)) == (0.0, 64)
    valid[:, : width // 2] = False
    half = look(image, valid, 300)[0]
    other = np.where(valid, image, 9)
    assert np.array_equal(half, look(other, valid, 300)[0]), "missing pixels do not count"
    assert half[0, :, 0] == pytest.approx(image[0][valid].mean(), rel=1e-5)


def test_near_white_needs_every_band():
    image = np.full((3, 40, 40), 255, np.uint8)
    image[2, :10] = 200
    assert look(image, np.ones((40, 40), bool), 245)[1] == pytest.approx(0.75)


def test_a_tile_without_pixels_is_nothing_and_a_copy_of_nothing():
    images = np.zeros((3, 2, 40, 40), np.uint8)
    valid = np.zeros((3, 40, 40), bool)
    valid[2] = True
    looks = looks_of(images, valid)
    assert looks.seen.tolist() == [False, False, True]
    exact, near = duplicate_groups(looks)
    assert exact.tolist() == near.tolist() == [0, 1, 2]
    assert np.isnan(lonely(looks))[:2].all()


def test_exact_copies_are_near_copies_too_and_groups_are_named_by_their_first():
    images = RANDOM.integers(0, 255, (5, 3, 48, 48)).astype(np.uint8)
    images[3] = images[1]
    images[4] = images[1]
    images[4, 0, 5, 5] ^= 1
    exact, near = duplicate_groups(looks_of(images))
    assert exact.tolist() == [0, 1, 2, 1, 4]
    assert near.tolist() == [0, 1, 2, 1, 1]


def test_a_tile_of_another_sensor_is_lonely():
    images = RANDOM.normal(900, 30, (40, 4, 32, 32))
    images[11] *= 10
    scores = lonely(looks_of(images))
    assert scores.argmax() == 11
    assert scores[11] > 3.5


def test_strata_are_coverage_x_land_cover():
    means = np.repeat([[100.0, 900.0], [800.0, 200.0], [400.0, 400.0]], [9, 6, 3], axis=0)
    means += RANDOM.normal(0, 5, means.shape)
    coverage = np.tile([0.0, 0.3, 0.9], 6)
    coverage[4] = np.nan
    seen = np.arange(18) != 17
    found = strata(coverage, means, seen)
    assert found[:3].tolist() == ["none, cover 0", "sparse, cover 0", "dense, cover 0"]
    assert found[4] == "unlabelled, cover 0"
    assert found[9].endswith("cover 1")
    assert found[15].endswith("cover 2")
    assert found[17] == ""
    assert set(strata(coverage[:2], means[:2], seen[:2])) == {"none, cover 0", "sparse, cover 0"}


def test_strata_tell_as_many_land_covers_as_one_asks_for():
    means = np.repeat([[1.0, 9.0], [8.0, 2.0], [4.0, 4.0], [9.0, 9.0]], 5, axis=0) + RANDOM.normal(0, 0.05, (20, 2))
    for covers in (1, 2, 4):
        found = strata(np.full(20, 0.6), means, np.ones(20, bool), covers)
        assert set(found) == {f"dense, cover {number}" for number in range(covers)}


def test_one_ground_on_two_days_is_no_copy_where_days_are_told_apart():
    images = RANDOM.normal(900, 80, (3, 4, 32, 32))
    images[1] = 1.1 * images[0] + 20
    images[2] = 0.9 * images[0]
    looks = looks_of(images)
    assert duplicate_groups(looks)[1].tolist() == [0, 0, 0]
    assert duplicate_groups(looks, np.array(["2024-05-01", "2024-05-01", "2024-10-12"]))[1].tolist() == [0, 0, 2]
