"""Arrays on a disk are read here, all others through zarr's own pipeline."""

import pickle

import numpy as np
import pytest
import zarr
from numpy.testing import assert_array_equal
from zarr.core.codec_pipeline import BatchedCodecPipeline

from tiler.disk_pipeline import DiskPipeline, use_disk_pipeline
from tiler.stores import COMPRESSOR


@pytest.fixture(autouse=True)
def _pipeline():
    names = ("codec_pipeline.path", "threading.max_workers", "async.concurrency")
    before = {name: zarr.config.get(name) for name in names}
    use_disk_pipeline(3)
    yield
    zarr.config.set(before)


def array_in(store):
    return zarr.create_array(
        store, shape=(45, 71), dtype="uint16", chunks=(16, 16), shards=(32, 32), compressors=COMPRESSOR, fill_value=7
    )


def test_threads_are_those_that_were_given():
    assert (zarr.config.get("threading.max_workers"), zarr.config.get("async.concurrency")) == (3, 3)


def test_arrays_on_a_disk_go_through_this_pipeline(tmp_path):
    array = array_in(tmp_path / "a.zarr")
    assert isinstance(array.async_array.codec_pipeline, DiskPipeline)
    values = np.arange(45 * 71, dtype=np.uint16).reshape(45, 71)
    array[...] = values
    again = pickle.loads(pickle.dumps(zarr.open_array(tmp_path / "a.zarr", mode="r")))
    assert isinstance(again.async_array.codec_pipeline, DiskPipeline)
    assert_array_equal(again[3:40, 9:70], values[3:40, 9:70])


def test_arrays_elsewhere_go_through_zarr():
    array = array_in(zarr.storage.MemoryStore())
    assert isinstance(array.async_array.codec_pipeline, BatchedCodecPipeline)
    array[3:5, 9] = 12
    assert array[...].sum() == 7 * 45 * 71 + 2 * (12 - 7)


@pytest.mark.parametrize(("zarr_format", "dtype"), [(2, "<U6"), (3, "T")])
def test_text_goes_through_zarr_without_a_word(tmp_path, zarr_format, dtype):
    names = np.array(["hrv", "ir016"], dtype)
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=zarr_format)
    group.create_array("band", data=names)
    array = zarr.open_array(tmp_path / "a.zarr/band", mode="r")
    assert isinstance(array.async_array.codec_pipeline, BatchedCodecPipeline)
    assert_array_equal(array[...], names)


@pytest.mark.parametrize(
    "place",
    [
        (33, slice(3, 70)),
        (slice(5, 44), 40),
        (slice(None), 2),
        (slice(30, 36), slice(28, 40)),
        (slice(2, 45, 3), slice(None)),
        (slice(44, 45), slice(70, 71)),
    ],
)
def test_any_part_is_read_as_it_lies(place, tmp_path):
    array = array_in(tmp_path / "a.zarr")
    values = np.arange(45 * 71, dtype=np.uint16).reshape(45, 71)
    array[...] = values
    assert_array_equal(array[place], values[place])
