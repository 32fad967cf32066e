"""Scenes: files in, one grid out; what is missing is marked; what cannot be is refused in three parts."""

import os
import tarfile
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from pydantic import ValidationError
from rasterio.crs import CRS

from tests.real_data import needs, real
from tests.tiler.rasters_for_tests import TRANSFORM, UTM52, moved, numbers, write_tif
from tests.tiler.test_landsat import mtl
from tiler.grids import Box
from tiler.rasters import read_header
from tiler.scenes import SceneSpec, check_distinct, open_scene
from tiler.sensors import SENSORS, Sensor

TWO = Sensor(name="TWO", bands=("red", "nir"), valid_min=0, valid_max=10_000, nodata=0, resolution_m=10)
FREE = Sensor(name="FREE", bands=("red", "nir"), valid_min=-5e4, valid_max=5e4, resolution_m=10)
HEIGHT, WIDTH = 37, 53


def open_files(files, sensor=TWO, georeferenced=(), **options):
    return open_scene(SceneSpec(id="scene", files=files, **options), sensor, georeferenced)


# ---- bands


def test_the_sensors_bands_are_the_files_bands(tmp_path):
    array = numbers(2, HEIGHT, WIDTH)
    scene = open_files(write_tif(tmp_path / "a.tif", array))
    image, valid = scene.read(scene.grid.box)
    assert_array_equal(image, array)
    assert valid.all()
    assert image.dtype == scene.dtype == "uint16"
    assert scene.grid.transform == tuple(TRANSFORM)[:6]


def test_bands_by_number_come_in_the_sensors_order(tmp_path):
    array = numbers(5, HEIGHT, WIDTH)
    scene = open_files(write_tif(tmp_path / "a.tif", array), bands={"nir": 2, "red": 5})
    assert_array_equal(scene.read(Box(3, 4, 20, 50))[0], array[[4, 1], 3:20, 4:50])


@pytest.mark.parametrize("bands", [{"nir": "S_B5.TIF", "red": "S_B4.TIF"}, {"nir": "*B5.TIF", "red": "*_B4.*"}])
def test_one_file_a_band_by_name_or_glob(bands, tmp_path):
    array = numbers(3, HEIGHT, WIDTH)
    for name, band in zip(("S_B4.TIF", "S_B5.TIF", "S_B14.TIF"), array, strict=True):
        write_tif(tmp_path / name, band)
    scene = open_files(str(tmp_path), bands=bands)
    assert_array_equal(scene.read(scene.grid.box)[0], array[:2])


def test_one_file_a_band_by_path_without_files(tmp_path):
    array = numbers(2, HEIGHT, WIDTH)
    paths = [write_tif(tmp_path / folder / "band.tif", b) for folder, b in zip(("r", "n"), array, strict=True)]
    scene = open_files((), bands=dict(zip(("red", "nir"), paths, strict=True)))
    assert_array_equal(scene.read(scene.grid.box)[0], array)


# ---- pieces


