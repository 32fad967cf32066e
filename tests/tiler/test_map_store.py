"""The map store: cells come back, what nobody wrote is no data, and other people's tools find it on the Earth."""

import numpy as np
import pytest
import rioxarray  # noqa: F401  (adds `.rio`)
from numpy.testing import assert_array_equal

from tiler.fuse import NO_DATE, Fused
from tiler.grids import CELL_PX, Box, Cell, MapGrid
from tiler.map_store import MapStore, create_map_store
from tiler.stores import open_dataset

GRID = MapGrid("EPSG:5179", (10.0, 12.0), (4.0, 3.0))
CELLS = [Cell(-95, 46), Cell(-94, 47)]  # two corners of a rectangle of four
EXTENT = Box(-95 * CELL_PX + 17, 46 * CELL_PX + 5, -93 * CELL_PX - 100, 48 * CELL_PX - 9)


def fused(seed, classes=2):
    rng = np.random.default_rng(seed)
    shape = (CELL_PX, CELL_PX)
    count = np.zeros(shape, np.uint16)
    count[100:, :1500] = rng.integers(1, 5, (CELL_PX - 100, 1500))
    layers = np.where(count > 0, rng.random((2 * classes, 1, 1), np.float32) * count, np.float32("nan"))
    latest = np.where(count > 0, np.int32(19_000) + count.astype(np.int32), NO_DATE)
    return Fused(layers[:classes], layers[classes:], count, latest)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    url = f"{tmp_path_factory.mktemp('map')}/map"
    create_map_store(url, GRID, CELLS, EXTENT, ("urban", "water"))
    for cell in CELLS:
        MapStore(url).write(cell, fused(cell.col))
    return url


def test_cells_come_back(store):
    found = MapStore(store)
    for cell in CELLS:
        written, box = fused(cell.col), GRID.box_of(cell)
        for name in ("logit", "spread", "count", "latest"):
            assert_array_equal(found.read(name, box), getattr(written, name))
            assert found.read(name, box).dtype == getattr(written, name).dtype
    assert (found.grid, found.extent, found.classes) == (GRID, EXTENT, ("urban", "water"))


def test_a_box_over_several_cells_is_read_as_it_lies(store):
    box = Box(-94 * CELL_PX - 40, 47 * CELL_PX - 30, -94 * CELL_PX + 300, 47 * CELL_PX + 20)
    count = MapStore(store).read("count", box)
    expected = np.zeros((340, 50), np.uint16)
    expected[40:, 30:] = fused(47).count[:300, :20]
    expected[:40, :30] = fused(46).count[-40:, -30:]
    assert_array_equal(count, expected)
    assert expected.any()


def test_cells_that_nobody_wrote_hold_no_data(store):
    found, box = MapStore(store), GRID.box_of(Cell(-95, 47))
    assert np.isnan(found.read("logit", box)).all()
    assert np.isnan(found.read("spread", box)).all()
    assert not found.read("count", box).any()
    assert (found.read("latest", box) == NO_DATE).all()


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
def test_xarray_opens_it_where_it_lies(store):
    dataset = open_dataset(store)
    assert set(dataset.data_vars) == {"logit", "spread", "count", "latest"}
    assert list(dataset["class"].values) == ["urban", "water"]
    assert dataset["count"].rio.crs.to_epsg() == 5179
    assert dataset["count"].shape == (2 * CELL_PX, 2 * CELL_PX)
    left, top = 46 * CELL_PX * 12.0 + 3.0, 95 * CELL_PX * 10.0 + 4.0
    assert dataset["count"].rio.bounds() == (left, top - 2 * CELL_PX * 10.0, left + 2 * CELL_PX * 12.0, top)
    part = dataset["logit"].sel({"class": "water"})[150:160, 20:31]
    assert_array_equal(part.values, fused(46).logit[1, 150:160, 20:31])


def test_a_cell_is_one_shard_of_each_array(store):
    group = MapStore(store).group
    assert group["logit"].shards == (2, CELL_PX, CELL_PX)
    assert group["count"].shards == (CELL_PX, CELL_PX)
    assert group["count"].chunks == (512, 512)
