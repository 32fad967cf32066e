"""What a search leaves: a table as CSV, and the same with outlines as GeoJSON and GeoParquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
import shapely

from cluster.storage import Storage
from jobs.search_archive import Archive, iso
from models.search import Best
from tiler.geoparquet import geoparquet_bytes

TABLE, OUTLINES, PARQUET, RECORD = "results.csv", "results.geojson", "results.parquet", "search.json"


@dataclass(frozen=True)
class Row:
    """One result."""

    rank: int
    """From 1."""
    score: float
    """Cosine, or the mean of cosines of a sequence."""
    id: str
    """As `--window` and `--time` take it."""
    source: str
    """Scene or series."""
    sensor: str
    time: str
    """UTC; empty where it is not known."""
    lon: float | None
    """Of the middle, degrees; None for frames."""
    lat: float | None
    row: int | None
    col: int | None
    part: int | None
    """0: the whole window; 1 to 4: its quadrants."""
    missing_ratio: float
    out: str
    """Folder of the run."""


def rows_of(archive: Archive, best: Best) -> list[Row]:
    """Return the table of what was found."""
    rows = []
    for rank, (score, item_id) in enumerate(zip(best.scores.tolist(), best.ids.tolist(), strict=True), 1):
        member, item = archive.place(item_id)
        store, what = member.store, member.plan.what
        _, _, missing = store.read(item, item + 1)
        lon = lat = row = col = part = None
        if store.items is not None:
            (lon, lat), (row, col, part) = store.items.centres(np.array([item]))[0].tolist(), store.items.place(item)
        where = (lon, lat, row, col, part)
        time, label = iso(store.times[item]), archive.label(item_id)
        rows.append(
            Row(rank, score, label, what.source, what.sensor, time, *where, float(missing[0]), member.config.out)
        )
    return rows


def outlines_of(archive: Archive, best: Best) -> list[np.ndarray | None]:
    """Return the corners of what was found, float64 (4, 2) in degrees; None for frames."""
    found = []
    for item_id in best.ids.tolist():
        member, item = archive.place(item_id)
        found.append(None if member.store.items is None else member.store.items.outline(item))
    return found


def csv_of(rows: Sequence[Row]) -> bytes:
    """Return the table as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if value is None else value for name, value in asdict(row).items()})
    return text.getvalue().encode()


def geojson_of(rows: Sequence[Row], outlines: Sequence[np.ndarray | None]) -> bytes:
    """Return the table as GeoJSON (RFC 7946): polygons in degrees, no geometry for frames."""
    features = [
        {"type": "Feature", "id": row.rank, "properties": asdict(row), "geometry": _geometry(outline)}
        for row, outline in zip(rows, outlines, strict=True)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}, allow_nan=False, indent=1).encode()


def _geometry(outline: np.ndarray | None) -> dict | None:
    if outline is None:
        return None
    parts = polygons(outline)
    rings = [[list(point) for point in part.exterior.coords] for part in parts]
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": [rings[0]]}
    return {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]}


def polygons(outline: np.ndarray) -> list[shapely.Polygon]:
    """Return the polygon of an outline; two, cut at the antimeridian, where it crosses that."""
    if np.ptp(outline[:, 0]) <= 180:
        return [shapely.Polygon(outline)]
    east = outline.copy()
    east[:, 0] = np.where(east[:, 0] < 0, east[:, 0] + 360, east[:, 0])
    whole, found = shapely.Polygon(east), []
    for low, shift in ((0, 0.0), (180, -360.0)):
        part = whole.intersection(shapely.box(low, -90, low + 180, 90))
        found.append(shapely.Polygon(shapely.get_coordinates(part) + np.array([shift, 0.0])))
    return found


def geoparquet_of(rows: Sequence[Row], outlines: Sequence[np.ndarray | None]) -> bytes:
    """Return the table as GeoParquet, in longitude and latitude."""
    import pyarrow as pa

    kinds = {"rank": pa.int32(), "row": pa.int32(), "col": pa.int32(), "part": pa.int32()}
    kinds |= dict.fromkeys(("score", "lon", "lat", "missing_ratio"), pa.float64())
    names = [field.name for field in fields(Row)]
    columns = {name: pa.array([getattr(row, name) for row in rows], kinds.get(name, pa.string())) for name in names}
    return geoparquet_bytes(columns, [None if outline is None else _shape(outline) for outline in outlines])


def _shape(outline: np.ndarray) -> shapely.Geometry:
    parts = polygons(outline)
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def write_results(out: Storage, archive: Archive, best: Best, record: dict) -> list[Row]:
    """Write the three tables, and `search.json`: what was asked for, and by which network.

    Args:
        out: where.
        archive: that was searched.
        best: what was found.
        record: what was asked for.
    """
    rows, outlines = rows_of(archive, best), outlines_of(archive, best)
    out.put(TABLE, csv_of(rows))
    out.put(OUTLINES, geojson_of(rows, outlines))
    out.put(PARQUET, geoparquet_of(rows, outlines))
    out.put(RECORD, json.dumps(record, indent=1, default=str).encode())
    return rows


def console_table(rows: Sequence[Row]) -> str:
    """Return the table for a terminal."""
    header = ("rank", "score", "id", "time", "lon", "lat", "missing")
    lines = [
        (
            str(row.rank),
            f"{row.score:.4f}",
            row.id,
            row.time,
            "" if row.lon is None else f"{row.lon:.4f}",
            "" if row.lat is None else f"{row.lat:.4f}",
            f"{row.missing_ratio:.0%}",
        )
        for row in rows
    ]
    shown = [at for at in range(len(header)) if at < 3 or any(line[at] for line in lines)]
    widths = {at: max(len(line[at]) for line in (header, *lines)) for at in shown}
    return "\n".join("  ".join(line[at].ljust(widths[at]) for at in shown).rstrip() for line in (header, *lines))
