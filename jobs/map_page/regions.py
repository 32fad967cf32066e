"""The table of regions of a map, out of what the output `statistics` wrote, with outlines light enough to send."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyproj
import shapely

from jobs.map_files import OUTLINES, STATISTICS
from jobs.map_page.published_run import PublishedRun
from jobs.map_page.xyz import WGS84

FINEST = 1 / 400
"""An outline leaves out what is smaller than this share of the side of its region."""
DECIMALS = 5
SIDES = ("west", "south", "east", "north")


def has_regions(run: PublishedRun) -> bool:
    """Whether a map has statistics by region."""
    return STATISTICS in run.files


def regions_of(run: PublishedRun) -> dict[str, Any]:
    """Return the rows of the table, in the order of the file.

    Returns:
        `classes`, names of all classes but background; `regions`, each with `name`, `mapped_km2`, `km2` and `share`
        by class, `bounds` in degrees and `outline`, a GeoJSON geometry; the last two None where they are not known.
    """
    with run.files[STATISTICS].open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    classes = run.record["map"]["classes"][1:]
    shapes = _outlines(run.files[OUTLINES]) if OUTLINES in run.files else [None] * len(rows)
    return {
        "classes": classes,
        "regions": [_region(row, shape, classes) for row, shape in zip(rows, shapes, strict=True)],
    }


def _region(row: dict[str, str], shape: dict[str, Any] | None, classes: list[str]) -> dict[str, Any]:
    def number(name: str) -> float | None:
        return float(row[name]) if row.get(name) else None

    areas = {name: number(f"{name}_m2") for name in classes}
    bounds = [number(side) for side in SIDES]
    if None not in bounds and bounds[0] > bounds[2]:  # type: ignore[operator]
        bounds[2] += 360  # type: ignore[operator]
    return {
        "name": row["region"],
        "mapped_km2": (number("mapped_m2") or 0.0) / 1e6,
        "km2": {name: None if area is None else area / 1e6 for name, area in areas.items()},
        "share": {name: number(f"{name}_share") for name in classes},
        "bounds": None if None in bounds else bounds,
        "outline": shape,
    }


def _outlines(path: Path) -> list[dict[str, Any] | None]:
    """Return the shapes of a GeoParquet file, simplified, in degrees; None for rows without one."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    geo = json.loads(table.schema.metadata[b"geo"])
    column = geo["primary_column"]
    crs = geo["columns"][column].get("crs")
    change = pyproj.Transformer.from_crs(
        WGS84 if crs is None else pyproj.CRS.from_json_dict(crs), WGS84, always_xy=True
    )
    found: list[dict[str, Any] | None] = []
    for blob in table.column(column).to_pylist():
        if blob is None:
            found.append(None)
            continue
        shape = shapely.from_wkb(blob)
        west, south, east, north = shape.bounds
        shape = shapely.simplify(shape, max(east - west, north - south) * FINEST)
        shape = shapely.transform(shape, change.transform, interleaved=False)
        found.append(json.loads(shapely.to_geojson(shapely.set_precision(shape, 10**-DECIMALS, mode="pointwise"))))
    return found
