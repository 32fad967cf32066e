"""Coarse modalities: named per scene, cut out around it on their own grid, missing where they say nothing."""

from datetime import datetime

import numpy as np
import pytest
from affine import Affine
from numpy.testing import assert_allclose, assert_array_equal
from pydantic import ValidationError

from tests.tiler.rasters_for_tests import TRANSFORM, UTM52, grid, write_tif
from tiler.coarse import CoarseSpec, modality_name, offered_channels, open_coarse
from tiler.fusion import resample
from tiler.grids import Box, PixelGrid
from tiler.sensors import SENSORS, Sensor

SCENE = grid(130, 210)
"""2.1 km across, 1.56 km down, its origin TRANSFORM's."""
NO2 = Sensor(name="NO2", bands=("no2", "error"), valid_min=-5, valid_max=500, nodata=-99, resolution_m=700)
COARSE = Affine(700.0, 0.0, TRANSFORM.c - 5_600.0, 0.0, -600.0, TRANSFORM.f + 4_200.0)
"""Its pixel (7, 8) begins where the scene does; the scene covers rows 7 to 9.6, columns 8 to 11."""


def values(height: int = 20, width: int = 25, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 400, (2, height, width)).astype("float32")


def opened(*paths: str, scene: PixelGrid = SCENE, sensor: Sensor = NO2):
    return open_coarse("s", scene, sensor, paths)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ("air/{id}.tif", ("air/a-1.tif",)),
        (("x_{date}_*.tif", "y/{date:%y-%j}/{id}"), ("x_20240309_*.tif", "y/24-069/a-1")),
        ("mean.tif", ("mean.tif",)),
        ((), ()),
    ],
)
def test_a_pattern_stands_for_a_scenes_own_files(files, expected):
    assert CoarseSpec(sensor="NO2", files=files).patterns_of("a-1", datetime(2024, 3, 9)) == expected


def test_a_scene_without_a_date_has_no_files_by_date():
    spec = CoarseSpec(sensor="NO2", files=("x_{date}.tif", "{id}_{date}.tif", "{id}.tif"))
    assert spec.patterns_of("a", None) == ("a.tif",)
    assert spec.any_patterns == ("x_*.tif", "*_*.tif", "*.tif")


@pytest.mark.parametrize("pattern", ["air/{day}.tif", "air/{}.tif", "{id}/{Date}.tif"])
def test_an_unknown_field_is_refused(pattern):
    with pytest.raises(ValidationError, match=r"known are \{id\}, \{date\}"):
        CoarseSpec(sensor="NO2", files=pattern)


def test_the_scene_is_cut_out_with_one_pixel_around(tmp_path):
    whole = values()
    coarse = opened(write_tif(tmp_path / "a.tif", whole, transform=COARSE))
    assert (coarse.grid.height, coarse.grid.width) == (5, 5)  # rows 6 to 10, columns 7 to 11
    assert coarse.grid.transform == pytest.approx((700, 0, COARSE.c + 7 * 700, 0, -600, COARSE.f - 6 * 600))
    assert_array_equal(coarse.read(), whole[:, 6:11, 7:12])
    assert coarse.size_bytes == coarse.read().nbytes
    assert coarse.name == "no2"


@pytest.mark.parametrize("crs", [UTM52, "EPSG:4326", "EPSG:5179"])
def test_the_cut_does_not_show_inside_the_scene(tmp_path, crs):
    """Resampling what was kept is resampling the whole raster, in every coordinate system."""
    import pyproj

    x, y = SCENE.xy(np.array(65.0), np.array(105.0))
    x, y = pyproj.Transformer.from_crs(UTM52, crs, always_xy=True).transform(float(x), float(y))
    step = 0.0061 if crs == "EPSG:4326" else 650.0
    source = PixelGrid(crs, (step, 0.0, x - 9.3 * step, 0.0, -step, y + 11.8 * step), 20, 25)
    whole = values()
    whole[:, 11, 9] = np.nan
    coarse = opened(write_tif(tmp_path / "a.tif", whole, crs=crs, transform=source.affine))
    assert coarse.grid.height < 10
    found = resample(coarse.read(), coarse.grid, SCENE, SCENE.box)
    expected = resample(whole, source, SCENE, SCENE.box)
    assert np.isfinite(expected).any()
    assert_array_equal(np.isnan(found), np.isnan(expected))
    assert_allclose(found, expected, atol=1e-3)


def test_what_is_not_a_measurement_is_missing_in_its_band_alone(tmp_path):
    whole = values()
    whole[0, 7, 8], whole[1, 7, 9], whole[0, 8, 8], whole[1, 9, 10] = -99, -6, np.nan, 501
    whole[0, 9, 9] = -5  # the ends of the range are inside
    found = opened(write_tif(tmp_path / "a.tif", whole, transform=COARSE)).read()
    expected = whole[:, 6:11, 7:12].copy()
    expected[0, 1, 1] = expected[1, 1, 2] = expected[0, 2, 1] = expected[1, 3, 3] = np.nan
    assert_array_equal(found, expected)
    declared = opened(write_tif(tmp_path / "b.tif", whole, transform=COARSE, nodata=float(whole[1, 8, 10]))).read()
    expected[1, 2, 3] = np.nan  # and -99 is out of range anyway
    assert_array_equal(declared, expected)


