"""The surface: who owns a place, what is industry and what somebody drew, and how light falls on it."""

import math
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import shapely

from tests.tiler.synthetic.worlds import MAY, country, estate, grid_at
from tiler.grids import Box
from tiler.synthetic.canvas import Patch
from tiler.synthetic.land import Lay, lay_of
from tiler.synthetic.noise import Dice
from tiler.synthetic.sites import BUILT, KIND_NAMES, KINDS, SUBTYPES, Site, make_site
from tiler.synthetic.spectra import sun_at
from tiler.synthetic.surface import _rectangle, _spots, find_sites, hill_light, industry, surface

SUN = sun_at(MAY)


@pytest.fixture(scope="module")
def patch() -> Patch:
    grid = grid_at(estate(), 260, 330)
    return Patch.of(grid, grid.box)


@pytest.fixture(scope="module")
def lay(patch) -> Lay:
    return lay_of(country(), patch)


def sites_in(patch: Patch) -> list[Site]:
    return country().sites_within(patch.bounds)


def test_places_of_an_estate_are_those_inside_its_outline(patch):
    site = estate()
    found = find_sites(country(), patch, [site], patch.x_m, patch.y_m, None)
    inside = shapely.contains_xy(site.outline(), patch.x_m, patch.y_m)
    assert 0.1 < inside.mean() < 0.9
    assert ((found.use == BUILT) == inside).mean() > 0.9999
    np.testing.assert_array_equal(found.site >= 0, found.use > 0)


def site_of(kind: str, patch: Patch, number: int) -> Site:
    """A site of a kind somewhere in, or on the border of, a patch."""
    for attempt in range(60):
        dice = Dice(9, KIND_NAMES.index(kind), number, attempt)
        row, col = int(dice.unit() * patch.x_m.shape[0]), int(dice.unit() * patch.x_m.shape[1])
        site = make_site(kind, float(patch.x_m[row, col]), float(patch.y_m[row, col]), dice, country().terrain)
        if site is not None:
            return site
    raise AssertionError(f"no {kind} can stand here")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "solar"])
def test_no_place_of_a_site_is_overlooked(patch, lay, monkeypatch, kind):
    """The rectangle in which a site is looked for holds all of it, also where its streets are bent."""
    sites = []
    for n in range(8):  # rows of blocks, eastwards or northwards, that reach as far as their circle does
        row = {"plan": np.full((1, 3 + 3 * n), BUILT, np.uint8), "angle_rad": n % 2 * math.pi / 2}
        sites.append(replace(site_of(kind, patch, n), **row))
    found = find_sites(country(), patch, sites, patch.x_m, patch.y_m, lay)
    monkeypatch.setattr("tiler.synthetic.surface._rectangle", lambda *_: (slice(0, 260), slice(0, 330)))
    everywhere = find_sites(country(), patch, sites, patch.x_m, patch.y_m, lay)
    assert (found.site >= 0).any()
    np.testing.assert_array_equal(found.site, everywhere.site)
    np.testing.assert_array_equal(found.use, everywhere.use)


def test_a_site_far_away_is_not_looked_for(patch):
    far = replace(estate(), x_m=estate().x_m + 50_000)
    rows, cols = _rectangle(patch, far)
    assert rows.stop <= rows.start or cols.stop <= cols.start
    assert (find_sites(country(), patch, [far], patch.x_m, patch.y_m, None).site == -1).all()


def test_a_later_site_covers_an_earlier_one(patch):
    below = estate()
    above = replace(below, x_m=below.x_m + 300, angle_rad=below.angle_rad + 0.4, key=below.key + 1)
    alone = [find_sites(country(), patch, [site], patch.x_m, patch.y_m, None).site >= 0 for site in (below, above)]
    both = find_sites(country(), patch, [below, above], patch.x_m, patch.y_m, None)
    assert (alone[0] & alone[1]).any()
    np.testing.assert_array_equal(both.site == 1, alone[1])
    np.testing.assert_array_equal(both.site == 0, alone[0] & ~alone[1])


def test_only_the_class_is_industry(patch):
    everything = sites_in(patch)
    mine = [site for site in everything if site.kind in ("estate", "works")]
    assert len(mine) < len(everything)
    truth = industry(country(), patch, everything)
    np.testing.assert_array_equal(truth, industry(country(), patch, mine))
    assert truth.any()
    assert not industry(country(), patch, [s for s in everything if s not in mine]).any()


