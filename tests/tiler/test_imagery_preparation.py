"""Tiles of satellite imagery without their light, or in gray: in their own units, with all of their bands."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tiler.imagery_preparation import imagery_preparation, operations_of
from tiler.luminance import luminance
from tiler.sensors import SENSORS, Sensor

SN10, HEIGHT, WIDTH = SENSORS["SN10"], 90, 130


def world(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the reflectance of fields, float32 (4, y, x), and a light that varies over the tile."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    fields = random.uniform(0.03, 0.3, (4, HEIGHT // 9, WIDTH // 9 + 1))
    reflectance = np.repeat(np.repeat(fields, 9, axis=1), 9, axis=2)[:, :HEIGHT, :WIDTH]
    light = np.exp(0.8 * np.sin(x / 45 + seed) + 0.5 * np.cos(y / 40))
    return reflectance.astype(np.float32), light.astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_without_its_light_every_band_is_more_like_what_it_shows(seed, dtype):
    reflectance, light = world(seed)
    seen, valid = (3000 * reflectance * light).astype(dtype), np.ones((HEIGHT, WIDTH), bool)
    valid[:5] = False
    prepare, sensor = imagery_preparation([{"light_removal": {"scales": [0.12], "level": 40}}], SN10)
    assert (sensor.name, sensor.bands, sensor.valid_max) == ("SN10.light_removal", SN10.bands, SN10.valid_max)
    found = prepare(seen, valid)
    assert found.dtype == dtype
    assert (found[:, ~valid] == 0).all()
    for band, truth, before in zip(found, reflectance, seen, strict=True):
        likeness = [np.corrcoef(truth[valid], image[valid].astype(float))[0, 1] for image in (before, band)]
        assert likeness[1] > likeness[0] + 0.05
    assert found.max() < SN10.valid_max
    level = np.exp(np.log(luminance(found)[valid]).mean())
    assert 0.7 < level / (40 / 255 * SN10.valid_max) < 1.3
    red, nir = (found[place][valid].astype(float) for place in (0, 3))
    was_red, was_nir = (seen[place][valid].astype(float) for place in (0, 3))
    assert_allclose((nir - red) / (nir + red), (was_nir - was_red) / (was_nir + was_red), atol=0.02)


def test_gray_is_luminance_and_bands_behind_it_stay():
    seen = np.random.default_rng(0).integers(1, 9000, (4, 7, 9)).astype(np.uint16)
    valid = np.ones((7, 9), bool)
    valid[2, 3] = False
    prepare, sensor = imagery_preparation(["gray"], SN10)
    found = prepare(seen, valid)
    assert sensor.name == "SN10.gray"
    assert_allclose(found[0][valid], luminance(seen)[valid], atol=1)
    assert_array_equal(found[0], found[2])
    assert_array_equal(found[3], np.where(valid, seen[3], 0))


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (["colour"], r"\['colour'\] are of photos"),
        ([{"resize": {"height_px": 3, "width_px": 3}}], "are of photos"),
        (["grey"], "did you mean 'gray'"),
        ([{"gray": {"count": 1}}], "keep their bands"),
    ],
)
def test_what_is_of_photos_is_refused(config, told):
    with pytest.raises(ValueError, match=told):
        imagery_preparation(config, SN10)


def test_bands_are_known_by_name():
    other = Sensor(name="X", bands=("nir", "red", "green", "blue"), valid_min=0, valid_max=9, resolution_m=10)
    for name in ("light_removal", "gray"):
        with pytest.raises(ValueError, match="then any others"):
            imagery_preparation([name], other)


def test_what_was_done_is_read_from_the_name():
    _, sensor = imagery_preparation(["light_removal", "gray"], SN10)
    assert operations_of(sensor.name) == ("light_removal", "gray")
    assert operations_of("SN10") == operations_of("SN10.v2") == ()