def test_pieces_make_one_scene_and_the_gap_between_them_is_missing(tmp_path):
    whole = numbers(2, 40, 61)
    # Two columns of pieces that overlap by one pixel, two rows of pieces with row 21 in none of them.
    for row, (y0, y1) in enumerate(((0, 21), (22, 40))):
        for col, (x0, x1) in enumerate(((0, 31), (30, 61))):
            write_tif(tmp_path / f"p{1 - row}{col}.tif", whole[:, y0:y1, x0:x1], transform=moved(y0, x0))
    scene = open_files(str(tmp_path))
    assert scene.grid.transform == tuple(TRANSFORM)[:6]  # though the first file by name lies lower
    image, valid = scene.read(scene.grid.box)
    assert valid.shape == (40, 61)
    assert_array_equal(np.flatnonzero(~valid.all(axis=1)), [21])
    assert not valid[21].any()
    assert_array_equal(image[:, valid], whole[:, valid])
    assert not image[:, 21].any()


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_part_read_alone_equals_the_same_part_of_the_whole(data, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "parts"
    if not folder.exists():
        for name, y0, x0 in (("a", 0, 0), ("b", 15, 20), ("c", 30, 3)):
            array = numbers(2, 21, 27, seed=y0)
            array[:, 3:9, 5:15] = 0
            write_tif(folder / f"{name}.tif", array, transform=moved(y0, x0))
    scene = open_files(str(folder))
    image, valid = scene.read(scene.grid.box)
    assert 0 < valid.sum() < valid.size
    y0, x0 = data.draw(st.integers(0, 50)), data.draw(st.integers(0, 46))
    box = Box(y0, x0, data.draw(st.integers(y0 + 1, 51)), data.draw(st.integers(x0 + 1, 47)))
    part, part_valid = scene.read(box)
    assert_array_equal(part, image[(slice(None), *box.slices)])
    assert_array_equal(part_valid, valid[box.slices])


def test_where_files_overlap_the_first_by_name_that_measured_wins(tmp_path):
    first, second = np.full((2, 20, 30), 100, "uint16"), np.full((2, 20, 30), 200, "uint16")
    first[:, 4:8, 12:16] = 0
    first[1, 10, 20] = 0  # one band only: the other file fills that band
    write_tif(tmp_path / "b.tif", second, transform=moved(0, 10))
    write_tif(tmp_path / "a.tif", first)
    scene = open_files(str(tmp_path))
    image, valid = scene.read(scene.grid.box)
    expected = np.concatenate([first, second[:, :, 20:]], axis=2)
    expected[:, 4:8, 12:16] = 200
    expected[1, 10, 20] = 200
    assert_array_equal(image, expected)
    assert valid.all()


def test_a_pixel_is_valid_where_all_bands_are(tmp_path):
    array = numbers(2, HEIGHT, WIDTH)
    array[0, 3, 4] = array[1, 5, 6] = 0
    image, valid = (scene := open_files(write_tif(tmp_path / "a.tif", array))).read(scene.grid.box)
    assert_array_equal(np.argwhere(~valid), [[3, 4], [5, 6]])
    assert not image[:, ~valid].any()


@needs("s2_aber_tiles")
def test_aberystwyth_is_one_scene_without_its_row_250():
    spec = SceneSpec(
        id="sen2_20210527_aber",
        files=f"{real('s2_aber_tiles')}/tiles",
        bands={"red": 3, "green": 2, "blue": 1, "nir": 7},
    )
    scene = open_scene(spec, SENSORS["SN10"])
    assert (scene.grid.height, scene.grid.width) == (947, 930)
    assert scene.grid.pyproj_crs.to_epsg() == 27700
    assert scene.acquired == datetime(2021, 5, 27, tzinfo=UTC)
    assert len(scene.pieces) == 16
    image, valid = scene.read(scene.grid.box)
    assert_array_equal(np.flatnonzero(~valid.all(axis=1)), [250])
    assert not valid[250].any()
    assert image[:, valid].min() > 0
    assert image[3].mean() > 1.5 * image[0].mean(), "near infrared outshines red over Welsh grass"


# ---- where it lies


def test_missing_place_from_a_landsat_sidecar(tmp_path):
    write_tif(tmp_path / "LC08_X_B4.TIF", numbers(2, 40, 51), crs=None, transform=None)
    mtl(tmp_path / "LC08_X_MTL.txt", lines=40, samples=51)
    scene = open_files(str(tmp_path))
    assert scene.grid.transform == (30.0, 0.0, 417_300.0, 0.0, -30.0, -2_514_270.0)
    assert scene.grid.pyproj_crs.to_epsg() == 32623


@needs("landsat_c2_crops")
@pytest.mark.parametrize(
    ("product", "epsg"),
    [
        ("LC08_L2SP_204023_20200927_20201006_02_T1", 32630),
        ("LC08_L2SP_218074_20190114_20200829_02_T1", 32623),
        ("LC08_L2SP_218074_20190130_20200829_02_T1", 32623),
    ],
)
def test_landsat_archives_find_their_place(product, epsg, tmp_path):
    for other in ("20190114", "20190130") if "218074" in product else ("",):  # both scenes in one folder
        name = product.replace("20190114", other).replace("20190130", other) if other else product
        with tarfile.open(real("landsat_c2_crops") / f"{name}-cropped.tar.gz") as archive:
            archive.extractall(tmp_path, filter="data")
    text = (tmp_path / f"{product}_MTL.txt").read_text()
    x, y = (float(text.split(f"CORNER_UL_PROJECTION_{a}_PRODUCT = ")[1].split()[0]) for a in "XY")
    bands = {"red": "B4", "green": "B3", "blue": "B2", "nir": "B5"}
    spec = SceneSpec(
        id=product, files=f"{tmp_path}/{product}*.TIF", bands={k: f"*_SR_{v}.TIF" for k, v in bands.items()}
    )
    scene = open_scene(spec, SENSORS["LS30"])
    assert [float(v) for v in scene.grid.xy(np.array(0.5), np.array(0.5))] == [x, y]
    assert scene.grid.resolution == (30.0, 30.0)
    assert scene.grid.pyproj_crs.to_epsg() == epsg
    image, valid = scene.read(scene.grid.box)
    assert valid.mean() > 0.9
    assert_array_equal(image[3, valid] > 0, True)


def test_missing_place_from_the_label_of_the_same_name_and_size(tmp_path):
    names = ("SN10_CHN_00001_230409", "SN10_CHN_00002_230409", "SN10_CHN_00003_230409")
    labels = []
    for i, name in enumerate(names):
        write_tif(tmp_path / f"image/{name}.tif", numbers(2, 32, 48), crs=None, transform=None)
        label = numbers(32 if i < 2 else 31, 48, high=9, dtype="int8")
        labels.append(read_header(write_tif(tmp_path / f"label/{name}.tif", label, transform=moved(0, 1000 * i))))
    for i, name in enumerate(names[:2]):
        scene = open_files(f"{tmp_path}/image/{name}.tif", georeferenced=labels)
        assert scene.grid.transform == tuple(moved(0, 1000 * i))[:6]
        assert scene.grid.pyproj_crs.to_epsg() == 32652
    with pytest.raises(ValueError, match=r"00003.*no CRS and no transform.*set `crs` or `georeference`"):
        open_files(f"{tmp_path}/image/{names[2]}.tif", georeferenced=labels)  # that label has another size


def test_missing_place_from_the_only_label_whatever_its_name(tmp_path):
    image = write_tif(tmp_path / "image.tif", numbers(2, 32, 48), crs=None, transform=None)
    one = read_header(write_tif(tmp_path / "l1.tif", numbers(32, 48)))
    two = read_header(write_tif(tmp_path / "l2.tif", numbers(32, 48), transform=moved(9, 9)))
    assert open_files(image, georeferenced=[one]).grid == one.grid
    with pytest.raises(ValueError, match="no CRS"):
        open_files(image, georeferenced=[one, two])


def test_missing_place_from_georeference(tmp_path):
    image = write_tif(tmp_path / "image.tif", numbers(2, 32, 48), crs=None, transform=None)
    other = write_tif(tmp_path / "other.tif", numbers(32, 48), transform=moved(5, 7))
    assert open_files(image, georeference=other).grid == read_header(other).grid
    wrong = write_tif(tmp_path / "wrong.tif", numbers(48, 32))
    with pytest.raises(ValueError, match=r"wrong\.tif is 48 x 32 px, CRS present.*is 32 x 48: give one that fits"):
        open_files(image, georeference=wrong)
    with pytest.raises(ValueError, match=r"image\.tif is 32 x 48 px, CRS absent"):
        open_files(image, georeference=image)


def test_missing_crs_from_the_setting(tmp_path):
    image = write_tif(tmp_path / "image.tif", numbers(2, 32, 48), crs=None)
    with pytest.raises(ValueError, match="no CRS"):
        open_files(image)
    scene = open_files(image, crs="EPSG:32651")
    assert scene.grid.transform == tuple(TRANSFORM)[:6]
    assert scene.grid.pyproj_crs.to_epsg() == 32651
    declared = write_tif(tmp_path / "declared.tif", numbers(2, 32, 48), crs=UTM52)
    assert open_files(declared, crs="EPSG:32651").grid.pyproj_crs.to_epsg() == 32651


def test_a_crs_without_transform_places_nothing(tmp_path):
    image = write_tif(tmp_path / "image.tif", numbers(2, 32, 48), crs=None, transform=None)
    with pytest.raises(ValueError, match=r"no CRS and no transform.*set `crs` or `georeference`"):
        open_files(image, crs=UTM52)


def test_rotated_and_south_up_files_keep_their_place(tmp_path):
    for name, transform in (
        ("rotated", TRANSFORM @ Affine.rotation(30)),
        ("south_up", Affine(10.0, 0.0, 321_450.0, 0.0, 12.0, 4_123_476.0)),
    ):
        array = numbers(2, 20, 30)
        left = write_tif(tmp_path / name / "l.tif", array[:, :, :18], transform=transform)
        write_tif(tmp_path / name / "r.tif", array[:, :, 17:], transform=moved(0, 17, transform))
        scene = open_files(str(tmp_path / name))
        np.testing.assert_allclose(scene.grid.transform, tuple(transform)[:6], atol=1e-6)
        assert_array_equal(scene.read(scene.grid.box)[0], array)
        assert left in [p.path for p in scene.pieces]


# ---- what is missing


@pytest.mark.parametrize(
    ("declared", "setting", "sensor", "missing"),
    [
        (7, None, TWO, 7),  # the file's own
        (None, 8, TWO, 8),  # the user's
        (7, 8, TWO, 8),  # the user knows better than the file
        (None, None, TWO, 0),  # the sensor's
        (None, None, FREE, None),  # nobody's
    ],
)
def test_whose_nodata_counts(declared, setting, sensor, missing, tmp_path):
    array = numbers(2, HEIGHT, WIDTH, low=100)
    for value, col in ((0, 1), (7, 2), (8, 3)):
        array[:, 5, col] = value
    scene = open_files(write_tif(tmp_path / "a.tif", array, nodata=declared), sensor, nodata=setting)
    image, valid = scene.read(scene.grid.box)
    expected = np.ones((HEIGHT, WIDTH), bool)
    if missing is not None:
        expected[5, {0: 1, 7: 2, 8: 3}[missing]] = False
    assert_array_equal(valid, expected)
    assert_array_equal(image, array)  # what is missing holds the nodata value itself
    assert scene.fill == (missing or 0)


@pytest.mark.parametrize("nodata", [float("nan"), -9999.0, None])
def test_float_scenes_miss_nan_infinities_and_what_is_out_of_range(nodata, tmp_path):
    array = numbers(2, HEIGHT, WIDTH).astype("float32") / 7
    array[0, 1, :6] = [np.nan, np.inf, -np.inf, -9999, 50_000, np.nextafter(np.float32(5e4), np.float32(1e9))]
    scene = open_files(write_tif(tmp_path / "a.tif", array, nodata=nodata), FREE)
    image, valid = scene.read(scene.grid.box)
    expected = np.ones((HEIGHT, WIDTH), bool)
    expected[1, [0, 1, 2, 5]] = False
    expected[1, 3] = nodata != -9999
    assert_array_equal(valid, expected)
    assert_array_equal(image[:, valid], array[:, valid])
    assert_array_equal(image[:, ~valid], np.float32(scene.fill))
    assert np.isnan(scene.fill) == (nodata != -9999)


def test_the_valid_range_is_closed_at_both_ends(tmp_path):
    sensor = Sensor(name="S", bands=("red",), valid_min=10, valid_max=20, resolution_m=10)
    array = np.arange(5, 30, dtype="int16")[None, None].repeat(3, axis=1)
    valid = (scene := open_files(write_tif(tmp_path / "a.tif", array), sensor)).read(scene.grid.box)[1]
    assert_array_equal(valid, (array[0] >= 10) & (array[0] <= 20))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_types_stay_what_they_are(dtype, tmp_path):
    array = numbers(2, HEIGHT, WIDTH, high=200, dtype=dtype)
    array[:, 3, 4:9] = 0
    image, valid = (scene := open_files(write_tif(tmp_path / "a.tif", array))).read(scene.grid.box)
    assert image.dtype == dtype
    assert_array_equal(image, array)
    assert (~valid).sum() == 5


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint32", "float64"])
def test_other_types_are_refused(dtype, tmp_path):
    path = write_tif(tmp_path / "a.tif", numbers(2, 9, 11, high=90, dtype=dtype))
    with pytest.raises(ValueError, match=rf"scene scene: type {dtype} of .*a\.tif is not one of .*convert"):
        open_files(path)


@pytest.mark.parametrize("nodata", [-9999.0, float("nan"), 1e9])
def test_a_nodata_value_that_the_type_cannot_hold_excludes_nothing(nodata, tmp_path):
    array = numbers(2, HEIGHT, WIDTH)
    array[0, 2, 3] = 20_000  # out of the valid range, so that something is filled
    scene = open_files(write_tif(tmp_path / "a.tif", array), nodata=nodata)
    image, valid = scene.read(scene.grid.box)
    assert_array_equal(np.argwhere(~valid), [[2, 3]])
    assert not image[:, 2, 3].any()


# ---- refusals


def test_nothing_matches(tmp_path):
    with pytest.raises(ValueError, match=r"scene scene: no file matches .*none\*\.tif.*check the path"):
        open_files(f"{tmp_path}/none*.tif")


def test_a_band_without_a_number_a_file_or_a_name(tmp_path):
    path = write_tif(tmp_path / "a.tif", numbers(2, 9, 11))
    with pytest.raises(ValueError, match=r"TWO needs bands \['red', 'nir'\], `bands` gives \['red'\]; add \['nir'\]"):
        open_files(path, bands={"red": 1})
    with pytest.raises(ValueError, match=r"names \['swir'\], sensor TWO has \['red', 'nir'\]; remove"):
        open_files(path, bands={"red": 1, "nir": 2, "swir": 3})
    with pytest.raises(ValueError, match=r"band nir is to come from '\*B5\.tif', found among .*: nothing; give"):
        open_files(path, bands={"red": "a.tif", "nir": "*B5.tif"})
    with pytest.raises(ValueError, match=r"band number 3 is wanted, .*a\.tif has 1 to 2; correct `bands`"):
        open_files(path, bands={"red": 1, "nir": 3})


def test_pieces_must_be_alike(tmp_path):
    write_tif(tmp_path / "a.tif", numbers(2, 9, 11))
    write_tif(tmp_path / "bands/b.tif", numbers(3, 9, 11), transform=moved(0, 11))
    write_tif(tmp_path / "types/b.tif", numbers(2, 9, 11, dtype="int16"), transform=moved(0, 11))
    with pytest.raises(ValueError, match=r"differ in bands: .*a\.tif has 2, .*b\.tif has 3; pieces .* alike"):
        open_files((f"{tmp_path}/a.tif", f"{tmp_path}/bands"))
    with pytest.raises(ValueError, match=r"differ in type: .*a\.tif is uint16, .*b\.tif is int16; pieces .* alike"):
        open_files((f"{tmp_path}/a.tif", f"{tmp_path}/types"))


@pytest.mark.parametrize(
    ("transform", "crs"),
    [
        (moved(0, 10.5), UTM52),
        (moved(0.5, 11), UTM52),
        (Affine(20.0, 0.0, 321_450.0, 0.0, -12.0, 4_123_476.0), UTM52),
        (moved(0, 11), "EPSG:32651"),
    ],
)
def test_pieces_off_each_others_pixels_are_refused(transform, crs, tmp_path):
    write_tif(tmp_path / "a.tif", numbers(2, 9, 11))
    write_tif(tmp_path / "b.tif", numbers(2, 9, 11), transform=transform, crs=crs)
    with pytest.raises(ValueError, match=r"b\.tif does not lie on the pixels of its other files.*resample it"):
        open_files(str(tmp_path))


def test_one_damaged_file_among_many_is_named(tmp_path):
    write_tif(tmp_path / "a.tif", numbers(2, 9, 11))
    (tmp_path / "b.tif").write_bytes(b"\x00" * 100)
    with pytest.raises(ValueError, match=r"b\.tif cannot be opened as GTiff"):
        open_files(str(tmp_path))


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".hidden", "한글", "a b"])
def test_an_id_that_cannot_be_a_file_name_is_refused(name):
    with pytest.raises(ValidationError, match="id"):
        SceneSpec(id=name)


