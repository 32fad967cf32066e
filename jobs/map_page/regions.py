"""The regions of a map, out of what the output `statistics` wrote: a table, and an outline of each for who asks for it.

A country has thousands of districts, and their coasts more points than a telephone wants: the table has none of them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyproj
import shapely

from jobs.map_files import OUTLINES, STATISTICS
from jobs.map_page.published_run import PublishedRun
from jobs.map_page.xyz import WGS84
from tiler.vectors import polygons_of

FOLDER = "regions"
FINEST = 1 / 400
"""An outline leaves out what is smaller than this share of the side of its region: bends, and all but large islands."""
DECIMALS = 5
SIDES = ("west", "south", "east", "north")


def has_regions(run: PublishedRun) -> bool:
    """Whether a map has statistics by region."""
    return STATISTICS in run.files


def regions_of(run: PublishedRun) -> dict[str, Any]:
    """Return the rows of the table, in the order of the file.

    Returns:
        `classes`, names of all classes but background; `regions`, each with `name`, `mapped_km2`, `km2` and `share`
        by class, `bounds` in degrees and `outline`, where that is; the last two None where they are not known.
    """
    with run.files[STATISTICS].open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    classes = run.record["map"]["classes"][1:]
    drawn = OUTLINES in run.files
    return {
        "classes": classes,
        "regions": [
            _region(row, f"{FOLDER}/{place}.json" if drawn else None, classes) for place, row in enumerate(rows)
        ],
    }


def _region(row: dict[str, str], outline: str | None, classes: list[str]) -> dict[str, Any]:
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
        "outline": None if None in bounds else outline,
    }


def outlines_of(run: PublishedRun, only: int | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield places in the table with their outlines, GeoJSON in degrees; rows without one are left out.

    Args:
        run: whose regions.
        only: a place in the table; None takes all.
    """
    import pyarrow.parquet as pq

    if OUTLINES not in run.files:
        return
    path = run.files[OUTLINES]
    geo = json.loads(pq.read_metadata(path).metadata[b"geo"])
    column = geo["primary_column"]
    crs = geo["columns"][column].get("crs")
    change = pyproj.Transformer.from_crs(
        WGS84 if crs is None else pyproj.CRS.from_json_dict(crs), WGS84, always_xy=True
    )
    blobs = pq.read_table(path, columns=[column]).column(column)
    for place in range(len(blobs)) if only is None else [only] if 0 <= only < len(blobs) else []:
        blob = blobs[place].as_py()
        if blob is not None:
            yield place, _outline(shapely.from_wkb(blob), change)


def _outline(shape: shapely.Geometry, change: pyproj.Transformer) -> dict[str, Any]:
    west, south, east, north = shape.bounds
    finest = max(east - west, north - south) * FINEST
    parts = polygons_of(np.array([shape], object))
    areas = shapely.area(parts)
    large = parts[(areas >= finest**2) | (areas == areas.max())]
    drawn = shapely.simplify(large[0] if len(large) == 1 else shapely.multipolygons(large), finest)
    drawn = shapely.transform(drawn, change.transform, interleaved=False)
    return dict(json.loads(shapely.to_geojson(shapely.set_precision(drawn, 10**-DECIMALS, mode="pointwise"))))
