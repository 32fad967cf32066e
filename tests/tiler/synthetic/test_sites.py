"""Sites: where they may stand, how much there is of them, what covers them."""

import numpy as np
import pytest

from tests.tiler.synthetic.worlds import country, estate
from tiler.synthetic.country import Country
from tiler.synthetic.fabric import FABRICS
from tiler.synthetic.lots import Spots
from tiler.synthetic.sites import BUILT, KINDS, SUBTYPES
from tiler.synthetic.spectra import CODE

WIDE = (950_000.0, 1_780_000.0, 1_010_000.0, 1_840_000.0)
SMALL = (970_000.0, 1_790_000.0, 980_000.0, 1_798_000.0)


def touches(site, bounds):
    x0, y0, x1, y1 = bounds
    r = site.radius_m
    return x0 - r <= site.x_m <= x1 + r and y0 - r <= site.y_m <= y1 + r


def test_sites_do_not_depend_on_the_rectangle():
    wide = [s.name for s in country().sites_within(WIDE) if touches(s, SMALL)]
    alone = [s.name for s in Country(1).sites_within(SMALL)]
    assert alone == wide
    assert len(alone) > 5


def test_industry_covers_a_few_percent_and_lies_on_flat_dry_land():
    sites = country().sites_within(WIDE)
    land = 60 * 60 * 0.75
    share = sum(s.industrial_km2 for s in sites) / land
    assert 0.01 < share < 0.10
    assert {s.kind for s in sites} == set(KINDS)
    assert 0.6 < np.mean([s.active for s in sites if s.industrial_km2]) < 0.98
    assert {s.subtype for s in sites if s.kind == "estate"} <= set(SUBTYPES)
    for site in sites[::7]:
        rows, cols = np.nonzero(site.plan == BUILT)
        plan = country().terrain.plan(*site.corners(rows + 0.5, cols + 0.5))
        assert plan.height_m.min() > 0.8
        assert plan.hill.max() < KINDS[site.kind].max_hill
        assert plan.bank_m.min() > 0


def test_estates_do_not_overlap():
    import shapely

    outlines = [s.outline() for s in country().estates_within(WIDE)]
    assert sum(o.area for o in outlines) == pytest.approx(shapely.union_all(outlines).area, rel=1e-6)
    assert estate().outline().area == pytest.approx(estate().industrial_km2 * 1e6, rel=1e-6)


@pytest.mark.parametrize("kind", FABRICS)
def test_fabric_is_a_function_of_the_place(kind):
    random = np.random.default_rng(0)
    n = 5_000
    w, h = np.full(n, 170, np.float32), np.full(n, 120, np.float32)
    spots = Spots(
        random.random(n, np.float32) * 170, random.random(n, np.float32) * 120, w, h,
        random.integers(0, 2**32, n, np.uint32), random.integers(0, 4, n, np.uint8),
        np.full(n, 0.5, np.float32), np.full(n, -0.8, np.float32),
    )  # fmt: skip
    paint = FABRICS[kind](spots)
    order = random.permutation(n)[: n // 3]
    part = FABRICS[kind](Spots(*(getattr(spots, f)[order] for f in spots.__dataclass_fields__)))
    for name in ("cover", "tone", "key", "shade"):
        np.testing.assert_array_equal(getattr(part, name), getattr(paint, name)[order])
    assert paint.cover.dtype == np.uint8
    assert paint.cover.max() < len(CODE)
    assert set(FABRICS) == set(KINDS)
