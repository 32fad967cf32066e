import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiler.rasters_for_tests import UTM52
from tiler.grids import PixelGrid
from tiler.lattice import Lattice
from tiler.scene_windows import own_boxes, window_name, windows_of


def grid(height: int, width: int) -> PixelGrid:
    return PixelGrid(UTM52, (10.0, 0.0, 327_350.0, 0.0, -10.0, 4_178_410.0), height, width)


@given(st.integers(1, 200), st.integers(1, 200))
def test_own_boxes_of_all_windows_cover_a_scene_once(height, width):
    names = list(windows_of("a", Lattice(height, width, 64, 0)))
    assert names[0] == window_name("a", 64, 0, 0) == "a/64px_r0_c0"
    count = np.zeros((height, width), int)
    for box in own_boxes(names, {"a": grid(height, width)})["a"]:
        count[box.slices] += 1
    assert (count == 1).all()


def test_windows_of_other_scenes_are_passed_over_and_what_is_no_window_is_refused():
    grids = {"a": grid(100, 130)}
    assert own_boxes(["b/64px_r0_c0"], grids) == {}
    for name, told in (
        ("a/64px", "names no window"),
        ("a/64px_r2_c0", "has no such window"),
        ("a/50px_r0_c0", "no such"),
    ):
        with pytest.raises(ValueError, match=told):
            own_boxes([name], grids)
