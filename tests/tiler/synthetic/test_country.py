"""The country: every site of a rectangle, whichever rectangle it is, and none on another's ground."""

import math

import numpy as np
import pytest

from tests.tiler.synthetic.worlds import country
from tiler.synthetic.country import STYLES, Country
from tiler.synthetic.roads import TRUNK_SPACING_M
from tiler.synthetic.sites import KIND_NAMES

WIDE = (950_000.0, 1_780_000.0, 986_000.0, 1_812_000.0)
LARGE = ("estate", "greenhouses", "apartments", "logistics", "solar", "quarry", "town")


def near(x: float, y: float, half_m: float = 1.0) -> tuple[float, float, float, float]:
    return x - half_m, y - half_m, x + half_m, y + half_m


def test_an_unknown_style_is_refused():
    with pytest.raises(ValueError, match=r"'island' of a country is unknown; known are \['chips', 'country'\]"):
        Country(1, "island")


def test_a_site_is_found_from_any_place_of_its_circle():
    sites = country().sites_within(WIDE)
    assert len(sites) > 50
    for site in [*sites[::19], *(s for s in sites if s.radius_m > 1_200)]:
        for east, north in ((0.0, 0.0), (0.99, 0.0), (-0.99, 0.0), (0.0, 0.99), (0.0, -0.99)):
            x, y = site.x_m + east * site.radius_m, site.y_m + north * site.radius_m
            assert site.name in {s.name for s in country().sites_within(near(x, y))}


@pytest.mark.parametrize("style", STYLES)
def test_no_site_reaches_further_than_one_cell_beyond_its_own(style):
    """What the search for sites relies on: it looks at one ring of cells around a rectangle."""
    made, side = Country(3, style), STYLES[style].major_m
    for row in range(240, 246):
        for col in range(118, 124):
            for sites, cell_m in ((made._estates(row, col), side), (made._confusers(row, col), side)):
                for site in sites:
                    for place, cell in ((site.x_m, col), (site.y_m, row)):
                        assert (cell - 1) * cell_m <= place - site.radius_m
                        assert place + site.radius_m <= (cell + 2) * cell_m
    for row in range(240, 244):
        for col in range(118, 122):
            for site in made._towns(row, col):
                assert (col - 1) * TRUNK_SPACING_M <= site.x_m - site.radius_m
                assert site.x_m + site.radius_m <= (col + 2) * TRUNK_SPACING_M


def test_what_is_drawn_later_comes_later():
    kinds = [KIND_NAMES.index(s.kind) for s in country().sites_within(WIDE)]
    assert kinds == sorted(kinds)
    assert kinds[-1] == KIND_NAMES.index("estate")


def test_small_sites_keep_off_large_ones():
    sites = country().sites_within(WIDE)
    small = [s for s in sites if s.kind in ("works", "barns", "warehouse", "village")]
    large = [s for s in sites if s.kind in LARGE and s.radius_m > 400]
    assert len(small) > 20
    assert len(large) > 10
    for site in small:
        for other in large:
            assert math.hypot(site.x_m - other.x_m, site.y_m - other.y_m) > site.radius_m + other.radius_m


def test_estates_are_the_sites_of_the_class_and_large_ones_are_planned():
    sites = country().sites_within(WIDE)
    estates = country().estates_within(WIDE)
    assert [s.name for s in estates] == [s.name for s in sites if s.kind in ("estate", "works")]
    planned = {s.name for s in country().large_estates_within(WIDE)}
    assert planned == {s.name for s in estates if s.kind == "estate"}
    assert 0 < len(planned) < len(estates)


def test_seeds_make_other_countries_and_instances_the_same():
    first, again, other = (
        {s.name for s in made.large_estates_within(WIDE)} for made in (country(), Country(1), Country(2))
    )
    assert first == again
    assert not first & other


def test_estates_of_the_chips_style_fill_a_chip():
    sizes = [s.industrial_km2 for s in country("chips").large_estates_within((900e3, 1700e3, 1000e3, 1800e3))]
    assert len(sizes) > 5
    assert np.median(sizes) > 20
    everyday = [s.industrial_km2 for s in country().large_estates_within(WIDE)]
    assert np.median(everyday) < 5
