"""Statistics of a map by region: area and share of each class, from every pixel by the part of it that lies there.

`outputs: [..., statistics]` and `regions: {file: districts.gpkg, name: code}` in a run make, beside its rasters,
statistics.csv, statistics.parquet (the same with the regions' outlines) and statistics.json (what was counted, and what
is odd about the regions).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely

from jobs.estimate import STATISTICS_AT_ONCE
from jobs.lists import csv_of
from jobs.map_files import OUTLINES, STATISTICS, MapFile
from jobs.plan import Run
from jobs.products import class_layer
from jobs.regions import region_facts
from tiler.classes import value_names
from tiler.geoparquet import geoparquet_bytes
from tiler.map_store import MapStore
from tiler.region_sums import SLIVER, RegionSums, ellipsoid_areas, overlaps, region_sums
from tiler.regions import NamedPolygons, Regions, read_polygons, regions_on_map

TABLE, PARQUET, FACTS = "statistics.csv", "statistics.parquet", "statistics.json"
MOST_PAIRS = 100
"""Pairs of overlapping regions that are named, the largest first."""


def write_statistics(run: Run, store: MapStore, folder: Path) -> list[MapFile]:
    """Write the statistics of a map by the regions of its run."""
    wanted, names = run.config.regions, value_names(store.classes)
    assert wanted is not None, "the configuration was checked"
    polygons = read_polygons(wanted.file, wanted.name, wanted.crs)
    regions = regions_on_map(wanted.file, polygons, store.grid, store.extent)
    threshold, threads = run.config.fuse.threshold, min(os.cpu_count() or 1, STATISTICS_AT_ONCE)
    sums = region_sums(
        lambda box: class_layer(store, box, threshold), len(names), store.grid, store.extent, regions, threads
    )
    outlines = polygons.merged()
    rows = rows_of(polygons, outlines, sums, names)
    told = facts_of(polygons, regions, sums, names) | {"file": wanted.file, **(region_facts(run.config) or {})}
    (folder / TABLE).write_bytes(csv_of(rows))
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    (folder / PARQUET).write_bytes(geoparquet_bytes(columns, [_outline(s) for s in outlines], polygons.crs))
    (folder / FACTS).write_bytes(json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False).encode())
    return [
        MapFile(STATISTICS, folder / TABLE, "Area and share of each class by region", "text/csv"),
        MapFile(
            OUTLINES,
            folder / PARQUET,
            "Area and share of each class by region, with outlines",
            "application/vnd.apache.parquet",
        ),
        MapFile(
            f"{STATISTICS}_facts",
            folder / FACTS,
            "Sums and remarks on regions",
            "application/json",
            roles=("metadata",),
        ),
    ]


def rows_of(
    polygons: NamedPolygons, outlines: np.ndarray, sums: RegionSums, names: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the table: a row for each region of the file, in its order, also for those that the map does not see.

    Args:
        polygons: the regions.
        outlines: one shape of each.
        sums: of the class map.
        names: of the values of the class map.
    """
    areas, degrees = ellipsoid_areas(outlines, polygons.crs), _degrees(outlines, polygons.crs)
    rows = []
    for place, name in enumerate(polygons.names):
        of_class = sums.regions[place, :-1].tolist()
        seen = sum(of_class)
        row: dict[str, Any] = {
            "region": name,
            "region_m2": float(areas[place]),
            "mapped_m2": seen,
            "mapped_share": min(1.0, seen / areas[place]) if areas[place] else None,
        }
        for value, area in zip(names, of_class, strict=True):
            row |= {f"{value}_m2": area, f"{value}_share": area / seen if seen > 0 else None}
        rows.append(row | {"repaired": name in polygons.repaired} | degrees[place])
    return rows


def _degrees(outlines: np.ndarray, crs: pyproj.CRS) -> list[dict[str, float | None]]:
    """Return the bounds of shapes in longitude and latitude; the west is east of the east across the antimeridian."""
    change = pyproj.Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)
    sides, found = ("west", "south", "east", "north"), []
    for shape in outlines:
        bounds = [None] * 4 if shapely.area(shape) == 0 else change.transform_bounds(*shape.bounds)
        found.append(dict(zip(sides, bounds, strict=True)))
    return found


def _outline(shape: shapely.Geometry) -> shapely.Geometry | None:
    return shape if shapely.area(shape) > 0 else None


def facts_of(polygons: NamedPolygons, regions: Regions, sums: RegionSums, names: Sequence[str]) -> dict[str, Any]:
    """Return what else is to be known: sums over the map, and what is odd about the regions."""

    def told(values: np.ndarray) -> dict[str, float]:
        return dict(zip([*(f"{name}_m2" for name in names), "unseen_m2"], values.tolist(), strict=True))

    near = {regions.names[owner] for owner in regions.owners}
    twice = sums.twice.sum() > SLIVER * sums.regions.sum()
    return {
        "crs": polygons.crs.to_string(),
        "regions": len(polygons.names),
        "definition": "Areas are true areas on the ellipsoid. A pixel counts for a region by the share of it that the "
        "region covers. Shares are of the mapped area of the region. In regions = whole - outside + twice.",
        "whole": told(sums.whole),
        "in_regions": told(sums.regions.sum(axis=0)),
        "outside": told(sums.outside),
        "twice": told(sums.twice),
        "overlaps": [
            {"regions": [one, other], "pixels": pixels} for one, other, pixels in overlaps(regions)[:MOST_PAIRS]
        ]
        if twice
        else [],
        "repaired": list(polygons.repaired),
        "without_area": list(polygons.without_area),
        "away_from_the_map": [name for name in polygons.names if name not in near],
    }
