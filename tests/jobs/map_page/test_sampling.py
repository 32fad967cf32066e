"""Averages for pictures: of what is known, and near those of the map's own warping."""

import numpy as np
import pyproj
import pytest

from jobs.map_page.sampling import averaged, block_means, coarser
from tiler.grids import Box, PixelGrid
from tiler.warp import Mapping, warp


def test_block_means_leave_out_what_is_not_known():
    values = np.arange(24, dtype=np.float32).reshape(1, 4, 6)
    known = np.ones((4, 6), bool)
    known[:2, :3] = False
    known[3, 5] = False
    means, seen = block_means(np.where(known, values, 9e9), known, 3)
    np.testing.assert_array_equal(seen, [[True, True], [True, True]])
    np.testing.assert_allclose(means[0], [[13, (3 + 4 + 5 + 9 + 10 + 11 + 15 + 16 + 17) / 9], [19, 21.5]])
    assert not block_means(values, np.zeros((4, 6), bool), 4)[1].any()


@pytest.mark.parametrize("factor", [1, 3, 7])
def test_averages_are_near_those_of_the_map(factor):
    random = np.random.default_rng(factor)
    grid = PixelGrid("EPSG:32652", (10.0, 0, 327_350.0, 0, -10.0, 4_178_410.0), 230, 310)
    smooth = np.add.outer(np.sin(np.arange(230) / 40), np.cos(np.arange(310) / 50)).astype(np.float32)
    values = (smooth + random.normal(0, 0.05, smooth.shape).astype(np.float32))[None]
    known = np.ones((230, 310), bool)
    known[100:140, 50:120] = False
    x, y = pyproj.Transformer.from_crs("EPSG:32652", "EPSG:5179", always_xy=True).transform(327_350.0, 4_178_410.0)
    target = PixelGrid("EPSG:5179", (10.0 * factor, 0, x - 300, 0, -10.0 * factor, y + 400), 500, 600)
    box = Mapping(grid, target).source_box(grid.box)
    found = averaged(target, box, grid, lambda at: (values[(slice(None), *at.slices)], known[at.slices]))
    assert found is not None
    expected, seen = warp(Mapping(target, grid), box, np.where(known, values, 0), known, grid.box)
    inside = seen & found[1]
    assert inside.sum() > 0.9 * max(seen.sum(), found[1].sum())
    difference = np.abs(found[0][0] - expected[0])[inside]
    assert difference.mean() < 0.03
    assert np.median(difference) < 0.02


def test_nothing_is_known_away_from_the_raster():
    grid = PixelGrid("EPSG:32652", (10.0, 0, 327_350.0, 0, -10.0, 4_178_410.0), 20, 30)
    assert averaged(grid, Box(1000, 1000, 1064, 1064), grid, lambda at: pytest.fail("nothing to read")) is None
    assert coarser(grid, 7).box == Box(0, 0, 3, 5)
