"""Pre-processing by name: what every operation owes, and what each of them promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tests.tiler.images_for_tests import picture
from tiler.luminance import RGB, luminance
from tiler.preprocess import OPERATIONS, preparation

HEIGHT, WIDTH = 36, 50
SETTINGS = {"resize": {"height_px": 20, "width_px": 70}}
CONFIGS = [
    *([{name: SETTINGS.get(name)}] for name in OPERATIONS),
    *([{"colour": {"method": method}}] for method in ("standardise", "stretch")),
    [{"light_removal": {"scales": [0.05, 0.2]}}],
    [{"gray": {"count": 1}}],
    ["colour", "light_removal", "gray"],
]


def image(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.moveaxis(picture(height, width, seed), 2, 0).astype(np.float32)


def holed() -> np.ndarray:
    valid = np.ones((HEIGHT, WIDTH), bool)
    valid[:7] = valid[20:25, 30:] = False
    return valid


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_every_operation_keeps_its_contract(config):
    prepare = preparation(config)
    before, valid = image(), holed()
    for seen in (np.ones_like(valid), valid, np.zeros_like(valid)):
        found, kept = prepare(before, seen)
        assert found.dtype == np.float32
        assert kept.dtype == bool
        assert found.shape == (len(prepare.bands(RGB)), *kept.shape)
        assert np.isfinite(found).all()
        assert found.min() >= 0
        assert found.max() <= 255
        if not prepare.resizes:
            assert_array_equal(kept, seen)
    assert_array_equal(before, image(), "what was given is not touched")
    flat, _ = prepare(np.full((3, HEIGHT, WIDTH), 60, np.float32), valid)
    assert np.ptp(flat[0][prepare(before, valid)[1]]) < 1e-2, "flat stays flat"


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_missing_pixels_have_no_say(config):
    prepare, valid = preparation(config), holed()
    dark, bright = (np.where(valid, image(), np.float32(v)) for v in (0, 255))
    (first, kept), (second, _) = prepare(dark, valid), prepare(bright, valid)
    assert_allclose(first[:, kept], second[:, kept], atol=1e-3)


def test_gray_is_the_luma_of_bt_601():
    found, _ = preparation(["gray"])(image(), np.ones((HEIGHT, WIDTH), bool))
    red, green, blue = image()
    assert_allclose(found, np.stack([0.299 * red + 0.587 * green + 0.114 * blue] * 3), rtol=1e-5)
    twice, _ = preparation(["gray", "gray"])(image(), np.ones((HEIGHT, WIDTH), bool))
    assert_allclose(twice, found, rtol=1e-5)


@settings(deadline=None, max_examples=20)
@given(st.tuples(*[st.floats(0.3, 1.0)] * 3), st.integers(0, 5))
def test_gray_world_takes_the_tint_of_the_light_away(tint, seed):
    everything = np.ones((HEIGHT, WIDTH), bool)
    prepare = preparation(["colour"])
    tinted = image(seed) * np.array(tint, np.float32)[:, None, None] / 2
    found, _ = prepare(tinted, everything)
    plain, _ = prepare(image(seed), everything)
    means = found.mean(axis=(1, 2))
    assert np.ptp(means) < 0.05 * means.mean()
    factor = found.mean() / plain.mean()
    unclipped = (plain < 250).all(0) & (found < 250).all(0)
    assert_allclose(found[:, unclipped], plain[:, unclipped] * factor, rtol=0.05, atol=2)


def test_standardise_and_stretch():
    valid = holed()
    found, _ = preparation([{"colour": {"method": "standardise"}}])(image(), valid)
    assert_allclose(found[:, valid].mean(axis=1), 127.5, atol=3)
    assert_allclose(found[:, valid].std(axis=1), 51, atol=5)
    found, _ = preparation([{"colour": {"method": "stretch", "low": 5, "high": 90}}])(image(), valid)
    for before, after in zip(image(), found, strict=True):
        low, high = np.percentile(before[valid], [5, 90])
        expected = np.clip((before[valid] - low) / (high - low) * 255, 0, 255)
        assert_allclose(after[valid], expected, atol=0.01)


def world(seed: int, height: int = 90, width: int = 130) -> tuple[np.ndarray, np.ndarray]:
    """Return the reflectance of a panel with fine detail, and light that varies slowly over it."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / width
    albedo = np.full((3, height, width), 0.45) + random.normal(0, 0.04, (1, height, width))
    for _ in range(12):
        y0, x0 = random.integers(0, [height - 12, width - 12])
        albedo[:, y0 : y0 + 3, x0 : x0 + 12] += random.uniform(-0.25, 0.25, (3, 1, 1))
    angle, centre = random.uniform(0, 2 * np.pi), random.uniform(0.2, 0.8, 2)
    ramp = 0.55 + 0.45 * np.sin(angle + 2.5 * (x * np.cos(angle) + y * np.sin(angle)))
    spot = 0.8 * np.exp(-((y - centre[0] * 0.7) ** 2 + (x - centre[1]) ** 2) / 0.08)
    return np.clip(albedo, 0.05, 0.95), 0.25 + ramp + spot


