"""Arrays on a disk are read here, all others through zarr's own pipeline."""

import pickle

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from zarr.core.codec_pipeline import BatchedCodecPipeline

from tiler import disk_pipeline
from tiler.disk_pipeline import DiskPipeline, read_rectangle, use_disk_pipeline
from tiler.stores import COMPRESSOR


@pytest.fixture(autouse=True, scope="module")
def _pipeline():
    names = ("codec_pipeline.path", "threading.max_workers", "async.concurrency")
    before = {name: zarr.config.get(name) for name in names}
    use_disk_pipeline(3)
    yield
    zarr.config.set(before)


@pytest.fixture
def parts_read(monkeypatch):
    """Count what is read here, not by zarr's own pipeline."""
    read, counted = disk_pipeline.read_part, []
    monkeypatch.setattr(disk_pipeline, "read_part", lambda *given: counted.append(given[0]) or read(*given))
    return counted


SHARDED, APART = (32, 48), None


def array_in(store, shards=SHARDED, dtype="uint16", **how):
    kept = {"compressors": COMPRESSOR, "fill_value": 7, **how}
    return zarr.create_array(store, shape=(45, 101), dtype=dtype, chunks=(16, 16), shards=shards, **kept)


def filled(path, shards=SHARDED, **how):
    """Write an array with chunks of one value and of fill values, a shard that is not there, and a partial last one."""
    array = array_in(path, shards, **how)
    most = {"bool": 2, "uint8": 256}.get(str(array.dtype), 2000)
    values = np.random.default_rng(3).integers(0, most, (45, 101)).astype(array.dtype)
    values[:16, 16:32], values[16:32, :16] = 3, 7
    array[...] = values
    side = array.shards or array.chunks
    (path / "c/1/1").unlink()
    values[side[0] : 2 * side[0], side[1] : 2 * side[1]] = 7
    return zarr.open_array(path, mode="r"), values


def test_threads_are_those_that_were_given():
    assert (zarr.config.get("threading.max_workers"), zarr.config.get("async.concurrency")) == (3, 3)


@pytest.mark.parametrize("shards", [SHARDED, APART])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "int64", "bool", "complex128"])
def test_arrays_on_a_disk_are_read_here(shards, dtype, tmp_path, parts_read):
    array, values = filled(tmp_path / "a.zarr", shards, dtype=dtype)
    again = pickle.loads(pickle.dumps(array))
    assert isinstance(again.async_array.codec_pipeline, DiskPipeline)
    assert_array_equal(again[3:40, 9:70], values[3:40, 9:70])
    assert_array_equal(again[...], values)
    assert parts_read


@pytest.mark.parametrize("shards", [SHARDED, APART])
def test_any_rectangle_is_what_was_written(shards, tmp_path_factory):
    array, values = filled(tmp_path_factory.mktemp("arrays") / "a.zarr", shards)

    @settings(deadline=None, max_examples=60)
    @given(st.data())
    def check(data):
        y, x = (
            slice(*sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)).filter(lambda p: p[0] != p[1]))))
            for n in values.shape
        )
        assert_array_equal(array[y, x], values[y, x])
        assert_array_equal(read_rectangle(array, (y, x)), values[y, x])

    check()


@pytest.mark.parametrize("shards", [SHARDED, APART])
@pytest.mark.parametrize("place", [(33, slice(3, 70)), (slice(5, 44), 40), (slice(2, 3), -1), (44,)])
def test_a_row_is_read_here_too(shards, place, tmp_path, parts_read):
    array, values = filled(tmp_path / "a.zarr", shards)
    assert_array_equal(array[place], values[place])
    assert parts_read


def test_a_rectangle_of_one_shard_does_not_go_through_zarr(tmp_path, monkeypatch):
    array, values = filled(tmp_path / "a.zarr")
    monkeypatch.setattr(DiskPipeline, "read", None)
    assert_array_equal(read_rectangle(array, (slice(5, 31), slice(50, 96))), values[5:31, 50:96])
    with pytest.raises(TypeError):
        read_rectangle(array, (slice(5, 33), slice(50, 96)))


@pytest.mark.parametrize(
    "how",
    [
        {"compressors": zarr.codecs.ZstdCodec()},
        {"serializer": zarr.codecs.BytesCodec(endian="big")},
        {"filters": zarr.codecs.TransposeCodec(order=(1, 0))},
    ],
)
@pytest.mark.parametrize("shards", [SHARDED, APART])
def test_arrays_of_other_codecs_are_left_to_zarr(shards, how, tmp_path, parts_read):
    array, values = filled(tmp_path / "a.zarr", shards, **how)
    assert_array_equal(array[3:40, 9:70], values[3:40, 9:70])
    assert_array_equal(read_rectangle(array, (slice(1, 9), slice(2, 12))), values[1:9, 2:12])
    assert not parts_read


def test_arrays_elsewhere_go_through_zarr(parts_read):
    array = array_in(zarr.storage.MemoryStore())
    array[3:5, 9] = 12
    assert array[...].sum() == 7 * 45 * 101 + 2 * (12 - 7)
    assert read_rectangle(array, (slice(3, 4), slice(9, 10))) == 12
    assert not parts_read


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
    [(33, slice(3, 70)), (slice(None), 2), (7, 98), (slice(2, 45, 3), slice(None)), ([1, 40, 2], slice(9)), ([3], 40)],
)
def test_what_is_no_rectangle_is_read_as_it_lies(place, tmp_path):
    array, values = filled(tmp_path / "a.zarr")
    assert_array_equal(array.oindex[place], values[place])


@pytest.mark.parametrize(
    ("dtype", "value", "other"), [("bool", True, False), ("float32", np.nan, 2.5), ("uint16", 9, 8)]
)
def test_chunks_of_one_value_are_decoded_once(dtype, value, other, tmp_path, monkeypatch):
    values = np.full((512, 1536), value, dtype)
    values[77, 600] = other  # nearly as small, but not of one value
    array = zarr.create_array(
        tmp_path / "a.zarr", data=values, chunks=(512, 512), shards=(512, 1536), compressors=COMPRESSOR, fill_value=0
    )
    assert_array_equal(array[...], values)
    decoded = []
    decode = disk_pipeline.blosc.decompress
    monkeypatch.setattr(disk_pipeline.blosc, "decompress", lambda *given: decoded.append(given) or decode(*given))
    assert_array_equal(array[3:500, 9:1500], values[3:500, 9:1500])
    assert len(decoded) == 1
    assert_array_equal(read_rectangle(array, (slice(0, 512), slice(512, 1024))), values[:, 512:1024])
    assert len(decoded) == 2


@pytest.mark.parametrize("shards", [SHARDED, APART])
@pytest.mark.parametrize("damage", ["empty", "cut", "header", "longer"])
def test_damaged_files_are_refused_by_name(shards, damage, tmp_path):
    array, _ = filled(tmp_path / "a.zarr", shards)
    path = tmp_path / "a.zarr/c/0/0"
    whole = path.read_bytes()
    made = {"empty": b"", "cut": whole[:-9], "header": b"\xff" * 16 + whole[16:], "longer": whole + b"more"}
    path.write_bytes(made[damage])
    with pytest.raises(ValueError, match=r"c/0/0 is damaged.*write it anew"):
        array[:5, :7]
