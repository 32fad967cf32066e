"""Deflated blocks of a TIFF: the pixels that GDAL reads, or nothing."""

import gc
import os
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from rasterio.windows import Window

from tests.tiler.rasters_for_tests import numbers, write_tif
from tiler.grids import Box
from tiler.rasters import read_window
from tiler.tiff_blocks import tiff_blocks

TILED = {"tiled": True, "blockxsize": 32, "blockysize": 16, "compress": "deflate"}
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32")


def by_gdal(path, bands, at):
    """Return what GDAL reads."""
    with rasterio.open(path) as data:
        return data.read(list(bands), window=Window(at.x0, at.y0, at.width, at.height))


def alone(path, bands, at):
    """Return what is read without GDAL, or None."""
    with rasterio.open(path) as data:
        blocks = tiff_blocks(str(path), data)
        out = np.full((len(bands), at.height, at.width), 77, data.dtypes[0])
        return out if blocks is not None and blocks.read(bands, at, out) else None


@settings(max_examples=40, deadline=None)
@given(
    dtype=st.sampled_from(DTYPES),
    predictor=st.sampled_from([1, 2]),
    interleave=st.sampled_from(["band", "pixel"]),
    form=st.sampled_from(
        [TILED, {"compress": "deflate", "blockysize": 7}, {**TILED, "blockxsize": 64, "BIGTIFF": "YES"}]
    ),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 50), st.integers(1, 70)),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_pixels_are_those_that_gdal_reads(tmp_path_factory, dtype, predictor, interleave, form, shape, seed, data):
    if dtype == "float32":
        predictor = 1
    values = np.random.default_rng(seed).integers(-(2**31), 2**31, shape).astype(dtype)
    path = write_tif(tmp_path_factory.mktemp("a") / "a.tif", values, predictor=predictor, interleave=interleave, **form)
    bands = data.draw(st.lists(st.integers(1, shape[0]), min_size=1, max_size=3))
    y0, x0 = data.draw(st.integers(0, shape[1] - 1)), data.draw(st.integers(0, shape[2] - 1))
    at = Box(y0, x0, data.draw(st.integers(y0 + 1, shape[1])), data.draw(st.integers(x0 + 1, shape[2])))
    wanted = by_gdal(path, bands, at)
    assert_array_equal(read_window(path, bands, at.y0, at.x0, at.height, at.width), wanted)
    found = alone(path, bands, at)
    whole = at == Box(0, 0, *shape[1:]) and sorted(bands) == list(range(1, shape[0] + 1))
    assert found is not None or not whole, "what is wanted whole is read without GDAL"
    if found is not None:
        assert_array_equal(found, wanted)


def test_a_rectangle_of_whole_blocks_goes_into_a_part_of_other_memory(tmp_path):
    image = numbers(2, 50, 70)
    path = write_tif(tmp_path / "a.tif", image, predictor=2, interleave="band", **TILED)
    memory = np.zeros((4, 40, 90), "uint16")
    with rasterio.open(path) as data:
        assert tiff_blocks(path, data).read([2], Box(16, 32, 50, 70), memory[1:2, 3:37, 5:43])
    assert_array_equal(memory[1, 3:37, 5:43], image[1, 16:50, 32:70])
    memory[1, 3:37, 5:43] = 0
    assert not memory.any()


@pytest.mark.parametrize(
    "options",
    [
        {"compress": "lzw"},
        {"compress": "zstd"},
        {"compress": "deflate", "predictor": 3},
        {"compress": "deflate", "ENDIANNESS": "BIG"},
        {"compress": "deflate", "NBITS": 12, "dtype": "uint16"},
        {"driver": "PNG"},
        {},
    ],
)
def test_other_forms_are_left_to_gdal(options, tmp_path):
    dtype = "float32" if options.get("predictor") == 3 else "uint16"
    image = numbers(1, 20, 30, high=4000, dtype=dtype)
    path = write_tif(tmp_path / ("a.png" if "driver" in options else "a.tif"), image, **options)
    with rasterio.open(path) as data:
        assert tiff_blocks(path, data) is None
    assert_array_equal(read_window(path, [1], 3, 5, 11, 21), image[:, 3:14, 5:26])


def test_only_files_on_a_disk_are_read(tmp_path):
    path = write_tif(tmp_path / "a.tif", numbers(20, 30), **TILED)
    with rasterio.open(path) as data:
        assert tiff_blocks(path, data) is not None
        assert tiff_blocks(f"/vsizip/{path}.zip/a.tif", data) is None
        assert tiff_blocks("https://example.org/a.tif", data) is None


