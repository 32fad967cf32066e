"""Samples of pixels: the same whatever the cut, larger ones hold smaller ones, chances are in proportion to area."""

from itertools import pairwise

import numpy as np
import pytest

from tests.jobs.worlds import small_cells
from tiler.grids import Box, MapGrid
from tiler.pixel_areas import pixel_areas
from tiler.sampling import draw, uniforms

GRID = MapGrid("EPSG:5179", (10.0, 10.0), (3.0, 7.0))
EXTENT = Box(-195_040, 100_010, -194_970, 100_123)
STRATA = np.random.default_rng(0).choice(
    np.array([0, 1, 2, 255], np.uint8), (EXTENT.height, EXTENT.width), p=(0.6, 0.3, 0.003, 0.097)
)


def strata(box: Box) -> np.ndarray:
    return STRATA[box.shift(-EXTENT.y0, -EXTENT.x0).slices]


def places(drawn) -> set[tuple[int, int]]:
    return set(zip(drawn.rows.tolist(), drawn.cols.tolist(), strict=True))


def test_numbers_belong_to_places():
    whole = uniforms(-5, 3, 40, 60, 7)
    np.testing.assert_array_equal(uniforms(0, 10, 4, 5, 7), whole[5:9, 7:12])
    assert whole.min() > 0
    assert whole.max() < 1
    assert len(np.unique(whole)) == whole.size
    assert (uniforms(-5, 3, 40, 60, 8) != whole).all()


def test_numbers_are_uniform_and_neighbours_know_nothing_of_each_other():
    many = uniforms(-100_000, 90_000, 600, 500, 1)
    counts = np.histogram(many, 50, (0, 1))[0]
    assert ((counts - 6000) ** 2 / 6000).sum() < 90  # chi squared with 49 degrees of freedom: 1 in 3,000
    for a, b in ((many[:-1], many[1:]), (many[:, :-1], many[:, 1:]), (many, uniforms(-100_000, 90_000, 600, 500, 2))):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.01


@pytest.mark.parametrize(("cell_px", "threads"), [(2048, 1), (31, 1), (50, 3)])
def test_a_sample_does_not_depend_on_the_cut(cell_px, threads):
    with small_cells(cell_px):
        found = draw(strata, 3, 40, GRID, EXTENT, 5, threads)
    areas = pixel_areas(GRID, EXTENT)
    keys = -np.log(uniforms(EXTENT.y0, EXTENT.x0, EXTENT.height, EXTENT.width, 5)) / areas
    for place, one in enumerate(found):
        inside = place == STRATA
        assert one.units == inside.sum()
        assert one.area_m2 == pytest.approx(areas[inside].sum(), rel=1e-9)
        rows, cols = np.nonzero(inside)
        first = np.argsort(keys[inside])[:40]
        assert places(one.drawn) == set(
            zip((rows[first] + EXTENT.y0).tolist(), (cols[first] + EXTENT.x0).tolist(), strict=True)
        )
    assert len(found[2].drawn.rows) == found[2].units < 40


def test_a_larger_sample_holds_the_smaller_one_and_another_seed_is_another():
    small, large, other = (draw(strata, 2, n, GRID, EXTENT, seed) for n, seed in ((20, 1), (60, 1), (20, 2)))
    for a, b, c in zip(small, large, other, strict=True):
        assert places(a.drawn) == places(b.drawn.first(20)) < places(b.drawn)
        assert places(a.drawn) != places(c.drawn)


def test_chances_go_with_areas():
    """In degrees a pixel at 60 N has half the area of one at the equator, and is drawn half as often."""
    grid, extent = MapGrid("EPSG:4326", (0.25, 0.25)), Box(-260, 0, 0, 400)
    (found,) = draw(lambda box: np.zeros((box.height, box.width), np.uint8), 1, 4000, grid, extent, 3)
    areas = pixel_areas(grid, extent)[:, 0]
    edges = np.arange(-260, 1, 52)
    expected = np.array([areas[a + 260 : b + 260].sum() for a, b in pairwise(edges)])
    counts = np.histogram(found.drawn.rows, edges)[0]
    expected *= counts.sum() / expected.sum()
    assert ((counts - expected) ** 2 / expected).sum() < 20  # 4 degrees of freedom
    assert counts[-1] > 1.5 * counts[0]
