"""The open land: fields in blocks, woods on hills, water where it is low, roads on dry ground."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiler.synthetic.worlds import country, estate, grid_at
from tiler.grids import Box, PixelGrid
from tiler.synthetic.canvas import NODE_PX, Patch
from tiler.synthetic.land import (
    ANGLES,
    FIELD_BLOCK_M,
    PLAINS,
    SLOPES,
    Lay,
    _blocks,
    _parcels,
    lay_of,
    paint_land,
    paint_roads,
)
from tiler.synthetic.lots import Paint
from tiler.synthetic.noise import hash_cells, unit
from tiler.synthetic.spectra import CODE

KEY = 1234


def grid_where(wanted) -> PixelGrid:
    """Return a grid of the 10 m that scenes are drawn on, around a place near the estate: `wanted` of its plan."""
    site = estate()
    x, y = np.meshgrid(site.x_m + np.arange(-60e3, 60e3, 600), site.y_m + np.arange(-60e3, 60e3, 600))
    found = wanted(country().terrain.plan(x, y))
    assert found.any()
    away = np.where(found, np.hypot(x - site.x_m, y - site.y_m), np.inf).argmin()
    return grid_at(replace(site, x_m=x.flat[away], y_m=y.flat[away]), 330, 410)


GRIDS = {
    "coast": lambda: grid_where(lambda plan: np.abs(plan.height_m + 0.5) < 1),
    "river": lambda: grid_where(lambda plan: (plan.bank_m < 0) & (plan.height_m > 4)),
    "hills": lambda: grid_where(lambda plan: (plan.hill > 0.3) & (plan.height_m > 20)),
}


@cache
def drawn(name: str) -> tuple[Patch, Lay, Paint]:
    grid = GRIDS[name]()
    patch = Patch.of(grid, grid.box)
    lay = lay_of(country(), patch)
    return patch, lay, paint_land(country(), patch, lay)


def is_any(cover, *names: str):
    return np.isin(cover, [CODE[name] for name in names])


def blocks_by_hand(x: float, y: float) -> tuple[int, float, float]:
    """Key of the nearest point, the distance to it, and by how much the next one is farther."""
    col, row = int(np.floor(x / FIELD_BLOCK_M)), int(np.floor(y / FIELD_BLOCK_M))
    rows, cols = np.meshgrid(np.arange(row - 3, row + 4), np.arange(col - 3, col + 4), indexing="ij")
    keys = hash_cells(KEY, rows, cols)
    px, py = cols + unit(keys, 1) * 0.9, rows + unit(keys, 2) * 0.9
    distance = np.hypot(px - x / FIELD_BLOCK_M, py - y / FIELD_BLOCK_M).ravel() * FIELD_BLOCK_M
    order = distance.argsort()
    return int(keys.ravel()[order[0]]), distance[order[0]], distance[order[1]] - distance[order[0]]


@given(st.lists(st.tuples(st.floats(9.9e5, 1.01e6), st.floats(1.79e6, 1.8e6)), min_size=1, max_size=8))
def test_blocks_are_the_places_nearest_to_their_point(places):
    x, y = np.array(places).T[:, None]
    key, edge, u, v = _blocks(KEY, x, y)
    for i, place in enumerate(places):
        expected = blocks_by_hand(*place)
        assert edge[0, i] == pytest.approx(expected[2], abs=0.5)
        if expected[2] > 0.5:  # on the border itself float32 may decide either way
            assert int(key[0, i]) == expected[0]
            assert np.hypot(u[0, i], v[0, i]) == pytest.approx(expected[1], abs=0.5)


def test_the_parcels_of_a_block_lie_in_one_direction_of_a_few():
    x, y = np.meshgrid(1e6 + np.arange(120) * 10.0, 1.8e6 + np.arange(90) * 10.0)
    key, _, u, v = _blocks(KEY, x, y)
    same = (key[:, 1:] == key[:, :-1]) & (key[:, 1:] != 0)
    turn = np.arctan2(v[:, 1:] - v[:, :-1], u[:, 1:] - u[:, :-1])[same]
    steps = -turn / np.pi * ANGLES
    assert np.abs(steps - np.round(steps)).max() < 0.05
    assert len(np.unique(np.round(steps))) > 4
    assert np.hypot(np.diff(u, axis=1), np.diff(v, axis=1))[same] == pytest.approx(10, abs=0.01)


def test_a_parcel_has_one_crop_and_crops_have_their_shares():
    x, y = np.meshgrid(1e6 + np.arange(600) * 10.0, 1.8e6 + np.arange(500) * 10.0)
    key, edge, u, v = _blocks(KEY, x, y)
    for hill, shares in ((0.0, PLAINS), (0.2, SLOPES)):
        cover, parcel = _parcels(key, edge, u, v, np.full(x.shape, hill, np.float32))
        _, first, of = np.unique(parcel, return_index=True, return_inverse=True)
        fields = ~is_any(cover, "concrete", "grass")  # tracks and bunds share the key of their block
        assert (cover.ravel()[first][of.ravel()] == cover.ravel())[fields.ravel()].all()
        assert set(np.unique(cover)) <= {CODE[name] for name in (*shares, "concrete", "grass")}
        most = max(shares, key=shares.get)
        assert is_any(cover[fields], most).mean() == pytest.approx(shares[most] / sum(shares.values()), abs=0.12)


@pytest.mark.parametrize("name", GRIDS)
def test_the_lay_is_that_of_the_terrain_at_the_nodes(name):
    patch, lay, _ = drawn(name)
    rows, cols = np.arange(0, 330, NODE_PX), np.arange(0, 410, NODE_PX)
    exact = country().terrain.at(patch.x_m[np.ix_(rows, cols)], patch.y_m[np.ix_(rows, cols)])
    for field in ("height_m", "hill", "warped_x_m", "warped_y_m"):
        found = getattr(lay, field)[np.ix_(rows, cols)]
        np.testing.assert_allclose(found, getattr(exact, field), rtol=1e-4, atol=2e-2, err_msg=field)


@pytest.mark.parametrize("name", GRIDS)
def test_a_part_is_painted_as_it_is_within_the_whole(name):
    grid, box = GRIDS[name](), Box(61, 43, 330, 203)
    part, (_, _, land) = Patch.of(grid, box), drawn(name)
    found = paint_land(country(), part, lay_of(country(), part))
    for field in ("cover", "tone", "key"):
        np.testing.assert_array_equal(getattr(found, field), getattr(land, field)[box.slices], err_msg=field)
    assert not land.shade.any()


def test_the_sea_lies_low_and_fields_lie_dry():
    _, lay, land = drawn("coast")
    sea, flat = land.cover == CODE["sea"], land.cover == CODE["mudflat"]
    assert sea.any()
    assert flat.any()
    assert lay.height_m[sea].mean() < lay.height_m[flat].mean() < lay.height_m[~sea & ~flat].mean()
    # the shore wanders by the noise of woods, which stays within a few metres
    assert lay.height_m[sea].max() < 4
    assert (land.cover[lay.height_m < -6] == CODE["sea"]).all()
    assert not is_any(land.cover[lay.height_m > 6], "sea", "mudflat").any()


def test_woods_grow_on_hills_and_only_they_vary_in_brightness():
    _, lay, land = drawn("hills")
    wood = is_any(land.cover, "conifer", "broadleaf")
    steep = (lay.hill > 0.25) & (lay.height_m > 4)
    assert steep.any()
    assert wood[steep].mean() > 0.9
    assert lay.hill[wood].mean() > 2 * lay.hill[~wood].mean()
    assert land.tone[wood].std() > 0.03
    assert (land.tone[is_any(land.cover, "paddy", "vegetables", "barley")] == 1).all()


def test_rivers_run_where_their_lines_do_and_have_banks():
    patch, lay, land = drawn("river")
    ground = lay.ground
    water = land.cover == CODE["river"]
    reach_m = 2 * NODE_PX * 10 + max(ground.rivers.half_width_m.max(), ground.streams.half_width_m.max())
    near = patch.repeat((ground.river_m < reach_m) | (ground.stream_m < reach_m))
    assert water.any()
    assert near[water].all()
    middle = patch.repeat((ground.river >= 0) & (ground.river_m < 2)) & (lay.height_m > 4)
    assert middle.any()
    assert water[middle].mean() > 0.6  # a node stands for 4 x 4 pixels, of which some are bank
    rows, cols = np.nonzero(water[1:-1, 1:-1])
    beside = [land.cover[1 + rows + dr, 1 + cols + dc] for dr, dc in ((0, 1), (1, 0), (0, -1), (-1, 0))]
    shore = np.concatenate(beside)
    shore = shore[shore != CODE["river"]]
    assert is_any(shore, "soil", "grass").mean() > 0.9


@pytest.mark.parametrize("name", GRIDS)
def test_roads_cover_a_share_of_dry_pixels(name):
    patch, lay, _ = drawn(name)
    found = {cover: (places, share) for places, share, cover in paint_roads(country(), patch, lay)}
    assert set(found) <= {"concrete", "asphalt"}
    for places, share in found.values():
        assert len(places) == len(np.unique(places)) == len(share)
        assert (share > 0).all()
        assert (share <= 1).all()
        assert (lay.height_m.ravel()[places] > -1).all()


def test_lanes_are_narrower_than_trunk_roads():
    grid = grid_at(estate(), 900, 800)
    patch = Patch.of(grid, grid.box)
    found = {cover: share for _, share, cover in paint_roads(country(), patch, lay_of(country(), patch))}
    assert len(found["concrete"]) > 100
    assert len(found["asphalt"]) > 100
    assert found["asphalt"].mean() > found["concrete"].mean()
