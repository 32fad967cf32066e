"""Places of pixels: near enough to the projection, and the same bits for every cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiler.synthetic.worlds import estate, grid_at
from tiler.grids import Box
from tiler.synthetic.canvas import NODE_PX, Patch, interpolate, transformer, world_xy
from tiler.synthetic.country import WORLD_CRS

BOXES = st.tuples(st.integers(-70, 140), st.integers(-70, 180), st.integers(1, 90), st.integers(1, 70)).map(
    lambda b: Box(b[0], b[1], b[0] + b[2], b[1] + b[3])
)


def grid(crs: str = "EPSG:32652"):
    return grid_at(estate(), 150, 210, crs)


@given(st.integers(-9, 9), st.integers(-9, 9), st.floats(-3, 3), st.floats(-3, 3))
def test_straight_lines_between_nodes_are_a_plane_where_the_nodes_lie_on_one(first_row, first_col, down, right):
    step = 4
    at_r, at_c = (np.arange(first, first + 6) * step for first in (first_row, first_col))
    nodes = 1 + down * at_r[:, None] + right * at_c[None].astype(float)
    rows, cols = at_r[0] + np.array([0.0, 0.5, 7.0, 19.0]), at_c[0] + np.array([1.0, 4.0, 11.25])
    found = interpolate(nodes, (first_row, first_col), rows, cols, step)
    np.testing.assert_allclose(found, 1 + down * rows[:, None] + right * cols[None], atol=1e-9)


def test_a_node_keeps_its_value_and_its_type():
    nodes = np.random.default_rng(0).random((4, 5)).astype(np.float32)
    found = interpolate(nodes, (2, -1), np.array([16.0, 24.0]), np.array([-8.0, 0.0, 8.0]), 8)
    np.testing.assert_array_equal(found, nodes[:2, :3])
    assert found.dtype == np.float32


@pytest.mark.parametrize("crs", ["EPSG:32651", "EPSG:32652"])
def test_world_coordinates_are_those_of_the_projection_to_a_millimetre(crs):
    rows, cols = np.arange(-37, 150), np.arange(11, 210)
    x, y = world_xy(grid(crs), rows, cols)
    at = grid(crs).xy(*np.meshgrid(rows + 0.5, cols + 0.5, indexing="ij"))
    exact = transformer(crs, WORLD_CRS).transform(*at)
    assert x.shape == (187, 199)
    assert np.hypot(x - exact[0], y - exact[1]).max() < 2e-3


@given(BOXES)
def test_a_part_has_the_places_of_the_whole_to_the_last_bit(box):
    rows, cols = np.arange(-80, 240), np.arange(-80, 260)
    x, y = world_xy(grid(), rows, cols)
    part = Patch.of(grid(), box)
    at = box.shift(80, 80).slices
    np.testing.assert_array_equal(part.x_m, x[at])
    np.testing.assert_array_equal(part.y_m, y[at])


@given(BOXES)
def test_nodes_surround_the_pixels_and_lie_where_their_pixels_do(box):
    patch = Patch.of(grid(), box)
    first, nodes = patch.nodes.first, patch.nodes
    assert first[0] * NODE_PX < box.y0
    assert first[1] * NODE_PX < box.x0
    assert (first[0] + nodes.x_m.shape[0] - 2) * NODE_PX >= box.y1 - 1
    assert (first[1] + nodes.x_m.shape[1] - 2) * NODE_PX >= box.x1 - 1
    x0, y0, x1, y1 = patch.bounds
    assert x0 < patch.x_m.min() <= patch.x_m.max() < x1
    assert y0 < patch.y_m.min() <= patch.y_m.max() < y1
    assert np.abs(patch.spread(nodes.x_m) - patch.x_m).max() < 2e-3


@given(BOXES, st.integers(0, 99))
def test_fields_at_nodes_reach_pixels_the_same_way_for_every_cut(box, seed):
    """A field that is a function of the node's number, drawn for a rectangle and for another that holds it."""
    wide = Box(box.y0 - 13, box.x0 - 6, box.y1 + 5, box.x1 + 21)

    def field(patch):
        rows, cols = (np.arange(n) + f for n, f in zip(patch.nodes.x_m.shape, patch.nodes.first, strict=True))
        return np.sin(seed + rows[:, None] * 1.7 + cols[None] * 0.9).astype(np.float32)

    part, whole = Patch.of(grid(), box), Patch.of(grid(), wide)
    at = box.shift(-wide.y0, -wide.x0).slices
    for how in ("spread", "repeat"):
        np.testing.assert_array_equal(getattr(part, how)(field(part)), getattr(whole, how)(field(whole))[at])


def test_every_pixel_repeats_its_nearest_node():
    patch = Patch.of(grid(), Box(-5, 3, 20, 31))
    numbers = np.arange(patch.nodes.x_m.size).reshape(patch.nodes.x_m.shape)
    row, col = np.divmod(patch.repeat(numbers), numbers.shape[1])
    pixels = np.meshgrid(np.arange(-5, 20), np.arange(3, 31), indexing="ij")
    for number, first, pixel in zip((row, col), patch.nodes.first, pixels, strict=True):
        assert np.abs((number + first) * NODE_PX - pixel).max() <= NODE_PX / 2
