"""Shards as files: what zarr reads from them, and what is left when writing breaks off."""

import errno
import os

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from zarr.codecs import BloscCodec
from zarr.registry import register_pipeline

from tiler import shard_files
from tiler.disk_pipeline import DiskPipeline
from tiler.shard_files import DIRECT, PAGE, Layout, put_file

PIPELINES = (
    "zarr.core.codec_pipeline.BatchedCodecPipeline",
    f"{DiskPipeline.__module__}.{DiskPipeline.__qualname__}",
)
FILLS = {"bool": False, "uint8": 255, "uint16": 7, "int32": -(2**31), "float16": 0.0, "float32": float("nan")}


def made(folder, shape, chunks, shards, dtype, fill, codec=None):
    codec = codec or BloscCodec(cname="lz4", clevel=9, shuffle="bitshuffle")
    how = {"shape": shape, "chunks": chunks, "shards": shards, "dtype": dtype, "fill_value": fill}
    return zarr.create_array(str(folder), **how, compressors=codec, overwrite=True)


def layout_of(array):
    return Layout.of(array.metadata.to_dict(), array.fill_value)


def read_by_both(folder):
    register_pipeline(DiskPipeline)
    for pipeline in PIPELINES:
        with zarr.config.set({"codec_pipeline.path": pipeline}):
            yield zarr.open_array(str(folder), mode="r")[...]


