import numpy as np
import pytest

from tests.tiler.rasters_for_tests import TRANSFORM, grid, moved, numbers, write_tif
from tiler.grids import Box
from tiler.placing import box_on, locate
from tiler.rasters import read_header

HERE, THERE = grid(9, 7), grid(9, 7, moved(100, 50))


@pytest.fixture
def bare(tmp_path):
    """A raster of 9 x 7 px that lies nowhere."""
    return read_header(write_tif(tmp_path / "bare.tif", numbers(9, 7), crs=None, transform=None))


def label(folder, name, height=9, width=7, transform=TRANSFORM):
    return read_header(write_tif(folder / "labels" / name, np.ones((height, width), np.uint8), transform=transform))


def test_a_file_that_says_where_it_lies_is_believed(tmp_path, bare):
    own = read_header(write_tif(tmp_path / "own.tif", numbers(9, 7)))
    found = locate("a", own, None, None, [label(tmp_path, "own.tif", transform=moved(100, 50))])
    assert found.transform == HERE.transform


def test_what_the_user_says_counts_before_what_the_file_says(tmp_path):
    own = read_header(write_tif(tmp_path / "own.tif", numbers(9, 7)))
    other = write_tif(tmp_path / "other.tif", numbers(9, 7), transform=moved(100, 50))
    assert locate("a", own, None, other, []).transform == pytest.approx(THERE.transform)
    assert locate("a", own, "EPSG:32651", None, []).crs == "EPSG:32651"
    wrong = write_tif(tmp_path / "wrong.tif", numbers(8, 7))
    with pytest.raises(ValueError, match="give one that fits"):
        locate("a", own, None, wrong, [])


def test_a_label_of_the_same_stem_and_size_gives_its_place(tmp_path, bare):
    named, stranger = label(tmp_path, "bare.tif", transform=moved(100, 50)), label(tmp_path, "stranger.tif")
    assert locate("a", bare, None, None, [stranger, named]).transform == pytest.approx(THERE.transform)
    assert locate("a", bare, None, None, [stranger]).transform == HERE.transform, "the only one may have another name"
    for candidates in ([], [stranger, stranger], [label(tmp_path, "bare.tif", height=8)]):
        with pytest.raises(ValueError, match="has no CRS and no transform"):
            locate("a", bare, None, None, candidates)


@pytest.mark.parametrize(("rows", "cols"), [(0, 0), (3, -2), (-1, 5)])
def test_pieces_lie_on_whole_pixels_of_the_first(rows, cols):
    piece = grid(4, 6, moved(rows, cols))
    assert box_on("a", "p.tif", HERE, piece) == Box(rows, cols, rows + 4, cols + 6)


def test_a_piece_between_the_pixels_is_refused():
    doubled = TRANSFORM @ type(TRANSFORM).scale(2)
    for piece in (grid(4, 6, moved(0.5, 0)), grid(4, 6, doubled), grid(4, 6, crs="EPSG:32651")):
        with pytest.raises(ValueError, match="does not lie on the pixels"):
            box_on("a", "p.tif", HERE, piece)
