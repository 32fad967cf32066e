"""Chips in the layout of AI-Hub 71805: the folders, names, codes and missing georeference of that data set."""

from __future__ import annotations

import csv
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tiler.grids import Box, PixelGrid
from tiler.synthetic.acquisition import Acquisition
from tiler.synthetic.air import MODALITIES, render_air
from tiler.synthetic.canvas import Patch
from tiler.synthetic.chips import CHIP_PX, Chip, chip_country, find_chip
from tiler.synthetic.country import Country
from tiler.synthetic.land import lay_of
from tiler.synthetic.noise import Dice
from tiler.synthetic.pool import each
from tiler.synthetic.render import render
from tiler.synthetic.spoilt import Spoilt, spoiling_of
from tiler.synthetic.surface import find_sites

ROOT = "53.대기오염 배출원 공간 분포 데이터/3.개방데이터/1.데이터"
SOURCE, LABELS = "01.원천데이터", "02.라벨링데이터"
POSITIVE, NEGATIVE = 10, 90
COARSE_PX = 64
URBAN = ("estate", "works", "town", "village", "apartments", "logistics", "warehouse")
"""Kinds of site that the 30 m labels call urban."""
COARSE_NAMES = {"GEMS": "GEMS", "AIR": "AIR_POLLUTION"}


@dataclass(frozen=True)
class Written:
    """What was written."""

    folder: Path
    """The folder that holds Training and Validation."""
    sn10: int
    """Images of 10 m."""
    ls30: int
    """Images of 30 m."""
    coverage: tuple[float, ...]
    """Share of each 10 m chip that its label calls industrial."""
    spoilt: tuple[tuple[str, Spoilt], ...] = ()
    """Name of each 10 m chip that was spoilt on purpose, and by what."""


def write_aihub(
    folder: Path,
    n: int,
    *,
    seed: int = 1,
    ls30: int | None = None,
    zips: bool = False,
    spoil: float = 0.0,
    workers: int = 1,
    on_image: Callable[[], None] = lambda: None,
) -> Written:
    """Write `n` chips of 10 m with GEMS and AIR, and chips of 30 m, eight for training to one for validation.

    The files are the same to the last byte for any number of workers.

    Args:
        folder: is made; `ROOT` lies in it.
        n: images of 10 m, at least 9 for both parts to have one.
        seed: of the country.
        ls30: images of 30 m; default: half as many, as in the original.
        zips: pack each folder into a zip of its name, as it is delivered, and remove it.
        spoil: share of the 10 m chips that are spoilt (`tiler.synthetic.spoilt`); `spoilt.csv` names them.
        workers: processes.
        on_image: called after each image.
    """
    if n < 1:
        raise ValueError(f"at least one chip must be asked for, got {n}")
    root, wide = folder / ROOT, n // 2 if ls30 is None else ls30
    tasks = [_ChipTask(root, seed, number, number <= n, number <= wide, spoil) for number in range(1, max(n, wide) + 1)]
    shares: dict[int, float] = {}
    names: dict[int, str] = {}
    for place, (name, share) in each(_write_chip, tasks, workers):
        names[tasks[place].number] = name
        if share is not None:
            shares[place] = share
        for _ in range(tasks[place].sn10 + tasks[place].ls30):
            on_image()
    if zips:
        _pack(root)
    spoilt = [(names[task.number], one) for task in tasks if task.sn10 and (one := task.spoilt) is not None]
    if spoil:
        with (folder / "spoilt.csv").open("w", newline="") as file:
            rows = [(name, one.kind, round(one.strength, 3)) for name, one in spoilt]
            csv.writer(file, lineterminator="\n").writerows([("id", "kind", "strength"), *rows])
    return Written(root, n, wide, tuple(shares[place] for place in sorted(shares)), tuple(spoilt))


def name_of(chip: Chip, sensor: str = "SN10") -> str:
    """Return the name of a chip's files, without suffix."""
    return f"{sensor}_{chip.country_code}_{chip.number:05}_{chip.day:%y%m%d}"


@dataclass(frozen=True)
class _ChipTask:
    root: Path
    seed: int
    number: int
    sn10: bool
    ls30: bool
    spoil: float

    @property
    def spoilt(self) -> Spoilt | None:
        """What spoils its 10 m image."""
        return spoiling_of(self.seed, self.number, self.spoil)


def _write_chip(task: _ChipTask) -> tuple[str, float | None]:
    """Write one chip; return its name, and the share of its 10 m image that is industrial, if there is one."""
    country = chip_country(task.seed)
    chip = find_chip(country, task.number)
    part = task.root / ("Validation" if chip.number % 9 == 0 else "Training")
    share = _write_sn10(country, chip, part, task.spoilt) if task.sn10 else None
    if task.ls30:
        _write_ls30(country, chip, part)
    return name_of(chip), share