# ---- time and identity


@pytest.mark.parametrize(
    ("name", "acquired", "expected"),
    [
        ("sen2_20210527_aber", None, datetime(2021, 5, 27, tzinfo=UTC)),
        ("SN10_CHN_00001_230409", None, datetime(2023, 4, 9, tzinfo=UTC)),
        ("LC08_L2SP_204023_20200927_20201006_02_T1", None, datetime(2020, 9, 27, tzinfo=UTC)),
        ("S2_20211399", None, None),
        ("plain", None, None),
        ("sen2_20210527", datetime(2020, 1, 2, 3), datetime(2020, 1, 2, 3, tzinfo=UTC)),
        ("plain", date(2020, 1, 2), datetime(2020, 1, 2, tzinfo=UTC)),
        ("plain", "2020-01-02T03:00:00+09:00", datetime(2020, 1, 2, 3, tzinfo=timezone(timedelta(hours=9)))),
    ],
)
def test_when_a_scene_was_taken(name, acquired, expected, tmp_path):
    path = write_tif(tmp_path / "a.tif", numbers(2, 9, 11))
    assert open_scene(SceneSpec(id=name, files=path, acquired=acquired), TWO).acquired == expected


def test_the_fingerprint_follows_the_files(tmp_path):
    write_tif(tmp_path / "a.tif", numbers(2, 9, 11))
    before = open_files(str(tmp_path))
    assert open_files(str(tmp_path)) == before
    write_tif(tmp_path / "b.tif", numbers(2, 9, 11), transform=moved(0, 11))
    assert open_files(str(tmp_path)).fingerprint != before.fingerprint
    assert before.size_bytes == (tmp_path / "a.tif").stat().st_size


