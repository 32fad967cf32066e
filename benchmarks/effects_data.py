"""Tiles of the synthetic country for benchmarks/effects.py: estates, what only looks like them, and open country.

In the layout of AI-Hub 71805 (so that the ordinary commands ingest them), with one more raster a tile: which kind of
site every pixel belongs to, because an effect that "should sit in the confusers" must be looked for there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from tiler.grids import Box, PixelGrid
from tiler.synthetic.acquisition import Acquisition
from tiler.synthetic.aihub import LABELS, NEGATIVE, POSITIVE, SOURCE, _save, urban
from tiler.synthetic.air import render_air
from tiler.synthetic.canvas import Patch, transformer
from tiler.synthetic.country import WORLD_CRS, Country
from tiler.synthetic.land import lay_of
from tiler.synthetic.noise import Dice
from tiler.synthetic.render import render
from tiler.synthetic.sites import KIND_NAMES
from tiler.synthetic.surface import find_sites

UTM = "EPSG:32652"
BOUNDS = (250_000.0, 3_880_000.0, 520_000.0, 4_150_000.0)
"""Where tiles lie, metres of `UTM`: x0, y0, x1, y1; those of validation in the northern third, apart from the rest."""
CONFUSERS = ("greenhouses", "apartments", "logistics", "solar", "quarry", "barns", "warehouse")
SIDE_PX, COARSE_PX = 256, 16
NOTHING = 255
GROUNDS = ("estate", "confuser", "anywhere")
"""What tiles are set on, in turn."""


@dataclass(frozen=True)
class Spot:
    """One tile to be written."""

    number: int
    split: str
    sensor: str
    seed: int

    @property
    def name(self) -> str:
        """File name."""
        return f"{self.sensor}_KOR_{self.number:05}_{self.day:%y%m%d}.tif"

    @property
    def day(self) -> date:
        """Day of acquisition."""
        return date(2024, 1, 1) + timedelta(days=int(Dice(self.seed, 501, self.number).unit() * 360))


def write_tiles(folder: Path, train: int, validation: int, landsat: int, seed: int, workers: int) -> None:
    """Write all tiles; what was written to its end is not written again."""
    done = folder / "written.json"
    asked = {"train": train, "validation": validation, "landsat": landsat, "seed": seed}
    if done.is_file() and json.loads(done.read_text()) == asked:
        return
    spots = [Spot(n + 1, "train" if n < train else "validation", "SN10", seed) for n in range(train + validation)]
    spots += [Spot(n + 1, "train" if n < landsat * 8 // 9 else "validation", "LS30", seed) for n in range(landsat)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for number, _ in enumerate(pool.map(_write, spots, [folder] * len(spots), chunksize=8), 1):
            if number % 50 == 0 or number == len(spots):
                print(f"tiles {number}/{len(spots)}", flush=True)
    done.write_text(json.dumps(asked))


def _write(spot: Spot, folder: Path) -> None:
    country = Country(spot.seed)
    step = 10.0 if spot.sensor == "SN10" else 30.0
    grid = _place(country, spot, step)
    part, letter = folder / ("Training" if spot.split == "train" else "Validation"), spot.split[0].upper()
    dice = Dice(spot.seed, 502, spot.number)
    how = Acquisition(spot.sensor, spot.day, clouds=0.05 if dice.unit() < 0.3 else 0.0)
    drawn = render(country, grid, how, grid.box)
    if spot.sensor == "SN10":
        exact = spot.split == "validation"  # trained on what people draw, judged on what is there
        industrial = drawn.truth if exact else drawn.label
        coarse_step = SIDE_PX * step / COARSE_PX
        coarse = PixelGrid(
            UTM, (coarse_step, 0.0, grid.transform[2], 0.0, -coarse_step, grid.transform[5]), COARSE_PX, COARSE_PX
        )
        _save(part / SOURCE / f"{letter}S_SN10_GEMS" / spot.name, render_air(country, coarse, spot.day, "GEMS"), None)
        _save(folder / "kinds" / spot.name, _kinds(country, grid)[None], grid)
    else:
        industrial = urban(country, grid)
    label = np.where(industrial, POSITIVE, NEGATIVE).astype(np.int8)
    label[drawn.clouds == 1] = 0  # a code that the table does not list: not labelled
    _save(part / SOURCE / f"{letter}S_{spot.sensor}_{spot.sensor}" / spot.name, drawn.image, None)
    _save(part / LABELS / f"{letter}L_{spot.sensor}" / spot.name, label[None], grid)


def _place(country: Country, spot: Spot, step: float) -> PixelGrid:
    """Return the grid of a tile: near an estate, near a confuser, or anywhere on land."""
    to_world, to_utm = transformer(UTM, WORLD_CRS), transformer(WORLD_CRS, UTM)
    border = BOUNDS[1] + (BOUNDS[3] - BOUNDS[1]) * 2 / 3
    low, high = (BOUNDS[1], border - 10_000) if spot.split == "train" else (border, BOUNDS[3])
    ground = GROUNDS[spot.number % 3]
    dice = Dice(spot.seed, 500, spot.number, int(step))
    for x, y in _draws(dice, low, high):
        east, north = to_world.transform(x, y)
        if country.terrain.at(np.array([east]), np.array([north])).height_m[0] < 0:
            continue
        if ground != "anywhere":
            near = (east - 6e3, north - 6e3, east + 6e3, north + 6e3)
            wanted = ("estate",) if ground == "estate" else CONFUSERS[:5]
            sites = [s for s in country.sites_within(near, wanted) if s.kind in wanted]
            if not sites:
                continue
            site = sites[int(dice.unit() * len(sites))]
            x, y = to_utm.transform(site.x_m, site.y_m)
            x, y = x + dice.between(-600, 600), y + dice.between(-600, 600)
            if not low <= y <= high:
                continue
        left, top = round(x / step) * step - SIDE_PX * step / 2, round(y / step) * step + SIDE_PX * step / 2
        return PixelGrid(UTM, (step, 0.0, left, 0.0, -step, top), SIDE_PX, SIDE_PX)
    raise AssertionError("places are drawn for ever")


def _draws(dice: Dice, low: float, high: float) -> Iterator[tuple[float, float]]:
    while True:
        yield dice.between(BOUNDS[0], BOUNDS[2]), dice.between(low, high)


def _kinds(country: Country, grid: PixelGrid) -> np.ndarray:
    """Return which kind of site each pixel belongs to, uint8 (y, x): index in `KIND_NAMES`, or `NOTHING`."""
    patch = Patch.of(grid, Box(0, 0, grid.height, grid.width))
    sites = country.sites_within(patch.bounds)
    owner = find_sites(country, patch, sites, patch.x_m, patch.y_m, lay_of(country, patch)).site
    index = np.array([KIND_NAMES.index(s.kind) for s in sites] + [NOTHING], np.uint8)
    return index[owner]  # no site is -1, the last