def weather(country: Country, chip: Chip, sensor: str) -> Acquisition:
    """Return the weather of a chip: mostly clear and whole; 30 m is missing more."""
    dice = Dice(country.seed, 91, chip.number, len(sensor), ord(sensor[0]))
    cloudy, holed = dice.unit() < 0.12, dice.unit() < (0.03 if sensor == "SN10" else 0.25)
    clouds = dice.between(0.02, 0.12) if cloudy else 0.0
    missing = dice.between(0.02, 0.3 if sensor == "SN10" else 0.7) if holed else 0.0
    edge = (
        dice.between(0.05, 0.4 if sensor == "SN10" else 0.9)
        if dice.unit() < (0.01 if sensor == "SN10" else 0.15)
        else 0
    )
    snow = dice.between(0.1, 0.5) if chip.day.month in (1, 2, 12) and dice.unit() < 0.1 else 0.0
    return Acquisition(sensor, chip.day, clouds, missing, edge, snow)


def _write_sn10(country: Country, chip: Chip, part: Path, spoiling: Spoilt | None) -> float:
    name, how = f"{name_of(chip)}.tif", weather(country, chip, "SN10")
    drawn = render(country, chip.grid, how if spoiling is None else spoiling.weather(how), chip.grid.box)
    image = drawn.image if spoiling is None else spoiling.spoil(drawn.image)
    letter = part.name[0]
    _save(part / SOURCE / f"{letter}S_SN10_SN10" / name, image, None)
    label = np.where(drawn.label, POSITIVE, NEGATIVE).astype(np.int8)
    _save(part / LABELS / f"{letter}L_SN10" / name, label[None], chip.grid)
    a, b, c, d, e, f = chip.grid.transform
    step = CHIP_PX / COARSE_PX
    coarse = PixelGrid(chip.grid.crs, (a * step, b * step, c, d * step, e * step, f), COARSE_PX, COARSE_PX)
    for modality, title in COARSE_NAMES.items():
        assert modality in MODALITIES
        values = render_air(country, coarse, chip.day, modality)
        _save(part / SOURCE / f"{letter}S_SN10_{title}" / name, values, None)
    return float((label == POSITIVE).mean())


def _write_ls30(country: Country, chip: Chip, part: Path) -> None:
    """Write the 30 m image around the same middle; its label is what is urban."""
    name = f"{name_of(chip, 'LS30')}.tif"
    _, _, left, _, _, top = chip.grid.transform
    grid = PixelGrid(
        chip.grid.crs, (30.0, 0.0, left - 10.0 * CHIP_PX, 0.0, -30.0, top + 10.0 * CHIP_PX), CHIP_PX, CHIP_PX
    )
    drawn = render(country, grid, weather(country, chip, "LS30"), grid.box)
    letter = part.name[0]
    _save(part / SOURCE / f"{letter}S_LS30_LS30" / name, drawn.image, None)
    label = np.where(urban(country, grid), POSITIVE, NEGATIVE).astype(np.int8)
    _save(part / LABELS / f"{letter}L_LS30" / name, label[None], grid)


def urban(country: Country, grid: PixelGrid) -> np.ndarray:
    """Return where something urban stands, bool (y, x): towns, housing, trade and industry."""
    patch = Patch.of(grid, Box(0, 0, grid.height, grid.width))
    sites = [s for s in country.sites_within(patch.bounds) if s.kind in URBAN]
    lay = lay_of(country, patch)  # the streets of towns bend with it
    return find_sites(country, patch, sites, patch.x_m, patch.y_m, lay).site >= 0


def _save(path: Path, values: np.ndarray, grid: PixelGrid | None) -> None:
    """Write (band, y, x); images carry no CRS and no transform, as delivered."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    path.parent.mkdir(parents=True, exist_ok=True)
    place = {} if grid is None else {"crs": grid.crs, "transform": grid.affine}
    shape = dict(zip(("count", "height", "width"), values.shape, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", dtype=values.dtype, compress="deflate", **shape, **place) as file:
            file.write(values)


def _pack(root: Path) -> None:
    """Turn each folder of images into a zip beside it."""
    for folder in sorted(p for p in root.glob("*/*/*") if p.is_dir()):
        with zipfile.ZipFile(folder.with_suffix(".zip"), "w", zipfile.ZIP_STORED) as archive:
            for file in sorted(folder.iterdir()):
                archive.writestr(zipfile.ZipInfo(file.name), file.read_bytes())  # without the hour of writing
                file.unlink()
        folder.rmdir()
