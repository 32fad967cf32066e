"""Files of a map beside its rasters: what `outputs` may name besides `cog`, `stac` and `report`, one table.

A writer gets a finished map and the folder that its files go to. What it writes is listed in `map.json`, `run.json`
and the STAC catalogue with size and checksum, and published with the rasters in one step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cluster.heap import give_memory_back
from cluster.redact import redacted
from jobs.plan import Run
from jobs.rasters import RasterFile
from tiler.classes import value_names
from tiler.map_store import MapStore
from tiler.product_specs import specs_of
from tiler.styles import write_style


@dataclass(frozen=True)
class MapFile:
    """A file of a map that is no raster product."""

    name: str
    """By which lists call it, such as polygons."""
    path: Path
    title: str
    media_type: str
    roles: Sequence[str] = ("data",)
    more: Mapping[str, Any] = field(default_factory=dict)
    """What else `map.json` says of it."""

    def facts(self) -> dict[str, Any]:
        """Return what lists say of it besides its size."""
        return {"title": self.title, "media_type": self.media_type, "roles": list(self.roles), **self.more}


STATISTICS, OUTLINES = "statistics", "statistics_parquet"
SITES, INDEXED_SITES = "polygons", "polygons_flatgeobuf"
"""Names of files that others look for in `map.json`: areas by region, and with outlines; sites, and with an index."""

Writer = Callable[[Run, MapStore, Path], list[MapFile]]


def _statistics(run: Run, store: MapStore, folder: Path) -> list[MapFile]:
    from jobs.region_statistics import write_statistics

    return write_statistics(run, store, folder)


def _polygons(run: Run, store: MapStore, folder: Path) -> list[MapFile]:
    from jobs.polygons import write_run_polygons

    return write_run_polygons(run, store, folder)


WRITERS: dict[str, Writer] = {STATISTICS: _statistics, SITES: _polygons}
"""A name of `outputs` to what writes it."""


def write_map_files(run: Run, store: MapStore, folder: Path) -> list[MapFile]:
    """Write everything that the run's `outputs` name of this table; none begins on top of what another one freed."""
    found = []
    for name, write in WRITERS.items():
        if name in run.config.outputs:
            give_memory_back()
            found += write(run, store, folder)
    give_memory_back()
    return found


def write_styles(folder: Path, rasters: Mapping[str, RasterFile], classes: Sequence[str]) -> list[MapFile]:
    """Write a QGIS style beside the place of each raster product in the folder of a map."""
    specs, names = specs_of(classes), dict(enumerate(value_names(classes)))
    return [
        MapFile(
            f"{name}_style",
            write_style(folder / file.href, specs[name], names, file.statistics[0]),
            f"QGIS style of {file.href}",
            "application/xml",
            ("metadata", "style"),
        )
        for name, file in rasters.items()
    ]


def write_config(run: Run, folder: Path) -> MapFile:
    """Write the resolved configuration that made a map, without secrets."""
    path = folder / "config.yaml"
    values = redacted(run.config.model_dump(mode="json"))
    path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return MapFile("config", path, "Configuration that made the map", "application/yaml", ("metadata",))