def test_little_of_much_is_left_to_gdal_which_keeps_blocks(tmp_path):
    image = numbers(3, 64, 64)
    path = write_tif(tmp_path / "a.tif", image, interleave="pixel", **TILED)
    assert alone(path, [1, 2, 3], Box(0, 0, 16, 32)) is not None
    assert alone(path, [1, 2, 3], Box(3, 0, 16, 32)) is not None
    assert alone(path, [1, 2, 3], Box(4, 0, 16, 32)) is None, "a third more than is wanted"
    assert alone(path, [1, 2], Box(0, 0, 16, 32)) is None
    assert_array_equal(read_window(path, [1, 2], 0, 0, 16, 32), image[:2, :16, :32])


def test_memory_of_another_kind_is_left_to_gdal(tmp_path):
    image = numbers(1, 20, 30)
    path = write_tif(tmp_path / "a.tif", image, **TILED)
    out = np.zeros((1, 20, 30), "float64")
    assert read_window(path, [1], 0, 0, 20, 30, out) is out
    assert_array_equal(out, image)


def test_what_lies_outside_is_left_to_gdal(tmp_path):
    path = write_tif(tmp_path / "a.tif", numbers(20, 30), **TILED)
    with rasterio.open(path) as data:
        assert not tiff_blocks(path, data).read([1], Box(0, 0, 20, 31), np.empty((1, 20, 31), "uint16"))


def test_blocks_that_were_never_written_are_missing(tmp_path):
    path = write_tif(tmp_path / "a.tif", np.full((1, 40, 70), 5, "uint16"), nodata=5, SPARSE_OK=True, **TILED)
    with rasterio.open(path, "r+") as data:
        data.write(numbers(1, 16, 32), window=Window(0, 0, 32, 16))
    assert alone(path, [1], Box(0, 0, 16, 32)) is not None
    assert alone(path, [1], Box(0, 0, 40, 70)) is None
    assert_array_equal(read_window(path, [1], 0, 0, 40, 70), by_gdal(path, [1], Box(0, 0, 40, 70)))


def block_at(path, col, row):
    """Return offset and size of a block."""
    with rasterio.open(path) as data:
        return tuple(int(data.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))


@pytest.mark.parametrize("damage", ["flipped", "checksum", "short", "long", "cut"])
def test_a_damaged_block_is_left_to_gdal_which_names_the_file(damage, tmp_path):
    path = write_tif(tmp_path / "a.tif", numbers(1, 40, 70), predictor=2, **TILED)
    offset, size = block_at(path, 2, 1)
    raw = bytearray(Path(path).read_bytes())
    plain = zlib.decompress(bytes(raw[offset : offset + size]))
    if damage == "flipped":
        raw[offset + size // 2] ^= 0xFF
    elif damage == "checksum":
        raw[offset + size - 1] ^= 0xFF
    elif damage in ("short", "long"):
        packed = zlib.compress(plain[:60] if damage == "short" else bytes(100_000))
        assert len(packed) < size
        raw[offset : offset + len(packed)] = packed
    else:
        del raw[offset + size // 2 :]
    Path(path).write_bytes(raw)
    with rasterio.open(path) as data:
        out = np.zeros((1, 16, 6), "uint16")
        assert not tiff_blocks(path, data).read([1], Box(16, 64, 32, 70), out)
    if damage != "long":
        with pytest.raises(ValueError, match=r"a\.tif cannot be read at row 16, column 64.*replace the file"):
            read_window(path, [1], 16, 64, 16, 6)


def test_a_block_that_inflates_without_end_takes_the_memory_of_a_block(tmp_path):
    path = write_tif(tmp_path / "a.tif", numbers(1, 1024, 1024), **{**TILED, "blockxsize": 1024, "blockysize": 1024})
    offset, size = block_at(path, 0, 0)
    bomb = zlib.compress(bytes(2**27))
    assert len(bomb) < size
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(bomb)
    tracemalloc.start()
    with rasterio.open(path) as data:
        assert not tiff_blocks(path, data).read([1], Box(0, 0, 1024, 1024), np.empty((1, 1024, 1024), "uint16"))
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_the_file_is_closed_when_its_blocks_are_forgotten(tmp_path):
    path = write_tif(tmp_path / "a.tif", numbers(20, 30), **TILED)

    def held():
        links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
        return sum(os.path.lexists(link) and os.readlink(link) == path for link in links)

    with rasterio.open(path) as data:
        before = held()
        blocks = tiff_blocks(path, data)
        assert held() == before + 1
        del blocks
        gc.collect()
        assert held() == before