# ---- what cannot be


def test_the_same_pixels_twice_are_refused_however_they_are_called(tmp_path):
    path = write_tif(tmp_path / "a.tif", numbers(4, 17, 29))
    os.symlink(path, tmp_path / "b.tif")
    os.link(path, tmp_path / "c.tif")
    write_tif(tmp_path / "d.tif", numbers(4, 17, 29))
    a, b, c, d = (open_scene(SceneSpec(id=n, files=f"{tmp_path}/{n}.tif"), SENSORS["SN10"]) for n in "abcd")
    check_distinct([a, d])
    for other in (b, c):
        with pytest.raises(ValueError, match=rf"scenes a and {other.id} are the same file .*; take one out"):
            check_distinct([a, d, other])
    both = open_scene(SceneSpec(id="e", files=[f"{tmp_path}/a.tif", f"{tmp_path}/d.tif"]), SENSORS["SN10"])
    turned = {"red": 4, "green": 3, "blue": 2, "nir": 1}
    check_distinct([a, both, open_scene(SceneSpec(id="f", files=path, bands=turned), SENSORS["SN10"])])


@pytest.mark.parametrize("number", [0, -1, 5])
def test_band_numbers_are_those_of_the_file(number, tmp_path):
    path = write_tif(tmp_path / "a.tif", numbers(4, 17, 29))
    spec = SceneSpec(id="a", files=path, bands={"red": number, "green": 2, "blue": 3, "nir": 4})
    with pytest.raises(ValueError, match=rf"band number {number} is wanted, .*a\.tif has 1 to 4"):
        open_scene(spec, SENSORS["SN10"])


