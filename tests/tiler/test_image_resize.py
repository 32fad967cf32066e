import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tests.tiler.images_for_tests import picture
from tiler.image_resize import Fit, resize, resize_label
from tiler.labels import IGNORE

SIZES = st.integers(1, 23)


def area_means(plane: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """Return area means by way of pixels that are cut into rows x cols parts each."""
    fine = np.repeat(np.repeat(plane, rows, 0), cols, 1)
    height, width = plane.shape
    return fine.reshape(rows, height, cols, width).mean(axis=(1, 3))


@settings(deadline=None)
@given(SIZES, SIZES, st.data())
def test_what_shrinks_is_the_mean_of_the_area(height, width, data):
    rows, cols = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    plane = np.random.default_rng(height * 31 + width).integers(0, 256, (height, width))
    found = resize(plane[None].astype(np.uint8), rows, cols)
    assert_allclose(found[0], area_means(plane, rows, cols), atol=1e-3)
    assert found.mean() == pytest.approx(plane.mean(), abs=1e-3), "no light is lost"


@settings(deadline=None)
@given(SIZES, SIZES, SIZES, SIZES)
def test_a_flat_image_stays_flat_at_any_size(height, width, rows, cols):
    assert_allclose(resize(np.full((2, height, width), 77, np.uint8), rows, cols), 77, rtol=1e-6)


def test_what_grows_is_linear_between_the_middles_of_pixels():
    ramp = (np.arange(6, dtype=np.float32) * 10)[None, None].repeat(4, axis=1)
    found = resize(ramp, 4, 12)[0]
    expected = np.clip((np.arange(12) + 0.5) / 2 - 0.5, 0, 5) * 10
    assert_allclose(found, np.repeat(expected[None], 4, 0), atol=1e-4)
    image = picture(9, 13)[..., 0][None]
    assert_array_equal(resize(image, 9, 13), image)


def label(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice(np.array([0, 0, 0, 1, 2, IGNORE], np.uint8), (height, width))


@settings(deadline=None)
@given(SIZES, SIZES, SIZES, SIZES, st.sampled_from(["nearest", "most", "any"]))
def test_masks_hold_no_class_that_was_not_there(height, width, rows, cols, how):
    truth = label(height, width)
    found = resize_label(truth, rows, cols, how)
    assert found.shape == (rows, cols)
    assert found.dtype == np.uint8
    assert set(np.unique(found)) <= set(np.unique(truth))
    assert_array_equal(resize_label(truth, height, width, how), truth)


def test_a_hair_is_kept_by_any_and_lost_by_most():
    hair = np.zeros((40, 60), np.uint8)
    hair[:, 31] = 1
    assert (resize_label(hair, 10, 15, "any")[:, 7] == 1).all()
    assert resize_label(hair, 10, 15, "any").sum() == 10
    assert resize_label(hair, 10, 15, "most").sum() == 0
    assert resize_label(hair, 10, 15, "nearest").sum() == 0, "the hair is not in the middle of a pixel"


def test_any_prefers_classes_to_the_unknown_and_that_to_background():
    block = np.zeros((2, 6), np.uint8)
    block[0] = [0, IGNORE, IGNORE, 1, 2, 1]
    assert_array_equal(resize_label(block, 1, 3, "any"), [[IGNORE, 1, 2]])
    assert_array_equal(resize_label(np.array([[0, 0, 0, 1, 1, 2]], np.uint8), 1, 2, "most"), [[0, 1]])


@pytest.mark.parametrize(("height", "width"), [(40, 100), (100, 40), (33, 33), (5, 200)])
@pytest.mark.parametrize("how", ["stretch", "pad", "crop"])
def test_an_image_fits_its_tile(height, width, how):
    side = 20
    fit = Fit.of(how, height, width, side)
    pixels = np.full((3, height, width), 90, np.uint8)
    image, valid = fit.image(pixels, side)
    mask = fit.label(np.ones((height, width), np.uint8), side, "nearest")
    assert image.shape == (3, side, side)
    assert (image[:, valid] == 90).all()
    assert (image[:, ~valid] == 0).all()
    assert_array_equal(mask == 1, valid)
    assert_array_equal(mask == IGNORE, ~valid)
    if how == "pad":
        rows, cols = valid.any(1).sum(), valid.any(0).sum()
        assert max(rows, cols) == side
        assert abs(rows * width - cols * height) <= max(height, width), "its shape is kept, to half a pixel"
        ys = np.flatnonzero(valid.any(1))
        assert abs(ys[0] - (side - 1 - ys[-1])) <= 1, "in the middle"
    else:
        assert valid.all()


def test_a_crop_is_the_middle_square():
    pixels = np.zeros((1, 30, 50), np.uint8)
    pixels[:, :, 10:40] = 200
    image, _ = Fit.of("crop", 30, 50, 15).image(pixels, 15)
    assert (image == 200).all()


@settings(deadline=None)
@given(st.integers(3, 40), st.integers(3, 40), st.integers(4, 24), st.sampled_from(["stretch", "pad", "crop"]))
def test_what_is_found_on_a_tile_comes_back_where_the_image_was(height, width, side, how):
    place = Fit.of(how, height, width, side)
    rows, cols = np.mgrid[:height, :width].astype(np.float32)
    ramp = np.stack([rows, cols])
    tile, valid = place.image(ramp, side)
    back = place.restored(np.where(valid, tile, np.nan), height, width)
    known = ~np.isnan(back).any(axis=0)
    inside = np.zeros((height, width), bool)
    inside[place.y0 : place.y0 + place.height, place.x0 : place.x0 + place.width] = True
    assert_array_equal(known, inside)
    coarse = max(1, place.height / place.rows, place.width / place.cols)
    assert np.abs(back - ramp)[:, known].max() <= coarse + 1e-3, "within a pixel of the coarser of both"
