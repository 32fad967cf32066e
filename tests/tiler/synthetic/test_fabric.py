"""What stands on blocks: each kind has its own covers, streets stay free, roofs throw shadows but into none."""

from dataclasses import replace

import numpy as np
import pytest

from tiler.synthetic.fabric import FABRICS, apartments, factory, greenhouses, logistics, park, quarry, solar, town
from tiler.synthetic.lots import HEAVY_METAL, HOUSES, METAL, Spots, border_m
from tiler.synthetic.sites import SUBTYPES
from tiler.synthetic.spectra import CODE

ROOFS = sorted({CODE[name] for name in METAL | HEAVY_METAL | HOUSES})
N = 40_000


def spots(subtype: str = "general", w_m: float = 230.0, h_m: float = 170.0, seed: int = 0) -> Spots:
    """Places drawn on many blocks of one size."""
    random = np.random.default_rng(seed)
    keys = random.integers(0, 2**32, 400, np.uint32)
    return Spots(
        random.random(N, np.float32) * np.float32(w_m), random.random(N, np.float32) * np.float32(h_m),
        np.full(N, w_m, np.float32), np.full(N, h_m, np.float32), keys[random.integers(0, 400, N)],
        np.full(N, SUBTYPES.index(subtype), np.uint8), np.full(N, 0.5, np.float32), np.full(N, -0.8, np.float32),
    )  # fmt: skip


def share(paint, *names: str) -> float:
    return float(np.isin(paint.cover, [CODE[name] for name in names]).mean())


@pytest.mark.parametrize("kind", FABRICS)
def test_arrays_are_of_the_types_that_reflectance_takes(kind):
    paint = FABRICS[kind](spots())
    assert (paint.cover.dtype, paint.key.dtype, paint.shade.dtype) == (np.uint8, np.uint32, bool)
    assert {len(getattr(paint, name)) for name in ("cover", "tone", "key", "shade")} == {N}
    assert 0.3 < paint.tone.min() <= paint.tone.max() < 1.7


@pytest.mark.parametrize(
    ("fabric", "names", "low", "high"),
    [
        (greenhouses, ("vinyl",), 0.5, 0.8),
        (solar, ("panels",), 0.4, 0.65),
        (quarry, ("rock",), 0.9, 0.99),
        (park, ("grass", "broadleaf", "conifer"), 1.0, 1.0),
        (town, tuple(HOUSES), 0.3, 0.7),
        (factory, tuple(METAL), 0.25, 0.6),
        (logistics, ("asphalt",), 0.3, 0.7),
        (apartments, ("roof_grey", "roof_green"), 0.05, 0.25),
    ],
)
def test_each_kind_has_its_own_covers(fabric, names, low, high):
    assert low <= share(fabric(spots()), *names) <= high


def test_streets_of_an_estate_hold_nothing_but_asphalt_and_trees():
    given = spots()
    paint = factory(given)
    street = border_m(given) <= 9
    assert street.mean() > 0.1
    assert set(np.unique(paint.cover[street])) == {CODE["asphalt"], CODE["broadleaf"]}
    assert not paint.shade[street].any()


@pytest.mark.parametrize("kind", ["estate", "town", "apartments", "warehouse"])
def test_shadows_fall_beside_roofs_and_none_from_right_above(kind):
    given = spots()
    paint = FABRICS[kind](given)
    assert 0.01 < paint.shade.mean() < 0.4
    above = replace(given, sun_a=0 * given.sun_a, sun_b=0 * given.sun_b)
    assert not FABRICS[kind](above).shade.any()  # every roof covers its own shadow
    np.testing.assert_array_equal(FABRICS[kind](above).cover, paint.cover)  # and stands where it stood


def test_flat_things_throw_no_shadow():
    for fabric in (greenhouses, solar, quarry, park, logistics):
        assert not fabric(spots()).shade.any()


def test_a_petrochemical_estate_has_tanks_and_a_heavy_one_yards_and_rust():
    general, petrochemical, heavy = (factory(spots(s)) for s in ("general", "petrochemical", "heavy"))
    assert share(petrochemical, "concrete") > 1.3 * share(general, "concrete")  # the ground under tanks
    assert share(petrochemical, "roof_white") > share(general, "roof_white")
    assert share(heavy, "roof_rust") > 1.5 * share(general, "roof_rust")
    np.testing.assert_array_equal(factory(spots("light")).cover, general.cover)


def test_blocks_do_not_look_alike():
    given = spots()
    paint = factory(given)
    order = np.argsort(given.key, kind="stable")
    shares = [np.isin(part, ROOFS).mean() for part in np.array_split(paint.cover[order], 100)]
    assert np.std(shares) > 0.05
    assert len(np.unique(paint.key)) > 400  # lots, not blocks
