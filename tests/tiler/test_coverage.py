"""Coverage: every pixel's share is what shapely cuts out of it, and neighbours add up to their union."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from tiler.coverage import add_covered, add_uneven, edges_of, shares_of, spread_edges

HEIGHT, WIDTH, Y0, X0 = 7, 11, -3, 5


def oracle(shape: shapely.Geometry) -> np.ndarray:
    rows, cols = np.mgrid[Y0 : Y0 + HEIGHT, X0 : X0 + WIDTH]
    return shapely.area(shapely.intersection(shapely.box(cols, rows, cols + 1, rows + 1), shape))


def found(shape: shapely.Geometry) -> np.ndarray:
    return shares_of(shape, Y0, X0, HEIGHT, WIDTH)


def between(low: int, high: int) -> st.SearchStrategy[float]:
    """Numbers on and off borders of pixels; not so near to each other that GEOS itself loses its way."""
    fine = st.integers(low * 1024, high * 1024).map(lambda value: value / 1024)
    return st.one_of(st.integers(low, high).map(float), fine)


places = st.tuples(between(-2, 20), between(-6, 8))
points = st.lists(places, min_size=3, max_size=9)


@settings(max_examples=60, deadline=None)  # the first call compiles
@given(points, st.lists(points, max_size=2))
def test_shares_are_those_that_shapely_cuts_out(outline, holes):
    """Any polygon: edges along borders of pixels, beyond the rectangle, holes, several parts, either direction."""
    shape = shapely.make_valid(shapely.Polygon(outline), method="structure", keep_collapsed=False)
    for hole in holes:
        cut = shapely.make_valid(shapely.Polygon(hole), method="structure", keep_collapsed=False)
        shape = shapely.difference(shape, cut)
    expected = oracle(shape)
    np.testing.assert_allclose(found(shape), expected, atol=1e-9)
    np.testing.assert_allclose(found(shapely.reverse(shape)), expected, atol=1e-9)


@settings(deadline=None)
@given(st.lists(places, min_size=4, max_size=20))
def test_a_partition_adds_up_to_its_union(centres):
    """Triangles over any points share edges: together they cover what their outline covers, and nothing twice."""
    parts = shapely.get_parts(shapely.delaunay_triangles(shapely.MultiPoint(centres)))
    total = sum((found(part) for part in parts), np.zeros((HEIGHT, WIDTH)))
    assert total.max() <= 1 + 1e-9
    np.testing.assert_allclose(total, found(shapely.union_all(parts)), atol=1e-9)


def test_an_edge_and_its_reverse_cancel_to_the_last_bit():
    edges = np.random.default_rng(0).uniform(-4, 14, (200, 4))
    sums = np.zeros((HEIGHT, WIDTH + 1))
    for one in np.stack([edges, edges[:, [2, 3, 0, 1]]], axis=1):
        spread_edges(sums, one, Y0, X0)
        assert not sums.any() or np.abs(sums).max() < 1e-15


def test_the_cut_does_not_matter():
    """A part of a rectangle has the shares of the whole, whatever lies beside it."""
    shape = shapely.Polygon([(3.2, -4.1), (19.7, 1.3), (8.4, 6.6)], [[(8, 0), (11.1, 0.7), (9, 2.5)]])
    whole = found(shape)
    np.testing.assert_allclose(shares_of(shape, Y0 + 2, X0 + 3, 4, 5), whole[2:6, 3:8], atol=1e-14)


def test_sums_by_value():
    shape = shapely.box(5.5, -3, 8, -1.25)
    edges, sums, covered = edges_of(shape), np.zeros((HEIGHT, WIDTH + 1)), np.zeros((HEIGHT, WIDTH))
    spread_edges(sums, edges, Y0, X0)
    values = np.full((HEIGHT, WIDTH), 255, np.uint8)
    values[0], values[1] = 1, 0
    areas = np.arange(1.0, HEIGHT + 1)[:, None].repeat(WIDTH, 1)
    totals, (whole, outside, twice) = np.zeros(3), np.zeros((3, 3))
    add_covered(sums, 0, 0, values, areas, totals, covered)
    assert totals.tolist() == pytest.approx([2.5 * 0.75 * 2, 2.5, 0])
    add_covered(sums, 0, 0, values, areas, totals, covered)  # as another region at the same place
    add_uneven(values, areas, covered, whole, outside, twice)
    assert whole.tolist() == [2 * WIDTH, WIDTH, areas[2:].sum()]
    assert totals - twice + outside == pytest.approx(whole)
    assert twice.tolist() == pytest.approx([2 * (2 * 0.5 + 0), 2.0, 0])  # what is covered by half twice is covered once
