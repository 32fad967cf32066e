"""Air: plumes of active estates, carried by the wind, the same for every rectangle."""

from dataclasses import replace

import numpy as np
import pytest

from tests.tiler.synthetic.worlds import MAY, country, estate, grid_at
from tiler.grids import Box
from tiler.synthetic.air import AIR, GEMS, plume, render_air, wind_on


def test_a_plume_is_carried_downwind_and_ends():
    site = estate()
    wind = wind_on(1, MAY)
    assert np.hypot(wind.to_east, wind.to_north) == pytest.approx(1)
    along = np.array([-6_000.0, -1_500.0, 0.0, 1_500.0, 6_000.0, 40_000.0])
    values = plume(site.x_m + along * wind.to_east, site.y_m + along * wind.to_north, site, wind)
    assert values[2] == pytest.approx(1)
    assert values[3] > values[1]
    assert values[4] > values[0]
    assert values[5] == 0


@pytest.mark.parametrize(("modality", "bands"), [("GEMS", 10), ("AIR", 6)])
def test_a_rectangle_alone_equals_the_same_of_a_larger_one(modality, bands):
    grid = grid_at(estate(), 64, 70, side_m=80.0)
    whole = render_air(country(), grid, MAY, modality)
    assert whole.shape == (bands, 64, 70)
    assert whole.dtype == np.float32
    assert np.isfinite(whole).all()
    part = render_air(country(), grid.part(Box(10, 20, 40, 44)), MAY, modality)
    np.testing.assert_allclose(part, whole[:, 10:40, 20:44], rtol=1e-5)
    assert len({"GEMS": GEMS, "AIR": AIR}[modality]) == bands


def test_an_estate_shows_in_the_air_and_an_idle_one_does_not(monkeypatch):
    site = estate()
    grid = grid_at(site, 64, 64, side_m=80.0)
    here = country()
    with_all = render_air(here, grid, MAY, "GEMS")
    listed = here.sites_within
    idle = replace(site, active=False)
    monkeypatch.setattr(
        here, "sites_within", lambda *asked: [idle if s.name == site.name else s for s in listed(*asked)]
    )
    without = render_air(here, grid, MAY, "GEMS")
    gain = (with_all - without)[0]
    assert gain[30:34, 30:34].mean() > 3 * GEMS[0].noise
    assert gain.min() >= 0
    monkeypatch.setattr(here, "sites_within", lambda *asked: [])
    empty = render_air(here, grid, MAY, "GEMS")
    assert (without - empty)[0].min() >= 0


def test_an_unknown_modality_is_refused():
    with pytest.raises(ValueError, match=r"OMI.*GEMS"):
        render_air(country(), grid_at(estate(), 4, 5, side_m=80.0), MAY, "OMI")
