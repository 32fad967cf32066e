"""Chips: squares in the zone and the region that they say, as full of industry as they were to be."""

import importlib

import numpy as np
import pytest

from tests.tiler.synthetic.worlds import country, estate, grid_at
from tiler.grids import Box, PixelGrid
from tiler.synthetic.canvas import Patch, transformer
from tiler.synthetic.chips import CHIP_PX, HIGHEST, LOWEST, REGIONS, chips, coverage
from tiler.synthetic.country import Country
from tiler.synthetic.noise import Dice
from tiler.synthetic.surface import industry
from tiler.synthetic.writer import utm_crs

module = importlib.import_module("tiler.synthetic.chips")  # the package has a function of this name


def test_a_chip_lies_in_its_region_and_in_the_zone_of_its_middle():
    found = list(chips(country("chips"), 2, codes=("KOR", "CHN")))
    assert [c.country_code for c in found] == ["KOR", "CHN"]
    assert [c.number for c in found] == [1, 2]
    for chip in found:
        left, top = chip.grid.transform[2], chip.grid.transform[5]
        assert (chip.grid.height, chip.grid.width, chip.grid.transform[0]) == (CHIP_PX, CHIP_PX, 10.0)
        assert (left % 10, top % 10) == (0, 0)
        lon, lat = transformer(chip.grid.crs, "EPSG:4326").transform(left + 2560, top - 2560)
        west, south, east, north = REGIONS[chip.country_code]
        assert west - 0.2 < lon < east + 0.2
        assert south - 0.2 < lat < north + 0.2
        assert chip.grid.crs in (utm_crs(lon - 0.1), utm_crs(lon + 0.1))
        assert chip.day.year == 2023
        assert LOWEST <= chip.wanted <= HIGHEST


def test_the_estate_fills_as_much_of_a_chip_as_was_wanted():
    chip = next(chips(country("chips"), 1))
    whole = Patch.of(chip.grid, chip.grid.box)
    sites = country("chips").large_estates_within(whole.bounds)
    assert industry(country("chips"), whole, sites).mean() == pytest.approx(chip.wanted, abs=0.06)


@pytest.mark.parametrize("shift_px", [0, 130])
def test_coverage_is_the_share_of_industrial_pixels(shift_px):
    site = estate("chips")
    square = grid_at(site, 256, 320).part(Box(shift_px, 0, 256 + shift_px, 320))
    exact = industry(country("chips"), Patch.of(square, square.box), [site]).mean()
    assert coverage(country("chips"), square, site) == pytest.approx(exact, abs=0.03)


def test_an_estate_covers_nothing_of_another_place():
    site = estate("chips")
    a, b, c, d, e, f = grid_at(site, 64, 64).transform
    assert coverage(country("chips"), PixelGrid("EPSG:32652", (a, b, c + 40_000, d, e, f), 64, 64), site) == 0


def test_the_place_closest_to_what_is_wanted_is_taken():
    site, shares = estate("chips"), []
    for wanted in (0.4, 0.7, 0.95):
        grid, share = module._shifted(country("chips"), site, wanted, Dice(1, 2))
        assert share == pytest.approx(coverage(country("chips"), grid, site))
        shares.append(share)
    assert shares == sorted(shares)
    assert shares[:2] == pytest.approx([0.4, 0.7], abs=0.05)  # more than the estate covers cannot be had


def test_a_country_without_large_estates_is_refused(monkeypatch):
    monkeypatch.setattr(module, "PLACES_TRIED", 2)
    with pytest.raises(ValueError, match=r"no estate for chip 1 in CHN at 2 places; make a country of style 'chips'"):
        next(chips(Country(1), 1))


def test_days_and_wishes_differ_between_chips(monkeypatch):
    grid = grid_at(estate("chips"), CHIP_PX, CHIP_PX)
    monkeypatch.setattr(module, "_large_estate", lambda *_: estate("chips"))
    monkeypatch.setattr(module, "_shifted", lambda country, estate, wanted, dice: (grid, wanted))
    many = list(chips(country("chips"), 300))
    assert len({chip.day for chip in many}) > 150
    wanted = np.array([chip.wanted for chip in many])
    assert wanted.mean() == pytest.approx(module.COVERAGE.mean, abs=0.02)
    assert [chip.country_code for chip in many[:6]] == ["CHN"] * 4 + ["KOR", "CHN"]
