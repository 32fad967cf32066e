"""The design of a sample: which strata a map has, how many pixels of each are drawn, which; and its files.

sample.csv, .geojson, .parquet   the points, for people to label
sample.json                      the design, which `sandan accuracy` needs: strata with their areas, points with theirs
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyproj
import shapely

from cluster.storage import Storage
from jobs.lists import csv_of
from jobs.opened_map import OpenedMap
from models.stratified import allocation, sample_size
from tiler.classes import NO_CLASS
from tiler.geoparquet import geoparquet_bytes
from tiler.grids import Box, MapGrid
from tiler.sampling import Stratum, draw, uniforms

TABLE, OUTLINES, PARQUET, DESIGN = "sample.csv", "sample.geojson", "sample.parquet", "sample.json"
MOST_THREADS = 4
FILLED = ("label", "note")
"""Columns that people fill."""
TELLING = ("stratum", "mapped", "probability")
"""Columns that tell whoever labels what the map says."""


@dataclass(frozen=True)
class StratumPlan:
    """A stratum, and how much of it is drawn."""

    name: str
    value: int
    """Class of the map."""
    units: int
    """Pixels."""
    area_m2: float
    size: int
    """Of the sample."""
    expected: float
    """User's accuracy that was expected when the size was chosen."""


@dataclass(frozen=True)
class Asked:
    """What sample is wanted."""

    size: int | None
    """None: as many as `standard_error` needs."""
    standard_error: float
    expected: Mapping[str, float]
    """User's accuracy by class."""
    otherwise: float
    """Of classes that are not named there."""
    least: int
    """In each stratum."""
    sure: float | None
    """Probability from which a class counts as sure; None: strata are the classes."""
    seed: int


def strata_of(opened: OpenedMap, sure: float | None) -> tuple[list[tuple[str, int]], Callable[[Box], np.ndarray]]:
    """Return the strata of a map: name and class of each, and what reads them as uint8 (y, x), 255 for none.

    Raises:
        ValueError: there are more than can be told apart.
    """
    if sure is None:
        return [(name, value) for value, name in enumerate(opened.classes)], opened.class_at
    named = [(f"{name}, {how}", v) for v, name in enumerate(opened.classes) for how in ("sure", "unsure")]
    if len(named) > NO_CLASS:
        raise ValueError(f"{len(opened.classes)} classes have too many strata with --sure; leave it out")

    def read(box: Box) -> np.ndarray:
        classes, probability = opened.certainty_at(box)
        with np.errstate(invalid="ignore"):
            unsure = (probability < sure).astype(np.uint16)
        return np.where(classes == NO_CLASS, NO_CLASS, classes * np.uint16(2) + unsure).astype(np.uint8)

    return named, read


def plan_sample(opened: OpenedMap, asked: Asked) -> tuple[list[StratumPlan], list[Stratum]]:
    """Look at the whole map once, decide how many pixels of each stratum are labelled, and draw them.

    Raises:
        ValueError: the sample is too small or too large for the strata, or a class is unknown.
    """
    unknown = [name for name in asked.expected if name not in opened.classes]
    if unknown:
        raise ValueError(f"--expected: {unknown} are no classes of the map; known are {list(opened.classes)}")
    named, read = strata_of(opened, asked.sure)
    most = asked.size or sample_size([1.0], [0.5], asked.standard_error) + asked.least * len(named)
    store, threads = opened.store, min(os.cpu_count() or 1, MOST_THREADS)
    found = draw(read, len(named), most, store.grid, store.extent, asked.seed, threads)
    there = [place for place, stratum in enumerate(found) if stratum.units]
    if not there:
        raise ValueError("the map holds no pixel that any scene saw; there is nothing to sample")
    total = sum(found[place].area_m2 for place in there)
    weights = [found[place].area_m2 / total for place in there]
    expected = [asked.expected.get(opened.classes[named[place][1]], asked.otherwise) for place in there]
    units = [found[place].units for place in there]
    size = asked.size or max(
        sample_size(weights, expected, asked.standard_error), sum(min(asked.least, count) for count in units)
    )
    sizes = allocation(min(size, sum(units)) if asked.size is None else size, weights, units, asked.least)
    plans = [
        StratumPlan(*named[place], found[place].units, found[place].area_m2, n, u)
        for place, n, u in zip(there, sizes, expected, strict=True)
    ]
    return plans, [found[place] for place in there]


