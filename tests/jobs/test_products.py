"""Products: each layer is a plain function of the map store, block by block."""

import math

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.products import (
    LAYERS,
    PROBABILITY_BINS,
    blocks_of,
    class_layer,
    map_numbers,
    probability_layer,
    sha256_of,
    sigmoid,
    write_products,
)
from tests.jobs.worlds import small_cells
from tiler.cog import PRODUCTS
from tiler.fuse import NO_DATE, Fused
from tiler.grids import Box, Cell, MapGrid
from tiler.map_store import MapStore, create_map_store

GRID = MapGrid("EPSG:32652", (12.0, 10.0))
EXTENT = Box(-700, 13, 333, 601)


def filled(folder, logit: np.ndarray, grid: MapGrid = GRID) -> MapStore:
    """A map of cells of 512 px over `EXTENT` with these logits (NaN where nothing was seen)."""
    with small_cells():
        cells = list(MapGrid.cells_of(EXTENT))
        create_map_store(str(folder / "m.zarr"), grid, cells, EXTENT, ("industrial",))
        store = MapStore(str(folder / "m.zarr"))
        for cell in cells:
            whole = np.full((1, 512, 512), np.nan, np.float32)
            part = grid.box_of(cell).clip(EXTENT)
            inside = part.shift(-cell.row * 512, -cell.col * 512).slices
            whole[(0, *inside)] = logit[part.shift(-EXTENT.y0, -EXTENT.x0).slices]
            count = (~np.isnan(whole[0])).astype(np.uint16) * 3
            store.write(cell, Fused(whole, np.abs(whole), count, np.where(count > 0, 5, NO_DATE).astype(np.int32)))
    return store


@pytest.fixture(scope="module")
def logits() -> np.ndarray:
    random = np.random.default_rng(8)
    values = random.normal(0, 4, (EXTENT.height, EXTENT.width)).astype(np.float32)
    values[100:300, :77] = np.nan
    values[600, 300:] = 0.0
    return values


@pytest.fixture(scope="module")
def store(tmp_path_factory, logits) -> MapStore:
    return filled(tmp_path_factory.mktemp("products"), logits)


@given(st.floats(-1e4, 1e4, width=32))
def test_sigmoid_is_the_sigmoid(value):
    found = sigmoid(np.array([value, -value], np.float32))
    exact = 1 / (1 + math.exp(-value)) if value > -700 else 0.0
    assert found.dtype == np.float32
    assert found[0] == pytest.approx(exact, abs=1e-6)
    assert found.sum() == pytest.approx(1, abs=1e-6)


def test_sigmoid_of_nothing_is_nothing():
    found = sigmoid(np.array([np.nan, np.inf, -np.inf, 0], np.float16))
    np.testing.assert_array_equal(found, np.array([np.nan, 1, 0, 0.5], np.float32))


@given(st.tuples(*[st.integers(-6000, 6000)] * 2), st.tuples(*[st.integers(1, 5000)] * 2))
@settings(max_examples=30)
def test_blocks_cover_an_extent_once_and_lie_in_one_cell_each(corner, size):
    extent = Box(*corner, corner[0] + size[0], corner[1] + size[1])
    blocks = list(blocks_of(extent))
    assert sum(b.height * b.width for b in blocks) == size[0] * size[1]
    cells = [Cell(b.y0 // 2048, b.x0 // 2048) for b in blocks]
    assert len(set(cells)) == len(cells)
    assert [Cell((b.y1 - 1) // 2048, (b.x1 - 1) // 2048) for b in blocks] == cells
    assert all(b.clip(extent) == b for b in blocks)


@pytest.mark.parametrize("threshold", [0.5, 0.05, 0.9])
def test_class_is_probability_reaching_the_threshold(store, logits, threshold):
    found = class_layer(store, EXTENT, threshold)
    known = ~np.isnan(logits)
    probability = 1 / (1 + np.exp(-logits[known].astype(np.float64)))
    sure = np.abs(probability - threshold) > 1e-6
    np.testing.assert_array_equal(found[known][sure], (probability >= threshold)[sure])
    assert (found[~known] == 255).all()
    if threshold == 0.5:
        assert (found[600, 300:] == 1).all()  # exactly there: "from a probability of 0.5 on"


def test_probability_of_the_logit(store, logits):
    found = probability_layer(store, EXTENT, 0.1)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(logits))
    known = ~np.isnan(logits)
    np.testing.assert_allclose(found[known], 1 / (1 + np.exp(-logits[known].astype(float))), atol=1e-6)


def test_numbers_are_counted_over_the_whole_map(store, logits):
    with small_cells():
        numbers = map_numbers(store, 0.3)
    known = logits[~np.isnan(logits)].astype(float)
    probability = 1 / (1 + np.exp(-known))
    assert numbers.seen_px == known.size
    assert numbers.positive_px == (known >= math.log(0.3 / 0.7)).sum()
    assert numbers.pixel_area_m2 == 120
    assert len(numbers.probability_counts) == PROBABILITY_BINS
    assert sum(numbers.probability_counts) == known.size
    expected = np.histogram(probability, PROBABILITY_BINS, (0, 1))[0]
    assert np.abs(np.array(numbers.probability_counts) - expected).max() <= 3  # float32 beside a bin's edge


def test_a_pixel_has_no_fixed_area_in_degrees_and_another_one_in_feet(tmp_path, logits):
    degrees = filled(tmp_path / "d", logits, MapGrid("EPSG:4326", (1e-4, 1e-4)))
    feet = filled(tmp_path / "f", logits, MapGrid("EPSG:2225", (30.0, 20.0)))
    with small_cells():
        assert map_numbers(degrees, 0.5).pixel_area_m2 is None
        assert map_numbers(feet, 0.5).pixel_area_m2 == pytest.approx(600 * (1200 / 3937) ** 2)


def test_every_layer_is_written_where_it_lies(tmp_path, store, logits):
    with small_cells():
        files = write_products(store, tmp_path / "map", 0.4, {"SANDAN_MAP": "abc"})
    assert list(files) == list(LAYERS) == list(PRODUCTS)
    for name, path in files.items():
        with rasterio.open(path) as data:
            assert data.transform == GRID.grid_of(EXTENT).affine
            assert data.crs.to_epsg() == 32652
            assert data.tags()["SANDAN_MAP"] == "abc"
            np.testing.assert_array_equal(data.read(1), LAYERS[name](store, EXTENT, 0.4))


def test_sha256_of_a_file(tmp_path):
    import hashlib

    content = b"sandan" * 400_000
    (tmp_path / "x").write_bytes(content)
    assert sha256_of(tmp_path / "x") == hashlib.sha256(content).hexdigest()
