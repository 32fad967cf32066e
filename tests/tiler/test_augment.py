import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiler.augment import AUGMENTATIONS, Channels, compose

NAMES = ("red", "green", "mask", "nir", "gems", "gems_mask")
ABOUT = Channels(
    names=NAMES,
    mean=(100.0, 200.0, 0.0, 300.0, 5.0, 0.0),
    deviation=(10.0, 20.0, 1.0, 30.0, 2.0, 1.0),
    median=(90.0, 190.0, 0.0, 290.0, 4.0, 0.0),
    masks=("mask", "gems_mask"),
)
BANDS, MASKS = [0, 1, 3, 4], [2, 5]
REQUIRED = {"ModalityDropout": {"channels": ["gems"], "mask": "gems_mask"}}
SHAPES = [(24, 24), (24, 36), (17, 31)]


def tile(shape=(24, 36), seed=0):
    rng = np.random.default_rng(seed)
    image = rng.normal(100, 30, (6, *shape)).astype(np.float32)
    image[2] = rng.random(shape) < 0.2
    image[5] = rng.random(shape) < 0.1
    label = rng.integers(0, 2, shape).astype(np.uint8)
    label[rng.random(shape) < 0.1] = 255
    return image, label


def index_tile(shape):
    """Every band holds the pixel's row (bands 0, 3) or column (1, 4); the label's parity and the mask follow both."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    mask = ((y // 2 + x // 3) % 2 == 0).astype(np.float32)
    image = np.stack([y, x, mask, y, x, 1 - mask])
    return image, (mask * 3).astype(np.uint8)


def one(name, p=1.0, about=ABOUT, **options):
    return compose([{name: {**REQUIRED.get(name, {}), "p": p, **options}}], about)


def seeded(seed):
    return np.random.default_rng(seed)


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


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("HorizontalFlip", lambda a: [np.flip(a, -1)]),
        ("VerticalFlip", lambda a: [np.flip(a, -2)]),
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