def points_of(opened: OpenedMap, plans: Sequence[StratumPlan], drawn: Sequence[Stratum], seed: int) -> list[dict]:
    """Return the rows of the sample in an order that tells nothing of their strata."""
    grid = opened.store.grid
    to_degrees = pyproj.Transformer.from_crs(grid.pixels.pyproj_crs, "OGC:CRS84", always_xy=True)
    rows = []
    for plan, stratum in zip(plans, drawn, strict=True):
        first = stratum.drawn.first(plan.size)
        x, y = grid.pixels.xy(first.rows + 0.5, first.cols + 0.5)
        lon, lat = to_degrees.transform(x, y)
        classes, probability = opened.at_points(first.rows, first.cols)
        for place, (row, col) in enumerate(zip(first.rows.tolist(), first.cols.tolist(), strict=True)):
            rows.append(
                {
                    "id": f"r{row}c{col}",
                    "lon": round(float(lon[place]), 8),
                    "lat": round(float(lat[place]), 8),
                    "x": float(x[place]),
                    "y": float(y[place]),
                    "row": row,
                    "col": col,
                    "stratum": plan.name,
                    "mapped": opened.classes[int(classes[place])],
                    "probability": round(float(probability[place]), 4),
                    **dict.fromkeys(FILLED, ""),
                }
            )
    return sorted(rows, key=lambda one: uniforms(one["row"], one["col"], 1, 1, seed + 1)[0, 0])


def design_of(
    opened: OpenedMap, plans: Sequence[StratumPlan], points: Sequence[Mapping[str, Any]], asked: Asked
) -> dict:
    """Return what `sandan accuracy` needs to know of a sample."""
    grid = opened.store.grid
    return {
        "format": 1,
        "map": opened.name,
        "threshold": opened.threshold,
        "classes": list(opened.classes),
        "crs": grid.crs,
        "resolution": list(grid.resolution),
        "phase": list(grid.phase),
        "asked": asdict(asked),
        "strata": [asdict(plan) for plan in plans],
        "points": [{name: point[name] for name in ("id", "row", "col", "stratum")} for point in points],
    }


def read_design(data: bytes, name: str) -> dict:
    """Read what `design_of` made.

    Raises:
        ValueError: it is something else.
    """
    try:
        found = dict(json.loads(data))
        _ = [(one["name"], float(one["area_m2"]), int(one["units"])) for one in found["strata"]]
        _ = [(one["id"], int(one["row"]), int(one["col"]), one["stratum"]) for one in found["points"]]
        MapGrid(found["crs"], tuple(found["resolution"]), tuple(found["phase"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{name} is no design of a sample ({error}); `sandan sample` writes one") from error
    return found


def read_labels(data: bytes, name: str) -> dict[str, dict[str, str]]:
    """Return what people wrote into a sample's table, by the id of the point.

    Raises:
        ValueError: it is no such table, or a point stands in it twice.
    """
    try:
        text = data.decode("utf-8-sig")  # spreadsheets put a mark first
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8 ({error}); save it as CSV UTF-8") from error
    rows = list(csv.DictReader(io.StringIO(text), delimiter=";" if ";" in text.partition("\n")[0] else ","))
    if not rows or not {"id", "label"} <= rows[0].keys():
        raise ValueError(
            f"{name} has no columns `id` and `label`, or no rows; give the table that `sandan sample` wrote"
        )
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["id"] in found:
            raise ValueError(f"{name}: the point {row['id']} stands there twice; keep one")
        found[row["id"]] = {column: (row.get(column) or "").strip() for column in FILLED}
    return found


def with_earlier_labels(out: Storage, points: Sequence[dict]) -> tuple[list[dict], int]:
    """Return the points with what people wrote into an earlier sample in the same folder, and how many labels that are.

    Raises:
        ValueError: labels would be lost, because their points are not drawn again.
    """
    if not out.exists(TABLE):
        return list(points), 0
    before = read_labels(out.get(TABLE), f"{out.url}/{TABLE}")
    ids = {point["id"] for point in points}
    lost = [name for name, row in before.items() if row["label"] and name not in ids]
    if lost:
        raise ValueError(
            f"{out.url}/{TABLE} holds {len(lost)} labels of points that are not in the new sample (the first is "
            f"{lost[0]}); give another --out, or the same seed, strata and a larger size"
        )
    found = [point | before.get(point["id"], {}) for point in points]
    return found, sum(bool(point["label"]) for point in found)


def write_sample(out: Storage, points: Sequence[Mapping[str, Any]], design: Mapping[str, Any], blind: bool) -> None:
    """Write the four files of a sample; where `blind`, table and GeoJSON do not tell what the map says."""
    shown = [name for name in points[0] if not (blind and name in TELLING)]
    features = [
        {
            "type": "Feature",
            "id": point["id"],
            "properties": {name: point[name] for name in shown},
            "geometry": {"type": "Point", "coordinates": [point["lon"], point["lat"]]},
        }
        for point in points
    ]
    columns = {name: [point[name] for point in points] for name in points[0]}
    shapes = [shapely.Point(point["lon"], point["lat"]) for point in points]
    out.put(DESIGN, json.dumps(design, indent=1).encode())
    out.put(PARQUET, geoparquet_bytes(columns, shapes))
    out.put(OUTLINES, json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False).encode())
    out.put(TABLE, csv_of([{name: point[name] for name in shown} for point in points]))
