"""Roads: one node to a cell, at its flattest place; links where hills and water let them."""

import numpy as np
import pytest

from tiler.synthetic.lines import WARP_M
from tiler.synthetic.noise import hash_cells, key_of, unit
from tiler.synthetic.roads import CANDIDATES, LANE_SPACING_M, TRUNK_SPACING_M, Roads
from tiler.synthetic.terrain import Terrain

TERRAIN = Terrain(5, -0.2, 1.0)
ROADS = Roads(TERRAIN)
BOUNDS = (1_000_000.0, 1_780_000.0, 1_030_000.0, 1_800_000.0)
WIDE = (900_000.0, 1_750_000.0, 1_030_000.0, 1_850_000.0)
CELLS = tuple(v.ravel() for v in np.meshgrid(np.arange(221, 229), np.arange(124, 135), indexing="ij"))


def ends(lines):
    return {
        (float(ax), float(ay), float(bx), float(by))
        for ax, ay, bx, by in zip(lines.ax, lines.ay, lines.bx, lines.by, strict=True)
    }


def test_each_cell_has_its_node_at_the_cheapest_of_its_places():
    rows, cols = CELLS
    x, y, cost = ROADS.trunk_nodes(rows, cols)
    np.testing.assert_array_equal(np.floor(x / TRUNK_SPACING_M), cols)
    np.testing.assert_array_equal(np.floor(y / TRUNK_SPACING_M), rows)
    np.testing.assert_array_equal(cost, ROADS.cost(x, y))
    hashes = hash_cells(key_of(TERRAIN.seed, 20), rows, cols)
    for k in range(CANDIDATES):
        at = [
            (c + 0.5 + 0.8 * (unit(hashes, k + s * CANDIDATES) - 0.5)) * TRUNK_SPACING_M
            for s, c in enumerate((cols, rows))
        ]
        assert (cost <= ROADS.cost(*at)).all()
    order = np.random.default_rng(0).permutation(len(rows))[:9]
    np.testing.assert_array_equal(ROADS.trunk_nodes(rows[order], cols[order])[0], x[order])


def test_the_sea_costs_more_than_any_hill():
    rows, cols = CELLS
    x, y = (cols + 0.5) * 9_000.0, (rows + 0.5) * 9_000.0
    plan, cost = TERRAIN.plan(x, y), ROADS.cost(x, y)
    wet = plan.height_m < 0.6
    assert 0 < wet.sum() < wet.size
    assert cost[wet].min() > 9 > cost[~wet].max()


@pytest.mark.parametrize(
    ("network", "spacing_m", "widths"),
    [("trunks", TRUNK_SPACING_M, (7, 14)), ("lanes", LANE_SPACING_M, (3, 5.5))],
)
def test_links_are_as_wide_as_their_kind_and_lead_to_a_neighbour(network, spacing_m, widths):
    lines = getattr(ROADS, network).within(WIDE if network == "trunks" else BOUNDS)
    assert len(lines) > 5
    assert widths[0] <= lines.half_width_m.min() <= lines.half_width_m.max() <= widths[1]
    lengths = np.hypot(lines.bx - lines.ax, lines.by - lines.ay)
    assert lengths.max() < np.hypot(1.8, 1.8) * spacing_m + 2 * WARP_M


def test_towns_lie_at_the_ends_of_trunk_roads():
    lines = ROADS.trunks.within(BOUNDS)
    assert len(lines) > 0
    x, y, _ = ROADS.trunk_nodes(
        *(v.ravel() for v in np.meshgrid(np.arange(215, 232), np.arange(118, 137), indexing="ij"))
    )
    nodes = np.stack(TERRAIN.warp(x, y), axis=1)
    for ax, ay, bx, by in ends(lines):
        for place in ((ax, ay), (bx, by)):
            assert np.hypot(*(nodes - place).T).min() < 1e-6


def test_the_more_a_road_may_cost_the_more_are_built_and_none_is_given_up():
    built = [ends(Roads(TERRAIN, cost).trunks.within(BOUNDS)) for cost in (0.0, 0.05, 0.22, 5.0)]
    assert built[0] <= built[1] < built[2] < built[3]


def test_one_bridge_is_built_and_two_in_a_row_are_not(monkeypatch):
    def passes(wet: list[int]) -> bool:
        """Whether a link is passable whose places at these fifths of the way lie in the water."""
        monkeypatch.setattr(ROADS, "cost", lambda x, y: np.where(np.isin(np.round(x), wet), 10.1, 0.1))
        return bool(ROADS._passable(*(np.array([v]) for v in (0.0, 0.0, 5.0, 0.0)))[0])

    assert passes([])
    assert all(passes([place]) for place in (1, 2, 3, 4))
    assert not passes([1, 2])
    assert not passes([1, 4])
