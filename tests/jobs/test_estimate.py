"""Estimates: what a stage will cost, said before it starts. That they hold is tested with each stage."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.estimate import (
    ACTIVATION_BYTES_PER_PIXEL,
    BASE_MEMORY_BYTES,
    IN_FLIGHT,
    TORCH_MEMORY_BYTES,
    coarse_memory,
    format_bytes,
    infer_memory,
    ingest_memory,
    mosaic_memory,
)


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


@given(SIZES, SIZES, SIZES, SIZES)
def test_memory_of_infer_is_weights_tiles_and_one_batch_in_all_views(channels, shard, batch, views):
    tile = 64
    empty = infer_memory(tile, channels, 0, 0, views, 0)
    assert empty == BASE_MEMORY_BYTES + TORCH_MEMORY_BYTES
    assert infer_memory(tile, channels, 0, 0, views, 12_345) - empty == 12_345
    activations = infer_memory(tile, channels, shard, batch, views, 0) - infer_memory(tile, channels, shard, 0, 1, 0)
    assert activations == batch * views * tile**2 * ACTIVATION_BYTES_PER_PIXEL
    tiles = infer_memory(tile, channels, shard, 0, views, 0) - empty
    assert tiles >= IN_FLIGHT * shard**2 * channels * tile**2 * 4
    assert tiles == shard**2 * (infer_memory(tile, channels, 1, 0, views, 0) - empty)


@given(SIZES, SIZES, st.sampled_from([1, 2, 4]))
def test_memory_grows_with_the_work(side, bands, itemsize):
    """No less than the arrays that are held for certain, and more for more."""
    shard = 32 * side
    ingest = ingest_memory(shard, bands, itemsize)
    assert ingest > BASE_MEMORY_BYTES + shard**2 * bands * itemsize
    assert ingest_memory(shard + 1, bands, itemsize) > ingest < ingest_memory(shard, bands + 1, itemsize)
    assert ingest < ingest_memory(shard, bands, itemsize + 1)
    mosaic = mosaic_memory(shard, bands)
    assert mosaic > BASE_MEMORY_BYTES + shard**2 * (2 * bands * 4 + 2 + 4)
    assert mosaic_memory(shard + 1, bands) > mosaic < mosaic_memory(shard, bands + 1)
    coarse = coarse_memory(bands * shard**2)
    assert coarse >= BASE_MEMORY_BYTES + bands * shard**2 * (4 + 4 + 8)
