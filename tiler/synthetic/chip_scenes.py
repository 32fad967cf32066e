"""Chips as scenes of their own, with labels, truth, clouds and air, in any number of processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tiler.synthetic.acquisition import Acquisition
from tiler.synthetic.air import MODALITIES
from tiler.synthetic.chips import chip_country, find_chip
from tiler.synthetic.pool import each
from tiler.synthetic.writer import SceneFiles, write_air, write_scene


@dataclass(frozen=True)
class _ChipTask:
    folder: Path
    seed: int
    number: int
    how: Acquisition
    floating: bool
    air: bool


def write_chips(
    folder: Path,
    count: int,
    how: Acquisition,
    *,
    seed: int = 1,
    floating: bool = False,
    air: bool = True,
    workers: int = 1,
    on_chip: Callable[[SceneFiles], None] = lambda files: None,
) -> list[SceneFiles]:
    """Write the first chips of a seed as `write_scene` does, and their air as `MODALITY/ID.tif`.

    The files are the same to the last byte for any number of workers.

    Args:
        folder: is made.
        count: chips.
        how: the weather; each chip has a day of its own.
        seed: of the country.
        floating: float32 with NaN in place of uint16 with 0.
        air: with GEMS and AIR rasters.
        workers: processes.
        on_chip: called after each chip.
    """
    tasks = [_ChipTask(folder, seed, number, how, floating, air) for number in range(1, count + 1)]
    done: dict[int, SceneFiles] = {}
    for place, files in each(_write_chip, tasks, workers):
        done[place] = files
        on_chip(files)
    return [done[place] for place in range(count)]


def _write_chip(task: _ChipTask) -> SceneFiles:
    country = chip_country(task.seed)
    chip = find_chip(country, task.number)
    name = f"SN10_{chip.country_code}_{chip.number:05}_{chip.day:%Y%m%d}"
    how = replace(task.how, sensor="SN10", day=chip.day)
    files = write_scene(country, chip.grid, how, task.folder, name, floating=task.floating)
    for modality in MODALITIES if task.air else ():
        write_air(country, chip.grid, chip.day, modality, task.folder / modality.lower() / f"{name}.tif")
    return files
