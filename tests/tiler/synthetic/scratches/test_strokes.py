import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tiler.synthetic.noise import Dice
from tiler.synthetic.scratches.marks import rasterised
from tiler.synthetic.scratches.strokes import arc, coverage, near_line, outline


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 3.1), st.floats(1.1, 2.1), st.floats(12, 40))
def test_an_outline_covers_its_length_times_its_width(angle, width_px, length_px):
    points = arc(Dice(1), np.array([30.3, 40.7]), angle, length_px, 0.05, 0.0)
    area = rasterised([outline(points, width_px)], 61, 83).sum()
    assert abs(area - length_px * width_px) < 0.3 * length_px * width_px + 4


def test_distance_to_a_line_is_that_of_its_nearest_point():
    points = np.array([[2.0, 3.0], [2.0, 9.0], [7.0, 9.0]])
    near = near_line(points, 4, 12, 17)
    rows, cols = near.window
    ys, xs = np.mgrid[rows, cols]
    dense = np.concatenate([np.linspace(a, b, 400) for a, b in itertools.pairwise(points)])
    plain = np.sqrt((ys[..., None] - dense[:, 0]) ** 2 + (xs[..., None] - dense[:, 1]) ** 2).min(-1)
    np.testing.assert_allclose(near.distance_px, plain, atol=0.02)
    assert near.along.min() == 0
    assert near.along.max() == 1


def test_a_line_outside_the_picture_is_none():
    assert near_line(np.array([[50.0, 3.0], [60.0, 9.0]]), 3, 12, 17) is None


def test_thin_lines_are_faint():
    at = np.abs(np.arange(-5, 6)).astype(np.float32)
    assert coverage(at, 0.4).sum() == np.float32(0.4)
    assert coverage(at, 3.0).sum() == 3
