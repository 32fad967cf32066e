"""Published maps that are compared: found by the folders of their runs, and checked to lie on one grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobs.config import RegionsConfig
from jobs.parsing import parse
from jobs.published_runs import published
from tiler.grids import Box, same_crs
from tiler.map_store import MapStore

FAR_PX = 1e-6
"""Part of a pixel by which borders of pixels may differ."""


@dataclass(frozen=True)
class PublishedRun:
    """A published map."""

    out: str
    """Folder of its run."""
    key: str
    """Of the published files."""
    store: MapStore
    threshold: float
    regions: RegionsConfig | None
    created: str
    """When its record was written."""
    seen_px: int
    """Map pixels that any scene saw; 0 where that is not known."""

    def facts(self) -> dict[str, Any]:
        """Return what a comparison says of it."""
        return {"run": self.out, "map": self.key, "threshold": self.threshold, "created": self.created}


def published_run(target: str) -> PublishedRun:
    """Open the published map of a run.

    Args:
        target: the folder of the run, or its configuration.

    Raises:
        ValueError: there is no run, nothing of it is published, or its map store is gone.
    """
    found = published(target)
    pointer, record = found.pointer, found.record
    url = f"{found.storage.url}/mosaic/{record['map']['key']}.zarr"
    try:
        store = MapStore(url)
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise ValueError(f"{target}: the map store {url} is gone or not whole; run `sandan map` again") from error
    config = record["config"]
    regions = config.get("regions")
    return PublishedRun(
        found.out.rstrip("/"),
        pointer["key"],
        store,
        float(config["fuse"]["threshold"]),
        None if regions is None else parse(RegionsConfig, regions, f"{target}/run.json"),
        str(record["created"]),
        int(pointer.get("numbers", {}).get("seen_px", 0)),
    )


def common_extent(runs: Sequence[PublishedRun]) -> Box:
    """Return the absolute map pixels that all maps have.

    Raises:
        ValueError: their grids or classes are others, or they lie apart.
    """
    first = runs[0]
    for other in runs[1:]:
        one, two = first.store.grid, other.store.grid
        steps = zip((*one.resolution, *one.phase), (*two.resolution, *two.phase), strict=True)
        if not same_crs(one.crs, two.crs) or any(abs(a - b) > FAR_PX * one.resolution[0] for a, b in steps):
            raise ValueError(
                f"the grids differ: {first.out} has {_told(first)}, {other.out} has {_told(other)}; "
                f"map one of them again with the `grid` of the other"
            )
        if first.store.classes != other.store.classes:
            raise ValueError(
                f"the classes differ: {first.out} has {list(first.store.classes)}, {other.out} has "
                f"{list(other.store.classes)}; compare maps of networks that tell the same classes"
            )
    extent = first.store.extent
    for other in runs[1:]:
        extent = extent.clip(other.store.extent)
    if extent.empty:
        raise ValueError(f"the maps of {', '.join(run.out for run in runs)} have no pixel in common; check the runs")
    return extent


def _told(run: PublishedRun) -> str:
    grid = run.store.grid
    crs = grid.pixels.pyproj_crs
    name = f"{crs.name} (EPSG:{crs.to_epsg()})" if crs.to_epsg() else crs.name
    start = f", pixel borders at {grid.phase}" if any(grid.phase) else ""
    return f"{name} at {grid.resolution[1]:g} x {grid.resolution[0]:g}{start}"
