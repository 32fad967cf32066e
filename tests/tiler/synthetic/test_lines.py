"""Rivers and roads: the nearest piece, the same network for every rectangle, water that runs downhill."""

import numpy as np

from tiler.synthetic.lines import NEIGHBOURS, Lines, drain
from tiler.synthetic.roads import LANE_REACH_M, Roads
from tiler.synthetic.terrain import Terrain

TWO = Lines(*(np.array(v, float) for v in ([0, 100], [0, 0], [100, 100], [0, 50])), np.array([3, 5], np.float32))


def test_the_nearest_piece_and_its_distance():
    x, y = np.array([50.0, 130.0, -30.0, 900.0]), np.array([20.0, 30.0, -40.0, 0.0])
    which, distance = TWO.nearest(x, y, 200)
    np.testing.assert_array_equal(which, [0, 1, 0, -1])
    np.testing.assert_allclose(distance, [20, 30, 50, 200], rtol=1e-5)
    np.testing.assert_allclose(TWO.distance_to(which[:3], x[:3], y[:3]), [20, 30, 50], rtol=1e-5)


def test_a_network_does_not_depend_on_the_rectangle():
    roads = Roads(Terrain(5, -0.5, 0.8))
    x0, y0 = 1_000_000.0, 1_800_000.0
    wide = roads.lanes.within((x0 - 20_000, y0 - 20_000, x0 + 25_000, y0 + 30_000))
    bounds = (x0, y0, x0 + 4_000, y0 + 3_000)
    alone = Roads(Terrain(5, -0.5, 0.8)).lanes.within(bounds)
    assert len(alone) > 3
    clipped = wide.near(bounds, LANE_REACH_M)
    for name in ("ax", "ay", "bx", "by", "half_width_m"):
        np.testing.assert_array_equal(np.sort(getattr(alone, name)), np.sort(getattr(clipped, name)))


def test_water_runs_to_the_lowest_neighbour():
    heights = np.random.default_rng(0).random((12, 15))
    down, count = drain(heights, 3)
    for r in range(4, 8):
        for c in range(4, 11):
            around = [heights[r + dr, c + dc] for dr, dc in NEIGHBOURS]
            assert down[r, c] == (int(np.argmin(around)) if min(around) < heights[r, c] else -1)
    assert count.min() == 1
    assert count.max() > 3


def test_rivers_lie_in_valleys_and_hills_beside_them():
    terrain = Terrain(5, -0.5, 1.0)
    x, y = np.meshgrid(1_000_000.0 + np.arange(200) * 150, 1_800_000.0 + np.arange(200) * 150)
    ground = terrain.at(x, y)
    near = (ground.river >= 0) & (ground.river_m < 150)
    assert near.any()
    assert ground.hill[near].max() < 1e-6
    assert ground.hill[~near].mean() > 0.05
    assert 0.05 < (ground.hill > 0.115).mean() < 0.9
