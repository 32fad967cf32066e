"""The regions of a run: read where something is broken down by them, and checked before anything runs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from jobs.config import RunConfig
from jobs.plan import Run
from tiler.classes import value_names
from tiler.grids import Box, MapGrid
from tiler.regions import Regions, read_regions

NEEDED_BY = ("statistics", "polygons")
"""Those of `outputs` that regions change."""
COLUMNS = ("region", "mapped")
"""What columns of the statistics begin with that are not of a class."""


def regions_of(config: RunConfig, grid: MapGrid, extent: Box) -> Regions | None:
    """Read the regions of a run around a map; None where it names none.

    Raises:
        ValueError: as `tiler.regions.read_regions`.
    """
    wanted = config.regions
    return None if wanted is None else read_regions(wanted.file, wanted.name, wanted.crs, grid, extent)


def check_regions(run: Run) -> None:
    """Read the regions of a run that are needed to publish it.

    Raises:
        ValueError: as `tiler.regions.read_regions`: no CRS, no polygon, none near the scenes; or a class is called as
            a column is.
    """
    if set(run.config.outputs) & set(NEEDED_BY):
        clash = [name for name in value_names(run.classes) if name in COLUMNS]
        if clash:
            raise ValueError(f"outputs: the statistics have columns of their own called {clash}; rename these classes")
        regions_of(run.config, run.grid, run.touched(run.scenes)[0])


def region_facts(config: RunConfig) -> dict[str, Any] | None:
    """Return what identifies the regions of the files that a run publishes; None where these need none."""
    wanted = config.regions
    if wanted is None or not set(config.outputs) & set(NEEDED_BY):
        return None
    file = Path(wanted.file)
    files = sorted(file.parent.glob(f"{file.stem}.*")) if file.suffix.lower() == ".shp" else [file]
    digest = hashlib.sha256()
    for one in files:
        digest.update(one.read_bytes())
    return {"sha256": digest.hexdigest(), "name": wanted.name, "crs": wanted.crs}
