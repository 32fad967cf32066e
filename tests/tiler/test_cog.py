"""Cloud-Optimized GeoTIFF: what goes in comes out, whatever the order and the cut of the blocks."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import rasterio
import rioxarray
from affine import Affine
from numpy.testing import assert_array_equal
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rio_cogeo.cogeo import cog_validate

from tiler.cog import BLOCK_PX, BandStatistics, CogSpec, write_cog
from tiler.product_specs import PRODUCTS
from tiler.rasters import CACHE_BYTES

KOREA = CRS.from_epsg(5179).to_wkt()
# Pixels not square, origin not zero: a swapped axis or sign shows.
TRANSFORM = Affine(10.0, 0.0, 953_120.0, 0.0, -12.0, 1_951_340.0)
HEIGHT_PX, WIDTH_PX = 1337, 731


def pixels(spec: CogSpec, height: int = HEIGHT_PX, width: int = WIDTH_PX, seed: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if spec.colors is not None:
        array = rng.choice(list(spec.colors), (height, width)).astype(spec.dtype)
    elif spec.dtype == "float32":
        array = (rng.random((height, width)) ** 3).astype(spec.dtype)
    else:
        array = rng.integers(0, 40, (height, width)).astype(spec.dtype)
    array[height // 3 : height // 2, : width // 4] = spec.nodata
    return array


def cut(array: np.ndarray, step_y: int, step_x: int) -> list[tuple[int, int, np.ndarray]]:
    height, width = array.shape
    return [
        (y, x, array[y : y + step_y, x : x + step_x]) for y in range(0, height, step_y) for x in range(0, width, step_x)
    ]


def write(path, spec, array, blocks=None):
    height, width = array.shape
    blocks = cut(array, 512, 512) if blocks is None else blocks
    return write_cog(path, spec, height=height, width=width, crs=KOREA, transform=TRANSFORM, blocks=blocks)


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_comes_back_as_written(name, tmp_path):
    spec = PRODUCTS[name]
    array = pixels(spec)
    path = tmp_path / f"{name}.tif"
    write(path, spec, array)

    with rasterio.open(path, driver="GTiff") as dataset:
        assert_array_equal(dataset.read(1), array)
        assert dataset.crs == CRS.from_epsg(5179)
        assert dataset.transform == TRANSFORM
        assert_array_equal(dataset.nodata, spec.nodata)
        assert dataset.dtypes == (spec.dtype,)
        assert dataset.block_shapes == [(BLOCK_PX, BLOCK_PX)]
        assert dataset.overviews(1) == [2, 4]
        assert dataset.descriptions[0] == spec.description
        assert (dataset.units[0] or "") == spec.unit
        assert dataset.tags()["PRODUCT"] == name
        if spec.colors:
            table = dataset.colormap(1)
            assert {value: table[value] for value in spec.colors} == spec.colors
            assert dataset.colorinterp == (ColorInterp.palette,)
    assert cog_validate(path, strict=True) == (True, [], [])
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


# rioxarray 0.19 multiplies transforms the way that affine 3 announces to drop.
@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
@pytest.mark.parametrize("name", PRODUCTS)
def test_rioxarray_reads_the_same(name, tmp_path):
    spec = PRODUCTS[name]
    array = pixels(spec, 90, 143)
    write(tmp_path / "p.tif", spec, array)
    with rioxarray.open_rasterio(tmp_path / "p.tif") as read:
        assert read.rio.crs.to_epsg() == 5179
        assert read.rio.transform() == TRANSFORM
        assert_array_equal(read.rio.nodata, spec.nodata)
        assert_array_equal(read.values[0], array)


@pytest.mark.parametrize("name", ["probability", "class"])
def test_neither_cut_nor_order_changes_a_byte(name, tmp_path):
    spec = PRODUCTS[name]
    array = pixels(spec)
    shuffled = cut(array, 301, 77)
    np.random.default_rng(3).shuffle(order := np.arange(len(shuffled)))
    write(tmp_path / "a.tif", spec, array)
    write(tmp_path / "b.tif", spec, array, [shuffled[i] for i in order])
    digests = {hashlib.sha256((tmp_path / file).read_bytes()).hexdigest() for file in ("a.tif", "b.tif")}
    assert len(digests) == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (1300, 1), (2500, 3), (37, 501), (512, 512), (513, 511)])
@pytest.mark.parametrize("name", ["probability", "class"])
def test_odd_sizes(shape, name, tmp_path):
    spec = PRODUCTS[name]
    array = np.full(shape, 1, spec.dtype)
    write(tmp_path / "p.tif", spec, array)
    valid, errors, warnings = cog_validate(tmp_path / "p.tif", strict=shape[1] > 1)
    # A width of 1 px cannot be halved, so a tall one has no overviews: a recommendation, no error.
    assert (valid, errors) == (True, [])
    assert not warnings or shape[1] == 1
    with rasterio.open(tmp_path / "p.tif", driver="GTiff") as dataset:
        assert_array_equal(dataset.read(1), array)


@pytest.mark.parametrize("name", PRODUCTS)
def test_what_nobody_writes_is_nodata_not_zero(name, tmp_path):
    spec = PRODUCTS[name]
    array = pixels(spec)
    # One block in the middle of a tile (its rest was never written), the other tiles not touched at all.
    write(tmp_path / "p.tif", spec, array, [(600, 530, array[600:700, 530:560])])
    expected = np.full_like(array, spec.nodata)
    expected[600:700, 530:560] = array[600:700, 530:560]
    with rasterio.open(tmp_path / "p.tif", driver="GTiff") as dataset:
        assert_array_equal(dataset.read(1), expected)


def test_no_block_at_all(tmp_path):
    spec = PRODUCTS["probability"]
    (statistics,) = write(tmp_path / "p.tif", spec, np.zeros((40, 70), "float32"), [])
    assert statistics.count == 0
    with rasterio.open(tmp_path / "p.tif", driver="GTiff") as dataset:
        assert np.isnan(dataset.read(1)).all()
        assert dataset.tags(1)["STATISTICS_VALID_PERCENT"] == "0"


@pytest.mark.parametrize("name", PRODUCTS)
def test_statistics_are_those_of_the_valid_pixels(name, tmp_path):
    spec = PRODUCTS[name]
    array = pixels(spec)
    (returned,) = write(tmp_path / "p.tif", spec, array, cut(array, 77, 300))
    known = array[~np.isnan(array) if np.isnan(spec.nodata) else array != spec.nodata].astype("float64")
    with rasterio.open(tmp_path / "p.tif", driver="GTiff") as dataset:
        tags = {key: float(value) for key, value in dataset.tags(1).items() if key.startswith("STATISTICS_")}
    assert tags["STATISTICS_MINIMUM"] == pytest.approx(known.min(), rel=1e-8)
    assert tags["STATISTICS_MAXIMUM"] == pytest.approx(known.max(), rel=1e-8)
    assert tags["STATISTICS_MEAN"] == pytest.approx(known.mean(), rel=1e-8)
    assert tags["STATISTICS_STDDEV"] == pytest.approx(known.std(), rel=1e-8)
    assert tags["STATISTICS_VALID_PERCENT"] == pytest.approx(100 * known.size / array.size, rel=1e-3)
    assert returned.count == known.size


def test_statistics_merge_without_cancellation():
    values = 1e8 + np.random.default_rng(0).random(10_000)
    merged = BandStatistics()
    for part in np.array_split(values, 13):
        merged = merged.merge(BandStatistics.of(part))
    assert merged.stddev == pytest.approx(values.std(), rel=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "uint16", "int32"])
@pytest.mark.parametrize("nodata", [np.nan, 0.0, 200.0])
def test_statistics_are_of_what_is_there(dtype, nodata):
    values = np.random.default_rng(2).choice([0, 3, 4, 200, 211], (2, 7, 11)).astype(dtype)
    if values.dtype.kind == "f":
        values[0, 3] = np.nan
    there = values[:, ::2, 1:]
    found = BandStatistics.of(there, nodata)
    there = there[(there != nodata) & ~np.isnan(there)].astype(float)
    assert (found.count, found.minimum, found.maximum) == (there.size, there.min(), there.max())
    assert (found.mean, found.stddev) == pytest.approx((there.mean(), there.std()))
    assert BandStatistics.of(np.full((3, 4), 200, dtype), 200.0) == BandStatistics()
    for one in (found, BandStatistics()):
        assert BandStatistics.from_json(json.loads(json.dumps(one.to_json(), allow_nan=False))) == one


def test_a_block_may_be_of_any_type_that_casts_safely(tmp_path):
    spec, inside = PRODUCTS["class"], np.random.default_rng(5).random((31, 47)) > 0.3
    (found,) = write(tmp_path / "c.tif", spec, inside)
    assert (found.count, found.minimum, found.maximum) == (inside.size, 0, 1)
    assert found.mean == pytest.approx(inside.mean())
    with rasterio.open(tmp_path / "c.tif", driver="GTiff") as file:
        assert_array_equal(file.read(1), inside)


def test_overviews_of_the_probability_average_known_pixels_only(tmp_path):
    spec = PRODUCTS["probability"]
    array = np.full((1024, 700), 0.25, "float32")
    array[1::2] = np.nan
    write(tmp_path / "p.tif", spec, array)
    with rasterio.open(tmp_path / "p.tif", driver="GTiff", overview_level=0) as overview:
        assert_array_equal(overview.read(1), np.full((512, 350), 0.25, "float32"))


def shares(there: int, here: int) -> np.ndarray:
    """Return which share of each of `here` pixels every one of `there` pixels takes, float64 (here, there)."""
    ends = np.arange(here + 1)[:, None] * there / here
    low, high = np.maximum(ends[:-1], np.arange(there)), np.minimum(ends[1:], np.arange(1, there + 1))
    return np.maximum(high - low, 0) * here / there


def test_every_pixel_of_an_overview_is_the_mean_of_what_lies_under_it(tmp_path):
    """Sides that are odd at every level, and more pixels than GDAL takes at once.

    At the borders of its pieces GDAL 3.10 can take the wrong pixels: COG_TMP_COMPRESSION=NONE makes it do so here.
    """
    spec, under = PRODUCTS["probability"], np.random.default_rng(3).random((2275, 1703), np.float32)
    write(tmp_path / "p.tif", spec, under)
    for level in range(3):
        with rasterio.open(tmp_path / "p.tif", driver="GTiff", overview_level=level) as overview:
            found = overview.read(1)
        rows, cols = (shares(*sides) for sides in zip(under.shape, found.shape, strict=True))
        np.testing.assert_allclose(found, rows @ under @ cols.T, atol=1e-6)
        under = found


def test_overviews_of_the_class_hold_only_classes(tmp_path):
    spec = PRODUCTS["class"]
    write(tmp_path / "p.tif", spec, pixels(spec))
    with rasterio.open(tmp_path / "p.tif", driver="GTiff", overview_level=0) as overview:
        assert set(np.unique(overview.read(1))) <= {0, 1, 255}


def fails_in_the_middle(array):
    yield 0, 0, array[:100, :100]
    raise RuntimeError("the store is gone")


def test_an_error_leaves_the_old_product_and_no_litter(tmp_path):
    spec = PRODUCTS["probability"]
    array = pixels(spec)
    path = tmp_path / "p.tif"
    write(path, spec, array)
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="the store is gone"):
        write(path, spec, array, fails_in_the_middle(array))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "block", "message"),
    [
        ("probability", (0, 0, np.zeros((3, 4))), "casts safely to float32"),
        ("probability", (0, 0, np.zeros((1, 3, 4), "float32")), "3 dimensions"),
        ("probability", (38, 0, np.zeros((3, 4), "float32")), "outside the raster of 40 x 70 px"),
        ("probability", (-1, 0, np.zeros((3, 4), "float32")), "outside the raster"),
        ("probability", (0, 0, np.full((3, 4), np.inf, "float32")), "infinite"),
        ("class", (0, 0, np.full((3, 4), 7, "uint8")), r"found \[7\], but the colour table knows \[0, 1\]"),
    ],
)
def test_a_block_that_does_not_fit_is_refused(name, block, message, tmp_path):
    spec = PRODUCTS[name]
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "p.tif", spec, np.zeros((40, 70), spec.dtype), [block])
    assert list(tmp_path.iterdir()) == []


NAMES = ("background", "industrial", "산업단지 2", "water")


def several(height: int = HEIGHT_PX, width: int = WIDTH_PX) -> tuple[CogSpec, np.ndarray]:
    """A product of four bands that sum to 1, unknown at the same places."""
    spec = dataclasses.replace(PRODUCTS["probability"], bands=NAMES)
    planes = np.random.default_rng(4).dirichlet([0.5, 1, 2, 0.2], (height, width)).astype("float32")
    planes[height // 3 : height // 2, : width // 4] = np.nan
    return spec, np.ascontiguousarray(np.moveaxis(planes, 2, 0))


def write_bands(path, spec, planes, step_y=512, step_x=512, order=1):
    _, height, width = planes.shape
    places = [(y, x) for y in range(0, height, step_y) for x in range(0, width, step_x)][::order]
    blocks = [(y, x, planes[:, y : y + step_y, x : x + step_x]) for y, x in places]
    return write_cog(path, spec, height=height, width=width, crs=KOREA, transform=TRANSFORM, blocks=blocks)


def test_several_bands_come_back_with_their_names(tmp_path):
    spec, planes = several()
    statistics = write_bands(tmp_path / "p.tif", spec, planes)
    with rasterio.open(tmp_path / "p.tif", driver="GTiff") as dataset:
        assert_array_equal(dataset.read(), planes)
        assert dataset.descriptions == NAMES
        assert ColorInterp.alpha not in dataset.colorinterp
        for band in dataset.indexes:
            assert_array_equal(dataset.read_masks(band) > 0, ~np.isnan(planes[band - 1]))
            known = planes[band - 1][~np.isnan(planes[band - 1])].astype(float)
            assert float(dataset.tags(band)["STATISTICS_MEAN"]) == pytest.approx(known.mean(), rel=1e-8)
            assert statistics[band - 1].maximum == known.max()
    assert cog_validate(tmp_path / "p.tif", strict=True) == (True, [], [])


def test_neither_cut_nor_order_changes_a_byte_of_several_bands(tmp_path):
    spec, planes = several(700, 531)
    write_bands(tmp_path / "a.tif", spec, planes)
    write_bands(tmp_path / "b.tif", spec, planes, 301, 77, -1)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_overviews_of_probabilities_sum_to_one_where_anything_is_known(tmp_path):
    spec, planes = several()
    write_bands(tmp_path / "p.tif", spec, planes)
    for level in (0, 1):
        with rasterio.open(tmp_path / "p.tif", driver="GTiff", overview_level=level) as overview:
            small = overview.read()
        unknown = np.isnan(small)
        assert (unknown.all(axis=0) == unknown.any(axis=0)).all()
        assert 0 < unknown.mean() < 0.5
        np.testing.assert_allclose(small.sum(axis=0)[~unknown[0]], 1, atol=1e-6)


def test_planes_that_are_not_those_of_the_product_are_refused(tmp_path):
    spec, planes = several(40, 70)
    for wrong in (planes[:3], planes[0], planes[None]):
        with pytest.raises(ValueError, match=r"one plane for each of \['background', 'industrial'"):
            write_cog(
                tmp_path / "p.tif", spec, height=40, width=70, crs=KOREA, transform=TRANSFORM, blocks=[(0, 0, wrong)]
            )
    with pytest.raises(ValueError, match="outside the raster of 39 x 70 px"):
        write_cog(
            tmp_path / "p.tif", spec, height=39, width=70, crs=KOREA, transform=TRANSFORM, blocks=[(0, 0, planes)]
        )
    assert list(tmp_path.iterdir()) == []


def test_more_classes_need_more_colours_only(tmp_path):
    spec = PRODUCTS["class"]
    spec = dataclasses.replace(spec, colors={**(spec.colors or {}), 7: (0, 0, 255, 255)}, tags={"RUN": "seoul-2024"})
    array = np.full((40, 70), 7, "uint8")
    write(tmp_path / "p.tif", spec, array)
    with rasterio.open(tmp_path / "p.tif", driver="GTiff") as dataset:
        assert dataset.colormap(1)[7] == (0, 0, 255, 255)
        assert dataset.tags()["RUN"] == "seoul-2024"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resampling": "cubic"}, "known are average, nearest, mode"),
        ({"nodata": 300, "dtype": "uint8", "colors": None}, "300 is no uint8"),
        ({"dtype": "float32"}, "colour table on float32"),
        ({"bands": ("a", "b", "c")}, "colour table on 3 bands"),
    ],
)
def test_impossible_specifications_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PRODUCTS["class"], **change)


def test_a_product_that_is_done_leaves_the_cache_limited_for_the_others(tmp_path):
    code = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import numpy as np, rasterio
from affine import Affine
from rasterio.env import get_gdal_config
from tiler.cog import CogSpec, write_cog

def write():
    spec = CogSpec(name="a", dtype="uint8", nodata=255, resampling="nearest")
    place = {"height": 70, "width": 90, "crs": "EPSG:5179", "transform": Affine(10, 0, 0, 0, -10, 0)}
    write_cog(Path(sys.argv[1]), spec, **place, blocks=[(0, 0, np.zeros((70, 90), np.uint8))])

def limit():
    with rasterio.Env():
        return get_gdal_config("GDAL_CACHEMAX")

for job in write, limit:
    with ThreadPoolExecutor(1) as thread:
        found = thread.submit(job).result()
print(found)
"""
    rest = {key: value for key, value in os.environ.items() if key != "GDAL_CACHEMAX"}
    words = [sys.executable, "-c", code, str(tmp_path / "a.tif")]
    done = subprocess.run(words, env=rest, capture_output=True, text=True, check=True)
    assert int(done.stdout) == CACHE_BYTES