@pytest.mark.parametrize("seed", range(6))
def test_without_its_light_an_image_is_more_like_what_it_shows(seed):
    albedo, light = world(seed)
    seen = (albedo * light / light.max() * 255).astype(np.float32)
    found, _ = preparation(["light_removal"])(seen, np.ones(light.shape, bool))
    truth = luminance(albedo).ravel()
    before, after = (np.corrcoef(truth, luminance(values).ravel())[0, 1] for values in (seen, found))
    assert after > before + 0.2
    assert after > 0.85
    estimate = OPERATIONS["light_removal"]().light(seen, np.ones(light.shape, bool))
    assert np.corrcoef(np.log(light).ravel(), np.log(estimate).ravel())[0, 1] > 0.9, "what was taken away is the light"


@settings(deadline=None, max_examples=30)
@given(st.floats(0.05, 1.0), st.integers(0, 3), st.sampled_from([(0.1,), (0.03, 0.1, 0.3)]))
def test_an_exposure_does_not_matter(factor, seed, scales):
    prepare = preparation([{"light_removal": {"scales": list(scales), "level": 60.0}}])
    everything = np.ones((HEIGHT, WIDTH), bool)
    first, _ = prepare(image(seed), everything)
    second, _ = prepare(image(seed) * np.float32(factor), everything)
    assert_allclose(second, first, rtol=1e-3, atol=1e-2)


def test_hues_stay_when_the_light_goes():
    colours = image() / 4
    found, _ = preparation([{"light_removal": {"level": 40.0}}])(colours, np.ones((HEIGHT, WIDTH), bool))
    assert_allclose(found[0] * colours[1], found[1] * colours[0], rtol=1e-3, atol=0.5)


def test_a_scratch_survives():
    everything = np.ones((90, 130), bool)
    albedo, light = world(1)
    albedo[:, 40:42, 20:110] = 0.9
    found, _ = preparation(["light_removal"])((albedo * light / light.max() * 255).astype(np.float32), everything)
    assert found[0, 40:42, 20:110].mean() > 1.3 * found[0, 44:60, 20:110].mean()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (["grey"], "unknown pre-processing operation 'grey'; did you mean 'gray'"),
        (["light_remove"], "did you mean 'light_removal'"),
        ([{"gray": {"cuont": 1}}], "unknown setting of gray 'cuont'; did you mean 'count'"),
        ([{"colour": {"method": "greyworld"}}], "unknown method of colour 'greyworld'; did you mean 'gray_world'"),
        ([{"colour": {"low": 60, "high": 40}}], "percentiles rise"),
        ([{"gray": {"count": 2}}], "count is 1 or 3"),
        ([{"light_removal": {"scales": []}}], "shares of the longer side"),
        ([{"light_removal": {"level": 300}}], "level lies in"),
        ([{"resize": {"height_px": 0, "width_px": 3}}], "1 px or more"),
        ([{"resize": None}], "its settings are height_px, width_px"),
        ([{"gray": None, "colour": None}], "with one name"),
    ],
)
def test_what_does_not_fit_is_told_with_the_nearest_name(config, message):
    with pytest.raises(ValueError, match=message):
        preparation(config)


def test_bands_must_fit():
    with pytest.raises(ValueError, match=r"gray: takes the bands \['red', 'green', 'blue'\]"):
        preparation(["gray"]).bands(("red", "nir"))
    with pytest.raises(ValueError, match="or one band"):
        preparation(["light_removal"]).bands(("red", "nir"))
    assert preparation([{"gray": {"count": 1}}, "light_removal", "gray"]).bands(RGB) == RGB
    assert preparation(["light_removal", "gray"]).bands((*RGB, "nir")) == (*RGB, "nir")
    assert preparation([{"gray": {"count": 1}}]).bands((*RGB, "nir")) == ("gray", "nir")
