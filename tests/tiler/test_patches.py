"""Patches: labels are those of scikit-image, tables of cells add up to those of the whole."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import label

from tiler.grids import Box
from tiler.patch_kernels import across_corners, beside, label_patches
from tiler.patches import PatchFinder, PolygonRules, SiteLayers

KINDS = arrays(
    np.uint8, st.tuples(st.integers(1, 15), st.integers(1, 19)), elements=st.sampled_from([0, 0, 1, 1, 2, 7])
)


def labelled(kinds: np.ndarray) -> tuple[np.ndarray, int]:
    labels = np.empty(kinds.shape, np.int32)
    return labels, label_patches(kinds, labels)


def listed(kernel, *arguments) -> set[tuple[int, int]]:
    found = np.zeros((1000, 2), np.int64)
    return set(map(tuple, found[: kernel(*arguments, found)].tolist()))


@given(KINDS)
@settings(max_examples=50, deadline=None)
def test_patches_are_pixels_of_one_kind_that_hang_together_by_sides(kinds):
    labels, count = labelled(kinds)
    whole = label(kinds.astype(int), background=0, connectivity=1)
    assert count == whole.max()
    np.testing.assert_array_equal(labels, whole)  # both are named in the order of their first pixels


@given(KINDS)
@settings(max_examples=30, deadline=None)
def test_neighbours_are_listed_at_sides_and_at_corners(kinds):
    labels, _ = labelled(kinds)
    sides, corners = set(), set()
    height, width = labels.shape
    for y, x in np.ndindex(height, width):
        for dy, dx, found in ((0, 1, sides), (1, 0, sides), (1, 1, corners), (1, -1, corners)):
            if y + dy < height and 0 <= x + dx < width:
                one, other = int(labels[y, x]), int(labels[y + dy, x + dx])
                alike = kinds[y, x] == kinds[y + dy, x + dx]
                if one and other and one != other and (found is sides or alike):
                    found.add((min(one, other), max(one, other)))
    assert listed(beside, labels) == sides
    assert listed(across_corners, labels, kinds) == corners


@given(KINDS, st.integers(2, 9))
@settings(max_examples=30, deadline=None)
def test_tables_of_cells_add_up(kinds, side):
    extent = Box(-4, 7, -4 + kinds.shape[0], 7 + kinds.shape[1])
    value = np.arange(kinds.size, dtype=np.float32).reshape(kinds.shape)
    finder = PatchFinder(extent, PolygonRules(connectivity=8))
    for y in range(extent.y0, extent.y1, side):
        for x in range(extent.x0, extent.x1, side):
            box = Box(y, x, y + side, x + side).clip(extent)
            part = box.shift(-extent.y0, -extent.x0).slices
            finder.add(
                box, SiteLayers(kinds[part], {"value": value[part]}), lambda b: np.full((b.height, b.width), 2.5)
            )
    table = finder.table()
    inside = kinds > 0
    assert table.pixels.sum() == inside.sum()
    assert table.area_m2.sum() == 2.5 * inside.sum()
    assert table.sums["value"][0].sum() == value[inside].sum()
    for kind in (1, 2, 7):
        assert table.pixels[table.kind == kind].sum() == (kinds == kind).sum()
    rows, cols = np.divmod(table.first[1:], extent.width)
    np.testing.assert_array_equal(kinds[rows, cols], table.kind[1:])
