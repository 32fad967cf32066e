"""Shards written at once hold what zarr itself would have written."""

import numpy as np
import pytest
import zarr
from numpy.testing import assert_array_equal

from tiler.shard_writer import write_shard
from tiler.stores import COMPRESSOR, IMAGE_COMPRESSOR, add_array

SHAPE, CHUNK, SHARD = (3, 45, 71), (3, 8, 8), (3, 24, 16)


def make(url, dtype="uint16", fill=7, compressor=IMAGE_COMPRESSOR, shards=SHARD):
    group = zarr.create_group(str(url), zarr_format=3, overwrite=True)
    return add_array(group, "image", ("band", "y", "x"), SHAPE, CHUNK, shards, dtype, fill, None, compressor)


def parts(shard=SHARD):
    """Each shard with its rectangle."""
    for row in range(-(-SHAPE[1] // shard[1])):
        for col in range(-(-SHAPE[2] // shard[2])):
            rows, cols = slice(row * shard[1], (row + 1) * shard[1]), slice(col * shard[2], (col + 1) * shard[2])
            yield (0, row, col), (slice(None), rows, cols)


@pytest.mark.parametrize("compressor", [COMPRESSOR, IMAGE_COMPRESSOR], ids=["default", "image"])
@pytest.mark.parametrize(
    ("dtype", "fill"), [("uint16", 7), ("bool", False), ("float32", float("nan")), ("float16", 0.0), ("int16", -3)]
)
def test_zarr_reads_what_was_written_and_files_are_as_large_as_its_own(dtype, fill, compressor, tmp_path):
    values = np.random.default_rng(4).integers(0, 300, SHAPE).astype(dtype)
    values[:, :24, :16] = fill  # a shard that holds nothing is written all the same
    ours, theirs = make(tmp_path / "a", dtype, fill, compressor), make(tmp_path / "b", dtype, fill, compressor)
    for place, part in parts():
        write_shard(ours, place, values[part])
        theirs[part] = values[part]
    assert_array_equal(ours[...], values)
    assert_array_equal(zarr.open_array(str(tmp_path / "a/image"), mode="r")[1, 3:40, 15:70], values[1, 3:40, 15:70])
    for _, row, col in [place for place, _ in parts()][1:]:
        own, other = ((tmp_path / folder / f"image/c/0/{row}/{col}").stat().st_size for folder in "ab")
        assert own == other
    assert (tmp_path / "a/image/c/0/0/0").is_file()


def test_a_shard_can_be_changed_by_zarr_afterwards(tmp_path):
    values, array = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype("uint16"), make(tmp_path)
    for place, part in parts():
        write_shard(array, place, values[part])
    array[1:2, 20:30, 10:40] = 5
    values[1:2, 20:30, 10:40] = 5
    assert_array_equal(array[...], values)


@pytest.mark.parametrize("shards", [None, CHUNK])
def test_without_shards_a_chunk_is_assigned(shards, tmp_path):
    values, array = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype("uint16"), make(tmp_path, shards=shards)
    for place, part in parts(CHUNK):
        write_shard(array, place, values[part])
    assert_array_equal(array[...], values)


def test_another_codec_is_left_to_zarr(tmp_path):
    values, group = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype("uint16"), zarr.create_group(str(tmp_path))
    array = group.create_array("image", shape=SHAPE, dtype="uint16", chunks=CHUNK, shards=SHARD)
    for place, part in parts():
        write_shard(array, place, values[part])
    assert_array_equal(array[...], values)


def test_values_that_are_not_the_shard_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"shard \(0, 1, 4\) reaches from \[0, 24, 64\] to \[3, 45, 71\]"):
        write_shard(make(tmp_path), (0, 1, 4), np.zeros((3, 24, 7), "uint16"))
