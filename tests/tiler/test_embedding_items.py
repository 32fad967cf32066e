import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiler.embeddings_for_tests import scene_grid
from tiler.embedding_items import WHOLE, WITH_QUADRANTS, SceneItems
from tiler.grids import Box
from tiler.lattice import Lattice


def items_of(height: int, width: int, parts: int, tile_px: int = 64) -> SceneItems:
    return SceneItems(Lattice(height, width, tile_px, 0), parts, scene_grid(height, width))


@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from([WHOLE, WITH_QUADRANTS]))
def test_numbers_and_places_are_the_same_thing(height, width, parts):
    items = items_of(height, width, parts)
    assert [items.item(*items.place(i)) for i in range(len(items))] == list(range(len(items)))


def test_quadrants_cover_their_window_once():
    items = items_of(150, 210, WITH_QUADRANTS)
    seen = np.zeros((150, 210), int)
    for part in range(1, 5):
        seen[items.box(items.item(1, 2, part)).slices] += 1
    whole = items.box(items.item(1, 2)).slices
    assert (seen[whole] == 1).all()
    assert seen.sum() == 64 * 64
    assert items.box(items.item(1, 2, 2)) == Box(64, 160, 96, 192)  # upper right


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_the_item_at_a_place_holds_it(down, right):
    items = items_of(150, 210, WITH_QUADRANTS)
    row, col = down * 149 + 0.5, right * 209 + 0.5
    lon, lat = items._lonlat(np.array(row), np.array(col))
    found = items.at(float(lon), float(lat))
    box = items.box(found)
    assert box.y0 - 1e-3 <= row <= box.y1 + 1e-3
    assert box.x0 - 1e-3 <= col <= box.x1 + 1e-3
    assert items.place(found)[2] > 0


def test_no_item_beyond_the_scene():
    items = items_of(150, 210, WHOLE)
    assert items.at(0.0, 0.0) is None
    with pytest.raises(IndexError):
        items.item(9, 0)


def test_centres_lie_inside_outlines():
    items = items_of(70, 90, WITH_QUADRANTS)
    for item in range(len(items)):
        corners, centre = items.outline(item), items.centres(np.array([item]))[0]
        assert (corners.min(0) <= centre).all()
        assert (centre <= corners.max(0)).all()


def test_parts():
    with pytest.raises(ValueError, match="parts=3"):
        items_of(70, 90, 3)