def test_what_somebody_drew_errs_at_borders_by_about_as_much_as_said(patch):
    sites = sites_in(patch)
    truth = industry(country(), patch, sites)
    outline = shapely.union_all([s.outline() for s in country().estates_within(patch.bounds)])
    errors = []
    for shift_m in (5.0, 10.0, 30.0):
        wrong = industry(country(), patch, sites, shift_m) != truth
        off_m = shapely.distance(shapely.points(patch.x_m[wrong], patch.y_m[wrong]), outline.boundary)
        assert off_m.max() < 4 * shift_m
        errors.append(wrong.mean())
    assert 0 < errors[0] < errors[1] < errors[2]
    np.testing.assert_array_equal(industry(country(), patch, sites, 0.0), truth)


def test_flat_ground_is_lit_as_it_is_and_slopes_by_how_they_face_the_sun(patch, lay):
    def light(east: float, north: float):
        nodes = patch.nodes
        height = (nodes.x_m - nodes.x_m[0, 0]) * east + (nodes.y_m - nodes.y_m[0, 0]) * north
        return hill_light(patch, replace(lay, ground=replace(lay.ground, height_m=height.astype(np.float32))), SUN)

    np.testing.assert_allclose(light(0, 0), 1.0)
    for slope in (0.05, 0.2):
        towards = light(-slope * SUN.to_east, -slope * SUN.to_north)  # falls towards the sun
        expected = 1 + 0.85 * slope / math.tan(SUN.elevation_rad)
        inner = towards[8:-8, 8:-8]
        np.testing.assert_allclose(inner, min(expected, 1.5), atol=0.01)
        away = light(slope * SUN.to_east, slope * SUN.to_north)[8:-8, 8:-8]
        np.testing.assert_allclose(away, max(2 - expected, 0.25), atol=0.01)
    across = light(-0.2 * SUN.to_north, 0.2 * SUN.to_east)[8:-8, 8:-8]
    np.testing.assert_allclose(across, 1.0, atol=0.01)
    cliff = light(-50.0, 0.0)
    assert 0.25 <= cliff.min() <= cliff.max() <= 1.5


def test_spots_are_places_within_their_block(patch):
    site = estate()
    on = np.nonzero(find_sites(country(), patch, [site], patch.x_m, patch.y_m, None).use == BUILT)
    spots = _spots(site, patch.x_m[on], patch.y_m[on], 0.0, 0.0, SUN)
    assert spots.a_m.min() >= 0
    assert spots.b_m.min() >= 0
    assert (spots.a_m <= spots.w_m).all()
    assert (spots.b_m <= spots.h_m).all()
    blocks = int((site.plan == BUILT).sum())
    assert 1 < len(np.unique(spots.key)) <= blocks
    assert (spots.subtype == SUBTYPES.index(site.subtype)).all()
    length_m = np.hypot(spots.sun_a, spots.sun_b)
    np.testing.assert_allclose(length_m, SUN.shadow_per_m, rtol=1e-4)
    corner = _spots(site, patch.x_m[on], patch.y_m[on], 2.5, -2.5, SUN)
    moved = np.hypot(corner.a_m - spots.a_m, corner.b_m - spots.b_m)
    np.testing.assert_allclose(moved, math.hypot(2.5, 2.5), atol=0.01)
    np.testing.assert_array_equal(corner.key, spots.key)  # a pixel belongs to the block of its middle


def test_the_surface_is_light_that_a_sensor_may_see_and_sites_can_be_seen_in_it(patch):
    sites = sites_in(patch)
    with_sites, without = (surface(country(), patch, given, MAY, SUN) for given in (sites, []))
    assert with_sites.shape == (4, 260, 330)
    assert with_sites.dtype == np.float32
    assert 0 < with_sites.min() < with_sites.max() < 1.2
    lay = lay_of(country(), patch)
    stands = find_sites(country(), patch, sites, patch.x_m, patch.y_m, lay).site >= 0
    changed = (with_sites != without).any(0)
    assert changed[stands].mean() > 0.95
    assert not changed[~stands].any()  # what stands somewhere changes nothing beside it


def test_a_part_of_a_surface_is_that_part_of_the_whole(patch):
    sites, box = sites_in(patch), Box(41, 18, 190, 277)
    whole = surface(country(), patch, sites, date(2024, 8, 3), SUN)
    part = surface(country(), Patch.of(grid_at(estate(), 260, 330), box), sites, date(2024, 8, 3), SUN)
    np.testing.assert_array_equal(part, whole[:, *box.slices])
