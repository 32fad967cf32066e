"""The quick-look: pixels of the scene, and where they lie."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tests.tiler.rasters_for_tests import grid, numbers
from tests.tiler.stores_for_tests import ingest, scene_from
from tiler.quicklook import quicklook_step


@pytest.mark.parametrize(("size", "step"), [((75, 2048), 1), ((2049, 9), 2), ((75, 4301), 4), ((90, 8193), 8)])
def test_a_quicklook_keeps_a_power_of_two(size, step):
    assert quicklook_step(grid(*size)) == step
    assert -(-max(size) // step) <= 2048


def test_a_quicklook_pixel_lies_where_it_was_taken(tmp_path):
    values = numbers(2, 75, 4301)
    values[:, 20:40, 2000:2100] = 0
    scene = scene_from(tmp_path, "wide", values)
    store = ingest(f"{tmp_path}/store", scene, order=-1)
    whole, whole_valid = scene.read(scene.grid.box)
    image, valid, small = store.quicklook()
    step = quicklook_step(scene.grid)
    assert step == 4
    assert_array_equal(image, whole[:, ::step, ::step])
    assert_array_equal(valid, whole_valid[::step, ::step])
    assert (small.height, small.width) == valid.shape
    rows, cols = np.array([0, 3, 18]), np.array([0, 700, 1075])
    x, y = small.xy(rows + 0.5, cols + 0.5)
    taken_x, taken_y = scene.grid.xy(rows * step + 0.5, cols * step + 0.5)
    assert_allclose(x, taken_x, rtol=1e-12)
    assert_allclose(y, taken_y, rtol=1e-12)
