import warnings

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from tests.real_data import needs, real
from tests.tiler.rasters_for_tests import TRANSFORM, grid, numbers, write_tif
from tiler.grids import Box
from tiler.quality_rule import QUALITY_RULES, BitField, QualityRule, QualitySpec, named_rule, open_quality
from tiler.scenes import SceneSpec, open_scene
from tiler.sensors import load_sensor

SN10 = load_sensor("SN10")


@given(st.integers(0, 2**16 - 1), st.integers(0, 14), st.integers(1, 4), st.sets(st.integers(0, 15)))
def test_a_bit_field_is_the_number_its_bits_spell(value, first, count, missing):
    rule = QualityRule(fields=(BitField(first=first, count=count, missing=tuple(missing)),))
    spelled = int(format(value, "032b")[32 - first - count : 32 - first], 2)
    assert rule.missing(np.array([value], np.uint16)).tolist() == [spelled in missing]


def test_any_class_or_field_is_enough():
    rule = QualityRule(classes=(7,), fields=(BitField(first=3), BitField(first=4, count=2, missing=(3,))))
    values = np.array([[0, 7, 8], [16, 48, 32]], np.uint8)
    assert rule.missing(values).tolist() == [[False, True, True], [False, True, False]]


def test_the_named_rules_say_what_their_products_say():
    scl = QUALITY_RULES["scl"].missing(np.arange(12))
    assert np.flatnonzero(scl).tolist() == [0, 1, 3, 8, 9, 10]
    qa = QUALITY_RULES["landsat_qa_pixel"]  # values of the Collection 2 data format control book
    assert qa.missing(np.array([1, 21824, 21826, 22280, 23888, 54596, 55052])).tolist() == [
        True,  # fill
        False,  # clear
        True,  # dilated cloud over land
        True,  # cloud, high confidence
        True,  # cloud shadow
        True,  # cirrus, high confidence
        True,  # cirrus and cloud
    ]
    assert QUALITY_RULES["mask"].missing(np.array([0, 1, 255], np.uint8)).tolist() == [False, True, True]


def test_an_unknown_rule_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'landsat_bqa'"):
        named_rule("landsat_bqua")


def test_a_coarser_quality_raster_masks_the_pixels_it_covers(tmp_path):
    write_tif(tmp_path / "image.tif", numbers(4, 44, 30))
    classes = np.full((11, 10), 4, np.uint8)
    classes[2, 3] = 9
    coarse = TRANSFORM @ rasterio.Affine.scale(3, 4)  # 30 x 48 m
    write_tif(tmp_path / "scl.tif", classes, transform=coarse)
    spec = SceneSpec(id="a", files=str(tmp_path / "image.tif"), quality={"files": str(tmp_path / "scl.tif")})
    scene = open_scene(spec, SN10)
    image, valid = scene.read(scene.grid.box)
    expected = np.ones((44, 30), bool)
    expected[8:12, 9:12] = False
    np.testing.assert_array_equal(valid, expected)
    assert (image[:, 8:12, 9:12] > 0).all(), "what was measured under the cloud is kept"
    part = Box(9, 10, 30, 29)
    np.testing.assert_array_equal(scene.read(part)[1], expected[part.slices])


def test_the_rule_is_part_of_what_identifies_a_scene(tmp_path):
    write_tif(tmp_path / "image.tif", numbers(4, 12, 10))
    write_tif(tmp_path / "q.tif", np.zeros((12, 10), np.uint8))
    found = {
        open_scene(SceneSpec(id="a", files=str(tmp_path / "image.tif"), quality=quality), SN10).fingerprint
        for quality in (None, {"files": str(tmp_path / "q.tif")}, {"files": str(tmp_path / "q.tif"), "rule": "mask"})
    }
    assert len(found) == 3


def test_what_cannot_be_used_is_refused(tmp_path):
    place = grid(12, 10)
    with pytest.raises(ValueError, match="no quality file matches"):
        open_quality("a", QualitySpec(files=str(tmp_path / "none.tif")), place)
    write_tif(tmp_path / "q.tif", np.zeros((12, 10), np.uint8), crs=None, transform=None)
    with pytest.raises(ValueError, match="band 2 is wanted"):
        open_quality("a", QualitySpec(files=str(tmp_path / "q.tif"), band=2), place)
    assert open_quality("a", QualitySpec(files=str(tmp_path / "q.tif")), place).headers[0].grid == place
    with pytest.raises(ValueError, match="has no CRS"):
        open_quality("a", QualitySpec(files=str(tmp_path / "q.tif")), grid(13, 10))


@needs("landsat8_cloudy_full")
def test_the_real_cloudy_landsat_scene_loses_its_bright_third():
    folder = real("landsat8_cloudy_full")
    bands = {"red": "l8_B4.tif", "green": "l8_B3.tif", "blue": "l8_B2.tif", "nir": "l8_B5.tif"}
    quality = {"files": str(folder / "l8_BQA.tif"), "rule": "landsat_bqa"}
    scene = open_scene(SceneSpec(id="a", files=str(folder), bands=bands, quality=quality), load_sensor("LS30"))
    image, valid = scene.read(scene.grid.box)
    assert 0.30 < 1 - valid.mean() < 0.37
    assert image[2][~valid].mean() > 1.2 * image[2][valid].mean(), "clouds are brighter in blue than what is left"


@needs("s2_timeseries_cubes")
def test_the_real_scene_classifications_of_a_cube(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = f"netcdf:{real('s2_timeseries_cubes') / 'bap_quintad_cdse.nc'}:"
        with rasterio.open(path + "S2-L2A-SCL") as data:
            classes = np.nan_to_num(data.read().astype(float), nan=0).clip(0, 255).astype(np.uint8)
        with rasterio.open(path + "S2-L2A-B04") as data:
            red = np.nan_to_num(data.read().astype(float), nan=1).clip(1, 20_000).astype(np.uint16)
    shares = []
    for date, (scl, band) in enumerate(zip(classes, red, strict=True)):
        write_tif(tmp_path / f"{date}.tif", np.stack([band] * 4))
        write_tif(tmp_path / f"scl{date}.tif", scl)
        spec = SceneSpec(
            id="a", files=str(tmp_path / f"{date}.tif"), quality={"files": str(tmp_path / f"scl{date}.tif")}
        )
        scene = open_scene(spec, SN10)
        valid = scene.read(scene.grid.box)[1]
        np.testing.assert_array_equal(valid, np.isin(scl, (2, 4, 5, 6, 7, 11)))
        shares.append(valid.mean())
    assert min(shares) < 0.5 < max(shares), "the cube holds cloudy and clear dates"
