"""The cells of a map: the tasks are those of a plain dictionary, however the pairs lie."""

import random

import numpy as np
import pytest

from cluster.markers import unit_of
from jobs.cells import CellTask, CellTasks
from tiler.grids import Cell

SCENES = ("d", "a", "c")
TOUCHING = {(-2, 5): ("a",), (-2, 7): ("d", "c"), (0, -3): ("d", "a", "c"), (3, 0): ("c",)}
PAIRS = [(row, col, SCENES.index(name)) for (row, col), names in TOUCHING.items() for name in names]


@pytest.fixture(params=[0, 1, 2])
def tasks(request) -> CellTasks:
    pairs = PAIRS.copy()
    random.Random(request.param).shuffle(pairs)
    return CellTasks("map", SCENES, np.array(pairs))


def test_tasks_stand_in_order_of_cells_and_of_scenes(tasks):
    expected = [CellTask("map", Cell(*place), names) for place, names in TOUCHING.items()]
    assert list(tasks) == expected
    assert len(tasks) == 4
    assert (tasks[0], tasks[-1], tasks[1:3]) == (expected[0], expected[3], expected[1:3])
    with pytest.raises(IndexError):
        tasks[4]


def test_a_row_of_cells_has_a_folder_of_markers(tasks):
    groups = tasks.by_row()
    assert [(group.folder, len(group)) for group in groups] == [("map_r-2", 2), ("map_r0", 1), ("map_r3", 1)]
    assert [task for group in groups for task in group] == list(tasks)
    for group in groups:
        assert all(unit_of(task).rpartition("/")[0] == group.folder for task in group)
        assert len(list(group)) == len(group)