def bits(values):
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_every_reader_gets_the_bits_that_were_written(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("array")
    dtype = data.draw(st.sampled_from(sorted(FILLS)))
    rank = data.draw(st.integers(1, 3))
    chunk = [data.draw(st.integers(1, 5)) for _ in range(rank)]
    counts = [data.draw(st.integers(1, 3)) for _ in range(rank)]
    shard = [c * n for c, n in zip(chunk, counts, strict=True)]
    shape = [data.draw(st.integers(1, n)) for n in shard]
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    values = random.uniform(-300, 300, shape).astype(np.float32).astype(dtype)
    values[random.random(shape) < data.draw(st.sampled_from([0, 0.5, 0.98, 1]))] = FILLS[dtype]
    values[random.random(shape) < data.draw(st.sampled_from([0, 0.5, 1]))] = 1
    array = made(folder, shape, chunk, shard if shard != chunk else None, dtype, FILLS[dtype])
    target = folder / array.metadata.encode_chunk_key((0,) * rank)
    put_file(target, layout_of(array).encoded(values), past_cache=data.draw(st.booleans()))
    for found in read_by_both(folder):
        assert_array_equal(bits(found), bits(values))
    fill = bits(np.full(1, FILLS[dtype], dtype))
    assert target.exists() == bool((bits(values) != fill).any()), "what is nothing but fill values is no file"


@pytest.mark.parametrize("codec", [None, BloscCodec(cname="zstd", clevel=1, shuffle="shuffle")])
def test_a_chunk_is_byte_for_byte_that_of_zarr(codec, tmp_path):
    values = np.random.default_rng(1).integers(0, 900, (3, 65, 40)).astype("uint16")
    array = made(tmp_path, values.shape, (3, 70, 41), None, "uint16", 7, codec)
    array[...] = values
    encoded = layout_of(array).encoded(values)
    assert bytes(encoded.pages[: encoded.size]) == (tmp_path / "c/0/0/0").read_bytes()


@pytest.mark.parametrize("dtype", sorted(FILLS))
@pytest.mark.parametrize("middle", [3, 0])
def test_a_chunk_of_one_value_is_byte_for_byte_that_of_zarr(dtype, middle, tmp_path):
    values = np.full((90, 75), 3, dtype)
    values[40, 40] = middle
    array = made(tmp_path, values.shape, values.shape, None, dtype, FILLS[dtype])
    array[...] = values
    for _ in range(2):
        encoded = layout_of(array).encoded(values)
        assert bytes(encoded.pages[: encoded.size]) == (tmp_path / "c/0/0").read_bytes()


def test_an_index_says_of_empty_chunks_what_zarr_says(tmp_path):
    values = np.full((50, 70), 7, "uint16")
    values[40, 69] = 9
    array = made(tmp_path, values.shape, (32, 32), (64, 96), "uint16", 7)
    array[...] = values
    encoded = layout_of(array).encoded(values)
    assert bytes(encoded.pages[: encoded.size]) == (tmp_path / "c/0/0").read_bytes()


def test_minus_nought_is_no_fill_value(tmp_path):
    array = made(tmp_path, (3, 5), (3, 5), None, "float32", 0.0)
    put_file(tmp_path / "c/0/0", layout_of(array).encoded(np.full((3, 5), -0.0, "float32")))
    assert all(np.signbit(found).all() for found in read_by_both(tmp_path))


def data_of(size):
    layout = Layout(np.dtype("u1"), np.zeros((), "u1"), (size,), (size,), False, shard_files.Blosc("lz4", 0))
    encoded = layout.encoded(np.random.default_rng(size).integers(1, 255, size, "u1"))
    assert encoded.pages.ctypes.data % PAGE == 0
    return encoded, bytes(encoded.pages[: encoded.size])


@pytest.mark.parametrize("past_cache", [False, True])
@pytest.mark.parametrize("size", [1, PAGE - 16, PAGE, 3 * PAGE + 5])
def test_a_file_holds_its_bytes_and_no_more(size, past_cache, tmp_path):
    encoded, expected = data_of(size)
    for _ in range(2):
        put_file(tmp_path / "a/b/file", encoded, past_cache)
        assert (tmp_path / "a/b/file").read_bytes() == expected
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["file"]


@pytest.mark.skipif(not DIRECT, reason="no direct writes here")
@pytest.mark.parametrize("refuses", ["open", "write"])
def test_a_file_system_without_direct_writes_gets_the_file_all_the_same(refuses, tmp_path, monkeypatch):
    encoded, expected = data_of(2 * PAGE + 5)
    opened, wrote, direct = os.open, os.write, set()

    def refuse():
        raise OSError(errno.EINVAL, "Invalid argument")

    def open_(path, flags, *rest):
        if flags & DIRECT and refuses == "open":
            refuse()
        found = opened(path, flags, *rest)
        (direct.add if flags & DIRECT else direct.discard)(found)
        return found

    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(os, "write", lambda file, data: refuse() if file in direct else wrote(file, data))
    put_file(tmp_path / "file", encoded, past_cache=True)
    assert (tmp_path / "file").read_bytes() == expected


def test_a_system_that_writes_a_part_at_a_time_is_asked_again(tmp_path, monkeypatch):
    encoded, expected = data_of(5 * PAGE)
    wrote = os.write
    monkeypatch.setattr(os, "write", lambda file, data: wrote(file, data[:PAGE]))
    put_file(tmp_path / "file", encoded, past_cache=True)
    assert (tmp_path / "file").read_bytes() == expected


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
@pytest.mark.parametrize("past_cache", [False, True])
def test_what_breaks_off_leaves_what_was_there(step, past_cache, tmp_path, monkeypatch):
    before, expected = data_of(PAGE)
    put_file(tmp_path / "file", before, past_cache)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        put_file(tmp_path / "file", data_of(2 * PAGE)[0], past_cache)
    monkeypatch.undo()
    assert (tmp_path / "file").read_bytes() == expected
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_bytes_are_on_the_disk_before_the_name_and_the_name_before_the_call_ends(tmp_path, monkeypatch):
    told, fsync, replace = [], os.fsync, os.replace

    def flush(file):
        told.append("folder" if os.path.isdir(f"/proc/self/fd/{file}") else "file")
        fsync(file)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", lambda *paths: (told.append("name"), replace(*paths)))
    put_file(tmp_path / "file", data_of(9)[0])
    assert told == ["file", "name", "folder"]
