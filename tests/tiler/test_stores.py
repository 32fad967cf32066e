"""Stores: groups that exist wholly or not at all, and arrays that other people's tools can place on the Earth."""

import os
import random
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401  (adds `.rio`)
import zarr
from affine import Affine
from numpy.testing import assert_array_equal

from tests.processes import forking
from tests.tiler.rasters_for_tests import TRANSFORM, grid
from tiler.disk_pipeline import use_disk_pipeline
from tiler.stores import (
    add_array,
    add_georeference,
    array_of,
    attributes_of,
    finish_group,
    is_complete,
    new_group,
    open_dataset,
    open_group,
    shard_px,
    write_shard,
)

PIPELINES = ("zarr.core.codec_pipeline.BatchedCodecPipeline", "tiler.disk_pipeline.DiskPipeline")
rio = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")


def make(url, of, finish=True):
    group = new_group(url)
    attributes = add_georeference(group, of)
    array = add_array(
        group, "image", ("y", "x"), (of.height, of.width), (16, 16), (32, 32), "uint16", 7, {**attributes, "note": "n"}
    )
    if finish:
        finish_group(group, {"answer": 42})
    return array


@rio
@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32652", TRANSFORM),
        ("EPSG:5179", Affine(10.0, 0.0, 953_120.0, 0.0, 12.0, 1_951_340.0)),
        ("EPSG:4326", Affine(0.0001, 0.0, 126.51, 0.0, -0.0002, 37.42)),
    ],
)
def test_an_array_lies_where_its_grid_says(crs, transform, tmp_path):
    of = grid(45, 71, transform, crs)
    url = f"{tmp_path}/store"
    make(url, of)[3:5, 9] = 12
    dataset = open_dataset(url)
    image = dataset["image"]
    assert image.rio.crs.to_epsg() == int(crs[5:])
    np.testing.assert_allclose(tuple(image.rio.transform())[:6], tuple(transform)[:6], rtol=1e-12)
    corners = [v for row, col in ((45, 0), (0, 71)) for v in of.xy(np.array(row), np.array(col))]
    left, low, right, high = min(corners[::2]), min(corners[1::2]), max(corners[::2]), max(corners[1::2])
    np.testing.assert_allclose(image.rio.bounds(), (left, low, right, high), rtol=1e-12)
    assert image.dims == ("y", "x")
    assert image.chunks is not None, "opened lazily"
    expected = np.full((45, 71), 7)
    expected[3:5, 9] = 12
    assert_array_equal(image.values, expected)
    assert dataset.attrs["answer"] == 42


@rio
def test_a_rotated_grid_is_placed_by_its_transform_alone(tmp_path):
    rotated = TRANSFORM @ Affine.rotation(20)
    make(f"{tmp_path}/store", grid(45, 71, rotated))
    dataset = open_dataset(f"{tmp_path}/store")
    assert "x" not in dataset.coords
    np.testing.assert_allclose(tuple(dataset["image"].rio.transform())[:6], tuple(rotated)[:6], rtol=1e-12)


def test_coordinates_are_pixel_centres_in_the_units_of_the_crs(tmp_path):
    make(f"{tmp_path}/store", grid(3, 2, Affine(0.5, 0, 100, 0, -0.25, 40), "EPSG:4326"))
    dataset = open_dataset(f"{tmp_path}/store")
    assert_array_equal(dataset.x, [100.25, 100.75])
    assert_array_equal(dataset.y, [39.875, 39.625, 39.375])
    assert (dataset.x.attrs["units"], dataset.y.attrs["standard_name"]) == ("degrees", "latitude")


def test_a_group_whose_creation_was_cut_short_is_not_opened(tmp_path):
    url = f"{tmp_path}/store"
    with pytest.raises(FileNotFoundError, match=r"no zarr group at .*store; run the stage"):
        open_group(url)
    assert not is_complete(url)
    make(url, grid(45, 71), finish=False)[...] = 3
    with pytest.raises(FileNotFoundError, match="was not created to its end; run the stage that makes it again"):
        open_group(url)
    assert not is_complete(url)
    make(url, grid(20, 30))
    assert is_complete(url)
    array = array_of(open_group(url), "image")
    assert array.shape == (20, 30)
    assert (array[...] == 7).all(), "nothing of the first attempt is left"
    assert attributes_of(open_group(url)) == {"answer": 42, "complete": True}


