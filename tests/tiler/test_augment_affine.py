import numpy as np
import pytest

from tests.tiler.augment_for_tests import ABOUT, one, seeded
from tiler.augment import Channels
from tiler.augment_affine import RandomAffine

STILL = {"rotation_degrees": (0.0, 0.0), "shift": (0.0, 0.0), "shear_degrees": (0.0, 0.0), "zoom": (1.0, 1.0)}
BARE = Channels(("red",), (0.0,), (1.0,), (0.0,), masks=())


def moved(image, **changed):
    label = (image[0] > 0.5).astype(np.uint8)
    return RandomAffine(BARE, 1.0, **(STILL | changed))(image.astype(np.float32), label, seeded(0))


def spot(y, x, shape=(21, 33)):
    image = np.zeros((1, *shape), np.float32)
    image[0, y, x] = 1
    return image


def place_of(label):
    return tuple(np.argwhere(label)[0].tolist())


def test_nothing_moves_without_a_range():
    image = np.random.default_rng(0).random((1, 17, 31)).astype(np.float32)
    made, _ = moved(image)
    np.testing.assert_allclose(made, image, atol=1e-6)


def test_each_motion_goes_where_it_says():
    # the centre of 21 x 33 pixels is (10, 16)
    assert place_of(moved(spot(10, 20), rotation_degrees=(90.0, 90.0))[1]) == (
        6,
        16,
    )  # against the clock: right goes up
    assert place_of(moved(spot(10, 16), shift=(0.1, 0.1))[1]) == (12, 19)  # 2.1 px down, 3.3 px right
    enlarged = moved(spot(10, 20), zoom=(2.0, 2.0))[1]
    assert np.argwhere(enlarged).mean(0).tolist() == pytest.approx([10, 24], abs=0.6)
    assert enlarged.sum() >= 4
    assert place_of(moved(spot(14, 16), shear_degrees=(45.0, 45.0))[1]) == (14, 20)


def test_the_border_is_repeated():
    image = np.tile(np.arange(33, dtype=np.float32), (21, 1))[None]
    made, _ = moved(image, shift=(0.5, 0.5))
    assert (made[0, :, :10] == 0).all()


def test_numbers_are_drawn_from_the_documents_ranges():
    operation = RandomAffine(BARE)
    drawn = [operation.draw(seeded(seed)) for seed in range(500)]
    rotation, shear = np.array([d[0] for d in drawn]), np.array([d[2] for d in drawn])
    shift, zoom = np.array([d[1] for d in drawn]), np.array([d[3] for d in drawn])
    for values, (low, high) in ((rotation, (-10, 10)), (shift, (-0.1, 0.1)), (shear, (-0.2, 0.2)), (zoom, (0.8, 1.2))):
        width = high - low
        assert low <= values.min() < low + 0.02 * width
        assert high - 0.02 * width < values.max() <= high
    assert abs(np.corrcoef(zoom.T)[0, 1]) < 0.2  # axes are drawn apart


@pytest.mark.parametrize("changed", [{"zoom": [0.0, 1.0]}, {"rotation_degrees": [10, -10]}, {"shift": [-2, 0]}])
def test_ranges_without_meaning_are_refused(changed):
    with pytest.raises(ValueError, match="is a range"):
        one("RandomAffine", about=ABOUT, **changed)