@pytest.mark.parametrize(("side_m", "fine"), [(0.0101, True), (0.0099, False), (9_900, True), (10_100, False)])
def test_pixels_are_those_of_the_sensor_by_orders_of_magnitude(side_m, fine, tmp_path):
    path = write_tif(tmp_path / "a.tif", numbers(4, 17, 29), transform=Affine(side_m, 0, 5e5, 0, -side_m, 4e6))
    if fine:
        open_scene(SceneSpec(id="a", files=path), SENSORS["SN10"])
    else:
        with pytest.raises(ValueError, match=r"scene a: its pixels are .* those of sensor SN10 10 m; correct"):
            open_scene(SceneSpec(id="a", files=path), SENSORS["SN10"])


@pytest.mark.parametrize("crs", ["EPSG:99999", 'LOCAL_CS["site",UNIT["metre",1]]', "EPSG:4978"])
def test_a_crs_of_the_settings_says_where_on_the_earth(crs, tmp_path):
    path = write_tif(tmp_path / "a.tif", numbers(4, 17, 29), crs=None)
    with pytest.raises(ValueError, match=r"scene a: its `crs` .*; give one like EPSG:32652"):
        open_scene(SceneSpec(id="a", files=path, crs=crs), SENSORS["SN10"])


def test_a_local_crs_counts_as_none(tmp_path):
    local = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
    path = write_tif(tmp_path / "a.tif", numbers(4, 17, 29), crs=local)
    with pytest.raises(ValueError, match="no CRS and no transform that say where"):
        open_scene(SceneSpec(id="a", files=path), SENSORS["SN10"])
    assert open_scene(SceneSpec(id="a", files=path, crs=UTM52), SENSORS["SN10"]).grid.pyproj_crs.to_epsg() == 32652


@pytest.mark.parametrize("name", ["../x", "/x", "a b", ".x", "-x", "x" * 201, "a\n", "a\0", "ü", ""])
def test_an_id_stands_in_names_of_folders(name):
    with pytest.raises(ValidationError):
        SceneSpec(id=name)
