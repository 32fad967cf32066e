"""The seam index of whole maps: none where windows agree, plain to see where each window has a level of its own."""

import numpy as np
import pytest

from jobs.cells import CellTask
from jobs.seams import measured_seams, seam_table
from tests.jobs.worlds import UTM51
from tests.tiler.test_seams import MAP, scene
from tiler.fuse import Fused
from tiler.grids import CELL_PX, Box, MapGrid
from tiler.map_store import MapStore, create_map_store


class Plan:
    """What is asked of a `LogitPlan`: its name, the grid of its scene and its windows."""

    name = "only"

    def __init__(self, seam_scene) -> None:
        self.lattice = seam_scene.lattice
        self.source = self
        self.scene = self
        self.grid = seam_scene.grid


EXTENT = Box(-3 * CELL_PX - 500, 5 * CELL_PX - 300, -3 * CELL_PX + 700, 5 * CELL_PX + 900)
TASKS = [CellTask("map", cell, ("only",)) for cell in MAP.cells_of(EXTENT)]


def store_with(folder, values: np.ndarray) -> MapStore:
    create_map_store(str(folder), MAP, MAP.cells_of(EXTENT), EXTENT, ("industrial",))
    store = MapStore(str(folder))
    for cell in MAP.cells_of(EXTENT):
        box = MAP.box_of(cell)
        logit = np.full((1, CELL_PX, CELL_PX), np.nan, np.float32)
        inside = box.clip(EXTENT)
        rows, cols = inside.shift(-box.y0, -box.x0).slices
        logit[0, rows, cols] = values[inside.shift(-EXTENT.y0, -EXTENT.x0).slices]
        count = np.isfinite(logit[0]).astype(np.uint16)
        store.write(cell, Fused(logit, logit, count, np.zeros((CELL_PX, CELL_PX), np.int32)))
    return store


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(EXTENT.height, EXTENT.width)).astype(np.float32)


def test_windows_that_agree_have_an_index_of_1(tmp_path, noise):
    found = measured_seams(store_with(tmp_path / "map.zarr", noise), [Plan(scene(EXTENT))], TASKS)
    for kind in ("window", "cell"):
        assert found[kind]["low"] <= found[kind]["index"] <= found[kind]["high"]
        assert found[kind]["index"] == pytest.approx(1, abs=0.05)
    assert found["blocks"] > 4


def test_levels_of_windows_and_cells_show(tmp_path, noise):
    one = scene(EXTENT, 256, 0)
    y, x = np.mgrid[: EXTENT.height, : EXTENT.width]
    levels = noise + 2 * ((y // 256 + x // 256) % 2)  # the last windows are shifted back; their borders are among these
    found = measured_seams(store_with(tmp_path / "windows.zarr", levels), [Plan(one)], TASKS)
    assert found["window"]["low"] > 1.2
    assert found["cell"]["index"] == pytest.approx(1, abs=0.1)
    levels = noise + 2 * ((y + EXTENT.y0 >= -3 * CELL_PX) ^ (x + EXTENT.x0 >= 5 * CELL_PX))
    found = measured_seams(store_with(tmp_path / "cells.zarr", levels), [Plan(one)], TASKS)
    assert found["cell"]["low"] > 1.2
    assert found["window"]["index"] == pytest.approx(1, abs=0.1)


def test_scenes_that_touch_no_cell_of_a_block_are_not_asked(tmp_path, noise):
    store, plans = store_with(tmp_path / "map.zarr", noise), [Plan(scene(EXTENT))]
    assert measured_seams(store, plans, [])["window"] is None
    half = [task for task in TASKS if task.cell.row < -3]
    sums = [measured_seams(store, plans, some)["window"] for some in (half, TASKS)]
    assert sums[0] != sums[1]


def test_a_map_without_borders_has_no_index(tmp_path):
    extent = Box(10, 10, 50, 70)
    grid = MapGrid(UTM51, (10.0, 10.0), (0.0, 0.0))
    create_map_store(str(tmp_path / "map.zarr"), grid, grid.cells_of(extent), extent, ("industrial",))
    assert measured_seams(MapStore(str(tmp_path / "map.zarr")), [], []) == {"blocks": 0, "window": None, "cell": None}


def test_the_table_has_what_there_is():
    found = {"blocks": 7, "window": {"index": 1.2, "low": 1.1, "high": 1.3}, "cell": None}
    (table,) = seam_table(found)
    assert list(table.rows) == [("windows", 1.2, 1.1, 1.3)]
    assert " 7 blocks" in table.caption
    assert seam_table({"blocks": 0, "window": None, "cell": None}) == []
