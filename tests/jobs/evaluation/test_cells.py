"""The cells of an evaluation: each knows the scenes of its neighbours, because outlines look over the border."""

import numpy as np

from jobs.cells import CellTasks, MosaicPlan
from jobs.evaluation.cells import cell_tasks, red_and_nir
from tiler.grids import Box, Cell, MapGrid

CELLS = {Cell(-1, 4): ("c",), Cell(-1, 5): ("b", "c"), Cell(0, 6): ("a",), Cell(1, 8): ("d",)}


def test_a_cell_gets_the_scenes_of_its_neighbours_in_the_order_of_scenes():
    touched = [(cell.row, cell.col, "abcd".index(name)) for cell, names in CELLS.items() for name in names]
    tasks = CellTasks("map", "abcd", np.array(touched))
    plan = MosaicPlan("map", MapGrid("EPSG:5179", (10.0, 10.0)), Box(0, 0, 9, 9), tasks)
    found = cell_tasks(plan, ["d", "c", "b", "a"], "key")
    assert {t.cell: t.scenes for t in found} == {
        Cell(-1, 4): ("c", "b"),
        Cell(-1, 5): ("c", "b", "a"),
        Cell(0, 6): ("c", "b", "a"),
        Cell(1, 8): ("d",),
    }
    assert [t.unit for t in found] == [f"key_r{cell.row}/c{cell.col}" for cell in CELLS]


def test_red_and_near_infrared_are_found_by_name():
    assert red_and_nir(("blue", "nir", "red")) == (2, 1)