def test_fill_values_of_level_2_are_missing(tmp_path):
    """About -1e30 (here -1.2676506e30), declared or not."""
    whole = np.ones((10, 6, 7), "float64")
    whole[3, 2, 2], whole[4, 3, 3] = -1.2676506002282294e30, -9.96921e36
    place = Affine(700.0, 0.0, TRANSFORM.c - 700, 0.0, -600.0, TRANSFORM.f + 600)
    found = opened(write_tif(tmp_path / "a.tif", whole, transform=place), sensor=SENSORS["GEMS"]).read()
    assert np.argwhere(np.isnan(found)).tolist() == [[3, 2, 2], [4, 3, 3]]


def test_of_several_files_the_first_with_a_value_wins(tmp_path):
    first, second = values(9, 25, 1), values(13, 20, 2)
    first[0, 8, 9] = np.nan
    a = write_tif(tmp_path / "a.tif", first, transform=COARSE)
    b = write_tif(tmp_path / "b.tif", second, transform=COARSE @ Affine.translation(3, 7))
    coarse = opened(a, b)
    expected = np.full((2, 20, 25), np.nan, "float32")
    expected[:, 7:20, 3:23] = second
    expected[:, :9][np.isfinite(first)] = first[np.isfinite(first)]
    assert_array_equal(coarse.read(), expected[:, 6:11, 7:12])
    assert coarse.read()[0, 2, 2] == second[0, 1, 6]
    assert [p.path for p in coarse.pieces] == [a, b]


def test_files_elsewhere_are_left_out(tmp_path):
    near = write_tif(tmp_path / "near.tif", values(), transform=COARSE)
    far = write_tif(tmp_path / "a-far.tif", values(), transform=COARSE @ Affine.translation(300.4, 0))
    assert [p.path for p in opened(far, near).pieces] == [near]
    assert opened(far) is None
    assert opened() is None
    part = write_tif(tmp_path / "part.tif", values(8, 9), transform=COARSE)  # its last pixel is the scene's first
    assert opened(part).grid == opened(near).grid.part(Box(0, 0, 2, 2))


def test_its_fingerprint_follows_the_files_it_is_made_of(tmp_path):
    near = write_tif(tmp_path / "near.tif", values(), transform=COARSE)
    far = write_tif(tmp_path / "far.tif", values(), transform=COARSE @ Affine.translation(300, 0))
    before = opened(near).fingerprint
    assert opened(near, far).fingerprint == before
    write_tif(near, values(seed=6), transform=COARSE)
    assert opened(near).fingerprint != before


def test_what_cannot_be_is_refused_when_headers_are_read(tmp_path):
    good = write_tif(tmp_path / "a.tif", values(), transform=COARSE)
    between = write_tif(tmp_path / "b.tif", values(), transform=COARSE @ Affine.translation(0.3, 0))
    with pytest.raises(ValueError, match=r"scene s: files of one modality share a grid, .*b\.tif does not lie on"):
        opened(good, between)
    with pytest.raises(ValueError, match=r"has 3 bands, sensor NO2 has 2"):
        opened(write_tif(tmp_path / "c.tif", np.ones((3, 4, 5), "float32"), transform=COARSE))
    with pytest.raises(ValueError, match=r"NO2 raster .*d\.tif has no CRS and transform"):
        opened(write_tif(tmp_path / "d.tif", values(), crs=None, transform=None))
    (tmp_path / "e.tif").write_bytes(b"II*\0 no raster")
    with pytest.raises(ValueError, match=r"e\.tif cannot be opened"):
        opened(str(tmp_path / "e.tif"))


def test_channels_stand_in_the_order_of_the_run():
    gems, air = SENSORS["GEMS"], SENSORS["AIR"]
    names = offered_channels(SENSORS["SN10"], [air, gems])
    assert names == ("red", "green", "blue", "nir", "mask", *air.bands, *gems.bands, "air_mask", "gems_mask")
    assert offered_channels(SENSORS["SN10"], []) == ("red", "green", "blue", "nir", "mask")


def test_names_that_clash_are_refused():
    with pytest.raises(ValueError, match=r"\['AIR', 'AIR'\] .*'air0'"):
        offered_channels(SENSORS["SN10"], [SENSORS["AIR"], SENSORS["AIR"]])
    red = NO2.model_copy(update={"bands": ("red", "mask")})
    with pytest.raises(ValueError, match=r"names \['mask', 'red'\]"):
        offered_channels(SENSORS["SN10"], [red])
    for name in ("image", "Valid", "a b", "../x", "7up"):
        with pytest.raises(ValueError, match="cannot name a modality"):
            modality_name(NO2.model_copy(update={"name": name}))
