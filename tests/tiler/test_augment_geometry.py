import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiler.augment_for_tests import ABOUT, BANDS, MASKS, SHAPES, one, seeded, tile
from tiler.augment import compose


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("HorizontalFlip", lambda a: [np.flip(a, -1)]),
        ("VerticalFlip", lambda a: [np.flip(a, -2)]),
        ("Transpose", lambda a: [a.swapaxes(-2, -1) if a.shape[-2] == a.shape[-1] else a]),
        ("RandomRotate90", lambda a: [np.rot90(a, k, (-2, -1)) for k in range(4)]),
    ],
)
def test_flips_and_turns_are_numpy_s(name, expected, shape):
    image, label = tile(shape)
    images, labels, seen = expected(image), expected(label), set()
    for seed in range(60):
        made, truth = one(name)(image, label, seeded(seed))
        which = [k for k, candidate in enumerate(images) if np.array_equal(candidate, made)]
        assert len(which) == 1
        np.testing.assert_array_equal(truth, labels[which[0]])
        seen.add(which[0])
    assert seen == ({0, 2} if name == "RandomRotate90" and shape[0] != shape[1] else set(range(len(images))))


def test_flips_and_transpose_are_the_eight_symmetries_equally_often():
    image, label = tile((24, 24))
    flips = compose(["HorizontalFlip", "VerticalFlip", "Transpose"], ABOUT)
    turned = [np.rot90(image, turns, (-2, -1)) for turns in range(4)]
    symmetries = [np.ascontiguousarray(a) for a in (*turned, *(np.flip(each, -1) for each in turned))]
    made = [flips(image, label, seeded(seed))[0] for seed in range(800)]
    counts = [sum(np.array_equal(each, one_of) for one_of in made) for each in symmetries]
    assert sum(counts) == 800
    assert max(abs(count - 100) for count in counts) < 4 * np.sqrt(800 * 1 / 8 * 7 / 8)


def crop_oracle(image, label, y0, x0, height, width):
    """Pixel by pixel, from the definition."""
    made, truth = np.empty_like(image), np.empty_like(label)
    rows, cols = label.shape
    for i in range(rows):
        for j in range(cols):
            y, x = (i + 0.5) * height / rows - 0.5, (j + 0.5) * width / cols - 0.5
            near = (
                y0 + int(np.clip(np.floor(y + 0.5), 0, height - 1)),
                x0 + int(np.clip(np.floor(x + 0.5), 0, width - 1)),
            )
            truth[i, j] = label[near]
            made[MASKS, i, j] = image[(MASKS, *near)]
            y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
            top, left = int(min(y, height - 1)), int(min(x, width - 1))
            total = 0.0
            for row, one_y in ((top, 1 - (y - top)), (min(top + 1, height - 1), y - top)):
                for col, one_x in ((left, 1 - (x - left)), (min(left + 1, width - 1), x - left)):
                    total = total + one_y * one_x * image[BANDS, y0 + row, x0 + col].astype(np.float64)
            made[BANDS, i, j] = total
    return made, truth


@pytest.mark.parametrize("shape", SHAPES)
def test_a_crop_is_bilinear_in_the_bands_and_nearest_elsewhere(shape):
    image, label = tile(shape)
    for seed in range(4):
        cropped = one("RandomResizedCrop", scale=[0.2, 0.9])
        drawing = seeded(seed)
        drawing.random()  # whether it happens
        place = cropped.operations[0].draw(shape, drawing)
        made, truth = cropped(image, label, seeded(seed))
        expected, labels = crop_oracle(image, label, *place)
        np.testing.assert_allclose(made, expected, atol=1e-3)
        np.testing.assert_array_equal(truth, labels)


def test_the_whole_tile_as_a_crop_is_the_tile():
    image, label = tile()
    made, truth = one("RandomResizedCrop", scale=[1.0, 1.0], ratio=[1.0, 1.0])(image, label, seeded(3))
    np.testing.assert_array_equal(made, image)
    np.testing.assert_array_equal(truth, label)


@settings(deadline=None)
@given(st.sampled_from([(512, 512), (100, 300)]), st.integers(0, 10_000))
def test_crops_stay_inside_and_within_their_ranges(shape, seed):
    operation = one("RandomResizedCrop", scale=[0.3, 0.8], ratio=[0.5, 2.0]).operations[0]
    y0, x0, height, width = operation.draw(shape, seeded(seed))
    assert 0 <= y0 <= y0 + height <= shape[0]
    assert 0 <= x0 <= x0 + width <= shape[1]
    assert 0.3 - 0.02 <= height * width / (shape[0] * shape[1]) <= 0.8 + 0.02
    assert 0.5 - 0.02 <= (width / shape[1]) / (height / shape[0]) <= 2.0 + 0.04
