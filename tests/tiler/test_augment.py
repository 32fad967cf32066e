import numpy as np
import pytest

from tests.tiler.augment_for_tests import ABOUT, MASKS, SHAPES, index_tile, one, seeded, tile
from tiler.augment import AUGMENTATIONS, Channels, compose


class TestContract:
    """What every entry of the table owes."""

    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("name", AUGMENTATIONS)
    def test_shapes_types_and_binary_masks_stay(self, name, shape):
        for seed in range(10):
            image, label = tile(shape, seed)
            copies = image.copy(), label.copy()
            image.flags.writeable = label.flags.writeable = False
            made, truth = one(name)(image, label, seeded(seed))
            assert (made.shape, made.dtype) == (image.shape, np.float32)
            assert (truth.shape, truth.dtype) == (label.shape, np.uint8)
            assert set(np.unique(made[MASKS])) <= {0.0, 1.0}
            assert set(np.unique(truth)) <= {0, 1, 255}
            assert np.isfinite(made).all()
            assert made.flags.c_contiguous
            assert truth.flags.c_contiguous
            np.testing.assert_array_equal(image, copies[0])
            np.testing.assert_array_equal(label, copies[1])

    @pytest.mark.parametrize("name", AUGMENTATIONS)
    def test_the_result_is_a_function_of_the_generator(self, name):
        image, label = tile((24, 24))
        results = [one(name, p=0.8)(image, label, seeded(seed))[0].tobytes() for seed in (*range(20), *range(20))]
        assert results[:20] == results[20:]
        assert len(set(results)) > 1

    @pytest.mark.parametrize("name", AUGMENTATIONS)
    def test_it_happens_with_its_chance(self, name):
        image, label = tile((24, 24))
        happened = [not np.array_equal(one(name, p=0.3)(image, label, seeded(s))[0], image) for s in range(400)]
        # RandomRotate90 turns by nothing in a quarter of the cases
        expected = 0.3 * (0.75 if name == "RandomRotate90" else 1.0)
        assert abs(np.mean(happened) - expected) < 4 * np.sqrt(expected * (1 - expected) / 400)
        assert np.array_equal(one(name, p=0.0)(image, label, seeded(1))[0], image)

    @pytest.mark.parametrize("name", AUGMENTATIONS)
    def test_image_mask_and_label_move_together(self, name):
        for seed in range(10):
            image, label = index_tile((24, 36))
            made, truth = one(name)(image, label, seeded(seed))
            touched = made[2] != truth / 3  # only a dropout may flag what the label does not know of
            assert not touched.any() or name == "CoarseDropout"
            assert (made[2][touched] == 1).all()


def test_operations_follow_each_other_and_share_the_generator():
    image, label = tile((24, 24))
    config = ["HorizontalFlip", {"GaussianNoise": {"p": 1}}, {"RandomResizedCrop": None}]
    together, steps = compose(config, ABOUT), [compose([item], ABOUT) for item in config]
    for seed in range(5):
        random, expected = seeded(seed), (image, label)
        for step in steps:
            expected = step(*expected, random)
        for found, wanted in zip(together(image, label, seeded(seed)), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
    assert compose([], ABOUT)(image, label, seeded(0))[0] is image


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (["HorizontalFlop"], "did you mean 'HorizontalFlip'"),
        ([{"GaussianNoise": {"ds": [0, 1]}}], "unknown setting of GaussianNoise 'ds'; did you mean 'sd'"),
        ([{"GaussianNoise": {"sd": [1, 0]}}], r"sd is a range .* got \(1, 0\)"),
        ([{"GaussianNoise": {"sd": 3}}], "sd is a range .* got 3"),
        ([{"RandomResizedCrop": {"scale": [0.5, 1.5]}}], "scale is a range"),
        ([{"HorizontalFlip": {"p": 2}}], "chance"),
        ([{"ModalityDropout": {}}], "name channels and one of the masks"),
        ([{"ModalityDropout": {"channels": ["air"]}}], r"names the channels \['air'\]"),
        ([{"ModalityDropout": {"channels": ["gems"], "mask": "gems"}}], "name channels and one of the masks"),
        ([{"ColorJitter": {"channels": ["air"]}}], r"names the channels \['air'\]"),
        ([{"HorizontalFlip": {}, "VerticalFlip": {}}], "one name"),
    ],
)
def test_wrong_configurations_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        compose(config, ABOUT)


def test_wrong_channels_are_refused():
    with pytest.raises(ValueError, match=r"\['mean'\] must hold 2 numbers"):
        Channels(("red", "mask"), (1.0,), (1.0, 1.0), (1.0, 1.0))
    with pytest.raises(ValueError, match=r"names the channels \['mask'\]"):
        Channels(("red",), (1.0,), (1.0,), (1.0,))
    bare = Channels(("red",), (1.0,), (1.0,), (1.0,), masks=())
    with pytest.raises(ValueError, match="set it to false"):
        compose(["CoarseDropout"], bare)
    image, label = tile()
    assert one("GaussianNoise", about=bare)(image[:1], label, seeded(0))[0].shape == (1, 24, 36)
