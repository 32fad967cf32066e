"""Simplification of arcs: lines that stray a little, and never over the corner of another outline."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tiler.corner_map import CornerMap
from tiler.simplify_kernels import mark, simplify


def bits_of(points: list[tuple[int, int]], height: int = 40, width: int = 70) -> np.ndarray:
    bits, corners = np.zeros((height, width // 8 + 1), np.uint8), np.zeros((height, width), bool)
    corners[tuple(np.array(points).T)] = True
    mark(bits, corners, 0, 0)
    return bits


def along(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return every corner of pixels that an arc passes."""
    found = [points[0]]
    for (y0, x0), (y1, x1) in pairwise(points):
        steps = abs(y1 - y0) + abs(x1 - x0)
        found += [(y0 + (y1 - y0) * k // steps, x0 + (x1 - x0) * k // steps) for k in range(1, steps + 1)]
    return found


def kept_of(points: list[tuple[int, int]], others: list[tuple[int, int]], tolerance: float) -> list[tuple[int, int]]:
    array = np.array(points, np.int32)
    bits = bits_of([*along(points), *others])
    kept = simplify(array, np.array([0, len(points)]), np.array([False]), bits, tolerance)
    return [tuple(point) for point in array[kept].tolist()]


BUMP = [(10, 5), (10, 20), (9, 20), (9, 30), (10, 30), (10, 50)]


def test_a_bump_goes_unless_something_lies_in_it():
    straight = kept_of(BUMP, [], 1.0)
    assert len(straight) == 3  # a far point always stays: no two arcs between two nodes become one
    assert kept_of(BUMP, [(9, 25)], 1.0) == straight  # one of its own corners
    assert kept_of(BUMP, [], 0.5) == BUMP
    spike = [(10, 5), (10, 20), (7, 20), (7, 30), (10, 30), (10, 50)]
    assert len(kept_of(spike, [], 3.5)) == 3
    assert kept_of(spike, [(8, 25)], 3.5) == kept_of(spike, [], 3.5)  # it is on its side of the line
    assert (10, 20) in kept_of(spike, [(9, 17)], 3.5)  # it would be on the other one


@given(st.lists(st.sampled_from([(0, 1), (1, 0), (-1, 0)]), min_size=2, max_size=40), st.floats(0.3, 6))
@settings(max_examples=60, deadline=None)
def test_what_goes_lay_near_the_line_that_comes(steps, tolerance):
    points = [(20, 3)]
    for dy, dx in steps:
        there = points[-1][0] + dy, points[-1][1] + dx
        if 0 <= there[0] < 40 and there not in points:
            points.append(there)
    turns = [
        p
        for k, p in enumerate(points)
        if k in (0, len(points) - 1) or (points[k - 1][0] != points[k + 1][0] and points[k - 1][1] != points[k + 1][1])
    ]
    if len(turns) < 2:
        return
    kept = kept_of(turns, [], tolerance)
    assert (kept[0], kept[-1]) == (turns[0], turns[-1])
    places = [turns.index(point) for point in kept]
    for low, high in pairwise(places):
        a, b = np.array(turns[low], float), np.array(turns[high], float)
        for point in turns[low + 1 : high]:
            share = np.clip((point - a) @ (b - a) / max((b - a) @ (b - a), 1e-9), 0, 1)
            assert np.hypot(*(point - a - share * (b - a))) <= tolerance + 1e-9


def test_corners_are_kept_on_disk(tmp_path):
    corners = CornerMap(tmp_path / "corners", 30, 61)
    part = np.zeros((4, 9), bool)
    part[1, 8] = True
    corners.mark(20, 53, part)
    bits = np.fromfile(tmp_path / "corners", np.uint8).reshape(31, 8)
    assert np.flatnonzero(np.unpackbits(bits, axis=1, bitorder="little")).tolist() == [21 * 64 + 61]