def test_looking_for_a_group_makes_no_folder(tmp_path):
    assert not is_complete(f"{tmp_path}/none.zarr")
    assert list(tmp_path.iterdir()) == []


def test_attributes_are_a_copy(tmp_path):
    make(f"{tmp_path}/store", grid(4, 5))
    group = open_group(f"{tmp_path}/store")
    attributes_of(group)["answer"] = 1
    assert attributes_of(group)["answer"] == 42


@pytest.mark.parametrize(
    ("length", "shard"), [(1, 512), (512, 512), (513, 1024), (1537, 2048), (2048, 2048), (2049, 2048), (99_999, 2048)]
)
def test_a_shard_holds_whole_chunks_and_no_more_than_it_needs(length, shard):
    assert shard_px(length) == shard


def test_shards_are_files_of_their_own(tmp_path):
    make(f"{tmp_path}/store", grid(45, 71))[0:32, 32:64] = 5
    files = [p.relative_to(tmp_path / "store/image") for p in (tmp_path / "store/image/c").rglob("*") if p.is_file()]
    assert [str(f) for f in files] == ["c/0/1"]


@pytest.fixture
def codecs():
    """Set the pipeline for one test."""
    names = ("codec_pipeline.path", "threading.max_workers", "async.concurrency")
    before = {name: zarr.config.get(name) for name in names}
    use_disk_pipeline(1)
    yield lambda path: zarr.config.set({"codec_pipeline.path": path})
    zarr.config.set(before)


def shards_filled(url, shape, dtype, fill):
    group = new_group(url)
    lead = (slice(None),) * (len(shape) - 2)
    sides = (*shape[:-2], 32, 48)
    add_array(group, "image", "bcyx"[-len(shape) :], shape, (*shape[:-2], 16, 16), sides, dtype, fill)
    finish_group(group, {})
    array, random = array_of(open_group(url), "image"), np.random.default_rng(3)
    values = random.uniform(-40, 40, shape).astype(dtype)
    values[(*lead, slice(32, 64), slice(0, 48))] = fill  # a shard of nothing
    for y in range(0, shape[-2], 32):
        for x in range(0, shape[-1], 48):
            place = (*lead, slice(y, min(y + 32, shape[-2])), slice(x, min(x + 48, shape[-1])))
            write_shard(array, place, values[place])
    return array, values


@pytest.mark.parametrize("reader", PIPELINES)
@pytest.mark.parametrize(
    ("shape", "dtype", "fill"),
    [
        ((71, 101), "bool", False),
        ((3, 71, 101), "uint16", 7),
        ((2, 2, 71, 101), "float16", 0.0),
        ((1, 71, 101), "float32", float("nan")),
        ((71, 101), "int32", -(2**31)),
    ],
)
def test_either_pipeline_reads_shards(reader, shape, dtype, fill, tmp_path, codecs):
    _, values = shards_filled(f"{tmp_path}/store", shape, dtype, fill)
    codecs(reader)
    array = array_of(open_group(f"{tmp_path}/store"), "image")
    assert_array_equal(array[...], values)
    assert_array_equal(array[..., 30:50, 40:99], values[..., 30:50, 40:99])


def test_a_shard_is_replaced_whole_and_nothing_else_is_left(tmp_path):
    array, values = shards_filled(f"{tmp_path}/store", (3, 71, 101), "uint16", 7)
    root = tmp_path / "store/image"
    files = {file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file()}
    written = {f"c/0/{y}/{x}" for y in range(3) for x in range(3)} - {"c/0/1/0"}
    assert files == {"zarr.json", *written}, "a shard of fill values is no file"
    place = (slice(None), slice(0, 32), slice(48, 96))
    write_shard(array, place, np.full((3, 32, 48), 7, "uint16"))
    assert not (tmp_path / "store/image/c/0/0/1").exists(), "nothing but fill values any more"
    write_shard(array, place, values[place] + 1)
    values[place] += 1
    assert_array_equal(array[...], values)


