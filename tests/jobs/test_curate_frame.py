"""Looks and frame of single tiles: what is missing, what is small, what is alone, strata."""

import numpy as np
import pytest

from jobs.curate_frame import BITS, LIKENESS, duplicate_groups, likeness, lonely, strata
from jobs.curate_looks import SIDE, Looks, look

RANDOM = np.random.default_rng(8)


def looks_of(images: np.ndarray, valid: np.ndarray | None = None) -> Looks:
    seen = np.ones((len(images), *images.shape[2:]), bool) if valid is None else valid
    found = [look(image, mask, 245) for image, mask in zip(images, seen, strict=True)]
    pictures, white, digests, hashes = zip(*found, strict=True)
    return Looks(np.stack(pictures), np.array(white), np.array(digests), np.array(hashes, np.uint64))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 90), (12, 20)])
def test_a_small_picture_has_the_means_of_the_valid_pixels(height, width):
    image = RANDOM.integers(0, 255, (3, height, width)).astype(np.uint16)
    valid = np.ones((height, width), bool)
    picture, white, name, _ = look(image, valid, 300)
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
    exact, near = duplicate_groups(looks, BITS)
    assert exact.tolist() == near.tolist() == [0, 1, 2]
    assert np.isnan(lonely(looks))[:2].all()


def test_exact_copies_are_near_copies_too_and_groups_are_named_by_their_first():
    images = RANDOM.integers(0, 255, (5, 3, 48, 48)).astype(np.uint8)
    images[3] = images[1]
    images[4] = images[1]
    images[4, 0, 5, 5] ^= 1
    exact, near = duplicate_groups(looks_of(images), BITS)
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


def test_brighter_copies_are_alike_and_pictures_of_one_layout_are_not():
    pictures = RANDOM.normal(120, 20, (4, 3, 8, 8))
    pictures[1] = 1.2 * pictures[0] + 5
    pictures[2, :, :4] = pictures[0, :, :4]
    pictures[3] = 7
    found = likeness(pictures, np.array([[0, 1], [0, 2], [0, 3]]))
    assert found == pytest.approx([1.0, 0.5, 0.0], abs=0.15)
    assert found[0] > LIKENESS > found[1]
