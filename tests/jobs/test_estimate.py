"""Estimates: what a stage will cost, said before it starts. That they hold is tested with each stage."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.estimate import (
    ACTIVATION_BYTES_PER_PIXEL,
    BASE_MEMORY_BYTES,
    COMPRESSION_BYTES,
    IN_FLIGHT,
    KEPT,
    PUBLISH_MEMORY_BYTES,
    TORCH_MEMORY_BYTES,
    activation_bytes,
    coarse_memory,
    format_bytes,
    infer_memory,
    ingest_memory,
    mosaic_memory,
    publish_memory,
)
from tiler.lattice import Lattice


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_999, "1.0 MB"),
        (1_250_000, "1.2 MB"),
        (3_600_000_000, "3.6 GB"),
        (4_200_000_000_000, "4.2 TB"),
        (9_900_000_000_000_000, "9900.0 TB"),
    ],
)
def test_bytes_for_people(count, text):
    assert format_bytes(count) == text


@given(st.integers(0, 10**16))
def test_what_people_read_is_within_five_percent(count):
    number, unit = format_bytes(count).split()
    assert float(number) * 1000 ** ["B", "kB", "MB", "GB", "TB"].index(unit) == pytest.approx(count, rel=0.05)


SIZES = st.integers(1, 64)


@given(SIZES, st.sampled_from([1, 2, 4]), SIZES, SIZES, SIZES, st.integers(1, 9), st.sampled_from([0, 32]))
def test_memory_of_infer_is_pixels_windows_one_pass_and_weights(bands, itemsize, coarse, layers, tiles, across, gap):
    lattice = Lattice(64 * across, 64, 64, gap)
    zero = {"bands": 0, "itemsize": 0, "coarse": 0, "layers": 0, "tiles_per_pass": 0, "activation_bytes": 9.5}
    empty = infer_memory(lattice, **zero, weight_bytes=0)
    count = lattice.shard_windows
    region = ((count - 1) * (64 - gap) + 64) ** 2
    assert empty == BASE_MEMORY_BYTES + TORCH_MEMORY_BYTES + 2 * IN_FLIGHT * region
    assert infer_memory(lattice, **zero, weight_bytes=12_345) - empty == 2 * 12_345
    one_pass = infer_memory(lattice, **(zero | {"tiles_per_pass": tiles}), weight_bytes=0) - empty
    assert one_pass == int(KEPT * tiles * 64**2 * 9.5)
    two = infer_memory(lattice, **(zero | {"tiles_per_pass": tiles}), passes=2, weight_bytes=0) - empty
    assert two == int((KEPT + 1) * tiles * 64**2 * 9.5)
    read = infer_memory(lattice, **(zero | {"bands": bands, "itemsize": itemsize, "coarse": coarse}), weight_bytes=0)
    assert read - empty == IN_FLIGHT * region * (2 * bands * itemsize + 4 * coarse)
    windows = infer_memory(lattice, **(zero | {"layers": layers}), weight_bytes=0) - empty
    assert windows == IN_FLIGHT * count**2 * 64**2 * layers * 2 * 3


def card(architecture, activation_bytes=None):
    return SimpleNamespace(architecture=architecture, activation_bytes=activation_bytes)


def test_activations_are_of_the_hungriest_network_and_fewer_in_half_precision():
    deeplab, nested = card("deeplabv3plus"), card("unetplusplus")
    both = activation_bytes([deeplab, nested], "fp32")
    assert both == activation_bytes([nested], "fp32") > activation_bytes([deeplab], "fp32")
    assert both / 2 < activation_bytes([nested], "bf16") < both
    assert activation_bytes([card("a new one")], "fp32") == max(ACTIVATION_BYTES_PER_PIXEL.values())


def test_activations_that_a_card_tells_are_believed():
    told = card("unetplusplus", 100.0)
    assert activation_bytes([told], "fp32") == 100
    assert activation_bytes([told, card("unet")], "fp32") == ACTIVATION_BYTES_PER_PIXEL["unet"]


@given(SIZES, SIZES, st.sampled_from([1, 2, 4]))
def test_memory_grows_with_the_work(side, bands, itemsize):
    """No less than the arrays that are held for certain, and more for more."""
    shard = 32 * side
    ingest = ingest_memory(shard, bands, itemsize)
    assert ingest > BASE_MEMORY_BYTES + shard**2 * bands * itemsize
    assert ingest_memory(shard + 1, bands, itemsize) > ingest < ingest_memory(shard, bands + 1, itemsize)
    assert ingest < ingest_memory(shard, bands, itemsize + 1)
    mosaic = mosaic_memory(shard, bands)
    assert mosaic > BASE_MEMORY_BYTES + shard**2 * (bands * 4 + 2 + 4)
    assert mosaic_memory(shard + 1, bands) > mosaic < mosaic_memory(shard, bands + 1)
    coarse = coarse_memory(bands * shard**2)
    assert coarse >= BASE_MEMORY_BYTES + bands * shard**2 * (4 + 4 + 8)


@given(SIZES, SIZES, SIZES, st.integers(1, 8))
def test_memory_of_publish_is_that_of_the_products_that_are_written_at_once(cell, classes, cores, products):
    fixed = BASE_MEMORY_BYTES + PUBLISH_MEMORY_BYTES
    one = publish_memory(cell, classes, 1, products)
    assert one == fixed + 3 * classes * cell**2 * 4 + COMPRESSION_BYTES
    at_once = min(cores, products)
    many = publish_memory(cell, classes, cores, products)
    assert many == fixed + at_once * (one - fixed + (cores - 1) * COMPRESSION_BYTES)
    assert publish_memory(cell, classes, cores, cores + products) == publish_memory(cell, classes, cores, cores)