def test_a_write_that_breaks_off_leaves_what_was_there(tmp_path, monkeypatch):
    array, values = shards_filled(f"{tmp_path}/store", (3, 71, 101), "uint16", 7)

    def cut_short(path, target):
        path.write_bytes(path.read_bytes()[:100])
        raise OSError("no space left on device")

    monkeypatch.setattr("pathlib.Path.replace", cut_short)
    place = (slice(None), slice(0, 32), slice(48, 96))
    with pytest.raises(OSError, match="no space"):
        write_shard(array, place, values[place] + 1)
    assert_array_equal(array[...], values)
    assert not list(tmp_path.rglob("*.partial-*"))


@pytest.mark.parametrize(
    "place",
    [
        (slice(None), slice(0, 64), slice(0, 48)),  # two shards
        (slice(None), slice(0, 32), slice(0, 40)),  # a part of one
        (slice(None), slice(16, 48), slice(0, 48)),  # parts of two
        (slice(None), slice(64, 71), slice(48, 101)),
        (0, slice(0, 32), slice(0, 48)),
    ],
)
def test_what_is_not_one_shard_is_refused(place, tmp_path):
    array, _ = shards_filled(f"{tmp_path}/store", (3, 71, 101), "uint16", 7)
    with pytest.raises(ValueError, match="not one shard"):
        write_shard(array, place, np.zeros((3, 32, 48), "uint16"))


def test_a_shard_that_disappears_while_it_is_written_is_an_error(tmp_path, monkeypatch):
    """Whoever tidies up must not turn a shard into one of fill values."""
    array, values = shards_filled(f"{tmp_path}/store", (3, 71, 101), "uint16", 7)
    monkeypatch.setattr(os, "fsync", lambda file: [p.unlink() for p in tmp_path.rglob("*.partial-*")])
    place = (slice(0, 3), slice(0, 32), slice(0, 48))
    with pytest.raises(FileNotFoundError):
        write_shard(array, place, values[place] + 1)
    monkeypatch.undo()
    assert_array_equal(array[...], values)


SIDE = 32


def shards_of_a_lopsided_array(shape):
    for y, x in product(range(0, shape[0], SIDE), range(0, shape[1], SIDE)):
        yield slice(y, min(y + SIDE, shape[0])), slice(x, min(x + SIDE, shape[1]))


def write_in_random_order(url, values, seed):
    use_disk_pipeline(1)
    array, places = array_of(open_group(url), "image"), list(shards_of_a_lopsided_array(values.shape))
    random.Random(seed).shuffle(places)
    for place in places:
        write_shard(array, place, values[place])


def test_many_writers_at_once_lose_nothing(tmp_path):
    """Six processes write every shard of one array in orders of their own, as workers do that are doubled or thought
    lost; parallel writes to parts of a shard would lose data without a word (zarr-python 3682)."""
    url = f"{tmp_path}/store"
    make(url, grid(295, 417))
    values = np.random.default_rng(5).integers(0, 60_000, (295, 417), dtype=np.uint16)
    values[64:96, 32:64] = 7  # a shard of fill values has no file, whoever writes it last
    writers = [forking().Process(target=write_in_random_order, args=(url, values, seed)) for seed in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 6
    assert_array_equal(array_of(open_group(url), "image")[...], values)
    assert not [p for p in Path(url).rglob("*") if "partial" in p.name]


def test_arrays_are_opened_once(tmp_path, monkeypatch):
    url = f"{tmp_path}/store"
    make(url, grid(45, 71))
    arrays, opened = open_group(url), []
    monkeypatch.setattr(zarr.Group, "__getitem__", lambda group, name: opened.append(name) or name.upper())
    assert [array_of(arrays, name) for name in ("image", "x", "image")] == ["IMAGE", "X", "IMAGE"]
    assert opened == ["image", "x"]
