"""Pieces: files that lie side by side, over each other or layer by layer give what each of them says."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tests.tiler.rasters_for_tests import numbers, write_tif
from tiler.grids import Box
from tiler.pieces import Piece, read_pieces
from tiler.rasters import read_header
from tiler.sensors import Sensor

FOUR = Sensor(name="FOUR", bands=("a", "b", "c", "d"), valid_min=2, valid_max=8000, nodata=77, resolution_m=10)
HEIGHT, WIDTH = 31, 47
BOX = Box(100, 200, 100 + HEIGHT, 200 + WIDTH)


def expected_of(layers, nodata, fill):
    """The image and its validity by the sensor's own rule, band by band."""
    good = [FOUR.valid(layer, none) for layer, none in zip(layers, nodata, strict=True)]
    valid = np.logical_and.reduce(good)
    return np.where(valid, layers, np.asarray(fill, layers.dtype)), valid


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
@pytest.mark.parametrize(
    "files",
    [
        [((0, 1), (1, 2), (2, 3), (3, 4))],
        [((3, 2), (1, 4), (0, 1), (2, 3))],
        [((0, 1),), ((1, 1),), ((2, 1),), ((3, 1),)],
        [((0, 2), (3, 1)), ((1, 1), (2, 3))],
    ],
    ids=["one file", "its bands in another order", "a file each", "bands apart"],
)
def test_layers_are_the_files_bands_where_all_are_measurements(dtype, files, tmp_path):
    random, high = np.random.default_rng(5), 255 if dtype == "uint8" else 9000
    declared = [5.0, None, 6.5, 130.0]
    layers, nodata, pieces = np.empty((4, HEIGHT, WIDTH), dtype), [None] * 4, []
    for number, bands in enumerate(files):
        stored = numbers(4, 60, 80, low=0, high=high, dtype=dtype, seed=number)
        stored[:, random.random((60, 80)) < 0.05] = 5
        if dtype == "float32":
            stored[1, random.random((60, 80)) < 0.1] = np.nan
        path = write_tif(tmp_path / f"{number}.tif", stored)
        pieces.append(Piece(path, bands, Box(90, 180, 150, 260), declared[number]))
        for place, band in bands:
            layers[place] = stored[band - 1, 10 : 10 + HEIGHT, 20 : 20 + WIDTH]
            nodata[place] = declared[number]
    image, valid = read_pieces(pieces, FOUR, BOX, dtype, 3)
    expected, good = expected_of(layers, nodata, 3)
    assert 0 < good.sum() < good.size
    assert_array_equal(valid, good)
    assert_array_equal(image, expected)
    assert image.dtype == np.dtype(dtype)


def test_a_file_that_ends_inside_gives_the_same_pixels_as_one_that_does_not(tmp_path):
    stored = numbers(4, 60, 80)
    stored[2, 20, 30:40] = 77
    bands = ((0, 1), (1, 2), (2, 3), (3, 4))
    whole = Piece(write_tif(tmp_path / "whole.tif", stored), bands, Box(90, 180, 150, 260), None)
    parts = [
        Piece(write_tif(tmp_path / "l.tif", stored[:, :, :45]), bands, Box(90, 180, 150, 225), None),
        Piece(write_tif(tmp_path / "r.tif", stored[:, :, 43:]), bands, Box(90, 223, 150, 260), None),
    ]
    for found, expected in zip(
        read_pieces(parts, FOUR, BOX, "uint16", 0), read_pieces([whole], FOUR, BOX, "uint16", 0), strict=True
    ):
        assert_array_equal(found, expected)


def test_a_band_that_no_file_gives_here_leaves_nothing_valid(tmp_path):
    three = Piece(
        write_tif(tmp_path / "a.tif", numbers(3, 60, 80)), ((0, 1), (1, 2), (3, 3)), Box(90, 180, 150, 260), None
    )
    image, valid = read_pieces([three], FOUR, BOX, "uint16", 9)
    assert not valid.any()
    assert (image == 9).all()


def test_a_file_that_shrank_since_it_was_planned_is_refused(tmp_path):
    path = write_tif(tmp_path / "a.tif", numbers(4, 60, 80))
    bands = ((0, 1), (1, 2), (2, 3), (3, 4))
    piece = Piece(path, bands, Box(90, 180, 150, 260), None, read_header(path).form)
    read_pieces([piece], FOUR, BOX, "uint16", 0)
    write_tif(path, numbers(4, 50, 80))
    with pytest.raises(ValueError, match=r"4 x 60 x 80 uint16 .* is 4 x 50 x 80 uint16"):
        read_pieces([piece], FOUR, BOX, "uint16", 0)
