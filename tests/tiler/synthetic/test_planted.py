import numpy as np

from tests.tiler.synthetic.worlds import CLEAR, country, grid_at
from tiler.grids import Box
from tiler.synthetic import Country, render
from tiler.synthetic.planted import PlantedCountry, planted_site
from tiler.synthetic.sites import KIND_NAMES


def place() -> tuple[float, float]:
    """Return dry flat ground on which an estate can be built."""
    here = country()
    for step in range(400):
        x, y = 1_000_000.0 + 700 * (step % 20), 2_000_000.0 + 700 * (step // 20)
        site = planted_site(here, x, y, 400.0)
        if (
            site is not None
            and site.industrial_km2 > 0.2
            and not here.estates_within((x - 2e3, y - 2e3, x + 2e3, y + 2e3))
        ):
            return x, y
    raise AssertionError("no such ground")


def test_a_planted_estate_is_drawn_and_all_else_is_the_same():
    x, y = place()
    site = planted_site(Country(1), x, y, 400.0)
    again = planted_site(country(), x, y, 400.0)
    assert site is not None
    assert again is not None
    assert (site.name, site.plan.tolist()) == (again.name, again.plan.tolist())
    grid = grid_at(site, 240, 260)
    before = render(Country(1), grid, CLEAR, grid.box)
    after = render(PlantedCountry(1, [site]), grid, CLEAR, grid.box)
    new = after.truth & ~before.truth
    assert abs(new.sum() * 1e-4 / site.industrial_km2 - 1) < 0.1
    changed = (before.image != after.image).any(0)
    assert changed[new].mean() > 0.95
    far = Box(0, 0, 20, 20)  # a corner, beyond the reach of streets and blur
    assert not changed[far.slices].any()
    x0, y0 = site.x_m, site.y_m
    assert site.name in [s.name for s in PlantedCountry(1, [site]).estates_within((x0, y0, x0 + 1, y0 + 1))]
    assert "estate" in KIND_NAMES
    assert not PlantedCountry(1, [site]).sites_within((x0 + 9e5, y0, x0 + 9e5 + 1, y0 + 1), ["solar"])
    assert np.array_equal(before.valid, after.valid)
