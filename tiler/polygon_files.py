"""Files of polygons, written batch by batch: GeoParquet, and from it FlatGeobuf and PMTiles.

Only one batch is in memory, and what the formats' own indices take (FlatGeobuf: some 50 bytes a polygon). PMTiles has
no polygons but tiles of them, cut and generalised for each zoom, in EPSG:3857: it is for looking, not for measuring.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import shapely

GEOMETRY, BOX = "geometry", "bbox"
ROW_GROUP = 16_384
"""Polygons of a row group; what does not touch its bounding box is never read."""
SIDES = ("xmin", "ymin", "xmax", "ymax")
MEDIA_TYPES = {
    "geoparquet": "application/vnd.apache.parquet",
    "flatgeobuf": "application/vnd.flatgeobuf",
    "pmtiles": "application/vnd.pmtiles",
}
SUFFIXES = {"geoparquet": ".parquet", "flatgeobuf": ".fgb", "pmtiles": ".pmtiles"}
DRIVERS: dict[str, tuple[str, dict[str, Any]]] = {
    "flatgeobuf": ("FlatGeobuf", {}),
    "pmtiles": ("PMTiles", {"dataset_options": {"MINZOOM": "4", "MAXZOOM": "13"}}),
}
"""GDAL's driver of a format, and options: at zoom 13 a pixel of a tile of 4096 is 1.2 m at the equator."""


def schema_of(attributes: Mapping[str, pa.Array]) -> pa.Schema:
    """Return the columns of a file: attributes, geometry as WKB, its bounding box."""
    box = pa.struct([(side, pa.float64()) for side in SIDES])
    fields = [(name, values.type) for name, values in attributes.items()]
    return pa.schema([*fields, (GEOMETRY, pa.binary()), (BOX, box)])


def batches_of(
    drawn: Iterable[tuple[np.ndarray, np.ndarray]], attributes: Mapping[str, pa.Array]
) -> Iterator[pa.Table]:
    """Yield polygons with their attributes.

    Args:
        drawn: rows of the attributes, int64, and their shapely polygons.
        attributes: name to a value for each row.
    """
    schema = schema_of(attributes)
    for rows, shapes in drawn:
        columns = [values.take(pa.array(rows)) for values in attributes.values()]
        bounds = shapely.bounds(shapes)
        box = pa.StructArray.from_arrays([pa.array(bounds[:, k]) for k in range(4)], list(SIDES))
        yield pa.table([*columns, pa.array(shapely.to_wkb(shapes), pa.binary()), box], schema=schema)


def write_geoparquet(
    path: Path, tables: Iterable[pa.Table], schema: pa.Schema, crs: pyproj.CRS, geometry_type: str
) -> int:
    """Write GeoParquet 1.1 (https://geoparquet.org/releases/v1.1.0) with a covering box; return how many polygons.

    Args:
        path: a file that appears when it is whole.
        tables: of `schema`.
        schema: as `schema_of` returns it.
        crs: of the geometries.
        geometry_type: of all of them.
    """
    half = path.with_name(f".{path.name}.half")
    count, low, high = 0, np.full(2, np.inf), np.full(2, -np.inf)
    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": [geometry_type], "orientation": "counterclockwise"}
    column |= {"crs": crs.to_json_dict(), "covering": {"bbox": {side: [BOX, side] for side in SIDES}}}
    with pq.ParquetWriter(half, schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table, row_group_size=ROW_GROUP)
            count += len(table)
            sides = {side: table[BOX].combine_chunks().field(side).to_numpy() for side in SIDES}
            low = np.minimum(low, [sides["xmin"].min(), sides["ymin"].min()])
            high = np.maximum(high, [sides["xmax"].max(), sides["ymax"].max()])
        column |= {"bbox": [*low.tolist(), *high.tolist()]} if count else {}
        geo = {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}
        writer.add_key_value_metadata({"geo": json.dumps(geo)})
    os.replace(half, path)
    return count


def convert(geoparquet: Path, path: Path, form: str, layer: str) -> None:
    """Write polygons in another format, batch by batch.

    Args:
        geoparquet: as `write_geoparquet` leaves it.
        path: a file that appears when it is whole.
        form: one of `DRIVERS`.
        layer: name of the only layer.
    """
    import pyogrio

    driver, options = DRIVERS[form]
    with pq.ParquetFile(geoparquet) as source:
        column = json.loads(source.metadata.metadata[b"geo"])["columns"][GEOMETRY]
        names = [name for name in source.schema_arrow.names if name != BOX]
        schema = pa.schema([source.schema_arrow.field(name) for name in names])
        stream = pa.RecordBatchReader.from_batches(schema, source.iter_batches(ROW_GROUP, columns=names))
        half = path.with_name(f".half-{path.name}")  # the driver goes by the suffix
        pyogrio.write_arrow(
            stream,
            half,
            layer=layer,
            driver=driver,
            geometry_name=GEOMETRY,
            geometry_type=column["geometry_types"][0],
            crs=pyproj.CRS.from_json_dict(column["crs"]).to_wkt(),
            **options,
        )
    os.replace(half, path)


def write_polygons(
    folder: Path,
    name: str,
    formats: Sequence[str],
    tables: Iterable[pa.Table],
    schema: pa.Schema,
    crs: pyproj.CRS,
    geometry_type: str,
) -> dict[str, Path]:
    """Write polygons in several formats.

    Args:
        folder: where.
        name: of the files, and of their layers.
        formats: of `SUFFIXES`.
        tables: as `batches_of` yields them.
        schema: of the tables.
        crs: of the geometries.
        geometry_type: of all of them.

    Returns:
        Format to file. There are no PMTiles of nothing, which GDAL cannot write.
    """
    whole = folder / f"{name}{SUFFIXES['geoparquet']}"
    count = write_geoparquet(whole, tables, schema, crs, geometry_type)
    files = {"geoparquet": whole}
    for form in DRIVERS:
        if form in formats and (count or form != "pmtiles"):
            files[form] = folder / f"{name}{SUFFIXES[form]}"
            convert(whole, files[form], form, name)
    if "geoparquet" not in formats:
        files.pop("geoparquet").unlink()
    return files
