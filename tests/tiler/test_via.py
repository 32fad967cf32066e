import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tests.tiler.images_for_tests import polygon, via
from tiler.via import drawn, read_via

HEIGHT, WIDTH = 30, 44
CLASSES = {"scratch": 1, "dent": 2}


def one(shape: dict, value: str = "scratch") -> np.ndarray:
    return drawn([(shape, {"cls": value})], "cls", CLASSES, HEIGHT, WIDTH)


@pytest.mark.parametrize("form", ["list", "export", "project"])
def test_every_form_of_the_tool_is_read(tmp_path, form):
    shape = polygon((3, 4), (20, 4), (20, 9))
    path = via(tmp_path / "via.json", {"a.png": [(shape, {"cls": "scratch"})], "b.png": []}, form)
    assert read_via(str(path)) == {"a.png": ((shape, {"cls": "scratch"}),), "b.png": ()}


def test_a_pixel_is_inside_if_its_middle_is():
    found = one(polygon((9.6, 4.6), (20.4, 4.6), (20.4, 12.4), (9.6, 12.4)))
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[5:13, 10:21] = 1
    assert_array_equal(found, expected)
    assert_array_equal(one({"name": "rect", "x": 9.6, "y": 4.6, "width": 10.8, "height": 7.8}), expected)


@settings(deadline=None, max_examples=200)
@given(st.floats(8, 20), st.floats(8, 20), st.floats(3, 7), st.floats(3, 7), st.floats(0, 3))
def test_ellipses_hold_the_pixels_whose_middles_are_inside(cx, cy, rx, ry, theta):
    found = one({"name": "ellipse", "cx": cx, "cy": cy, "rx": rx, "ry": ry, "theta": theta})
    y, x = np.indices(found.shape)
    along = (x - cx) * np.cos(theta) + (y - cy) * np.sin(theta)
    across = -(x - cx) * np.sin(theta) + (y - cy) * np.cos(theta)
    distance = (along / rx) ** 2 + (across / ry) ** 2
    assert (found[distance < 0.997] == 1).all(), "the polygon lies within a quarter of a percent of the ellipse"
    assert (found[distance > 1.003] == 0).all()


def test_circles_lines_and_points():
    assert one({"name": "circle", "cx": 20, "cy": 12, "r": 6}).sum() == pytest.approx(np.pi * 36, rel=0.08)
    line = one({"name": "polyline", "all_points_x": [3, 30], "all_points_y": [7, 7]})
    assert set(np.flatnonzero(line.any(axis=1))) == {7}
    assert line.sum() >= 27
    point = one({"name": "point", "cx": 5, "cy": 6})
    assert point[6, 5] == 1
    assert point.sum() == 1


def test_no_region_vanishes_and_what_lies_outside_is_cut_off():
    hair = one(polygon((5, 5.3), (25, 5.35), (25, 5.36), (5, 5.31)))
    assert hair.sum() >= 20
    corner = one(polygon((-9, -9), (4.4, -9), (4.4, 3.4), (-9, 3.4)))
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[:4, :5] = 1
    assert_array_equal(corner, expected)
    assert one(polygon((100, 100), (120, 100), (120, 130))).sum() == 0


def test_other_values_are_background_and_later_regions_lie_above():
    square = polygon((-1, -1), (50, -1), (50, 50), (-1, 50))
    small = polygon((9.5, 9.5), (20.5, 9.5), (20.5, 20.5), (9.5, 20.5))
    regions = [(square, {"cls": "scratch"}), (small, {"cls": "dent"}), (square, {"cls": "wheel"}), (square, {})]
    found = drawn(regions, "cls", CLASSES, HEIGHT, WIDTH)
    assert (found[10:21, 10:21] == 2).all()
    assert (found == 2).sum() == 121
    assert (found == 0).sum() == 0
    ticked = drawn([(square, {"cls": {"dent": True, "scratch": False}})], "cls", CLASSES, HEIGHT, WIDTH)
    assert (ticked == 2).all()


@pytest.mark.parametrize(
    "shape",
    [
        {"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1]},
        {"name": "polygon", "all_points_x": [1, None, 3], "all_points_y": [1, 2, 3]},
        {"name": "polygon", "all_points_x": [], "all_points_y": []},
        {"name": "rect", "x": 1, "y": 2, "width": float("inf"), "height": 3},
        {"name": "circle", "cx": 1e300, "cy": 2, "r": 3},
        {"name": "spline"},
        {},
    ],
)
def test_shapes_that_are_none_are_told(shape):
    with pytest.raises(ValueError, match=r"cannot be drawn|knows no shape"):
        one(shape)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "holds no annotations"),
        ('{"images": [], "annotations": []}', "holds no annotations"),
        ('[{"filename": "a.png", "regions": [3]}]', "is no mapping"),
        ("[" * 100_000, "is no JSON"),
    ],
)
def test_files_that_are_none_are_told(tmp_path, text, message):
    (tmp_path / "via.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_via(str(tmp_path / "via.json"))
    with pytest.raises(ValueError, match="does not exist"):
        read_via(str(tmp_path / "absent.json"))


def test_regions_of_a_file_that_is_named_twice_add_up(tmp_path):
    shape = polygon((3, 4), (20, 4), (20, 9))
    record = {"filename": "a.png", "regions": [{"shape_attributes": shape, "region_attributes": {}}]}
    (tmp_path / "via.json").write_text(json.dumps([record, record]))
    assert len(read_via(str(tmp_path / "via.json"))["a.png"]) == 2
