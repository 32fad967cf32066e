"""GeoParquet 1.1 (https://geoparquet.org/releases/v1.1.0): a table with a shape in each row, as WKB."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyproj
import shapely


def geoparquet_bytes(
    columns: Mapping[str, Any], shapes: Sequence[shapely.Geometry | None], crs: pyproj.CRS | None = None
) -> bytes:
    """Return a table as GeoParquet, compressed by zstd.

    Args:
        columns: name to what pyarrow makes a column of: its arrays, or lists.
        shapes: one a row, None where it has none; x before y.
        crs: of the shapes; None is longitude and latitude on WGS 84, which needs not be said.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    there = [shape for shape in shapes if shape is not None]
    geometry: dict[str, object] = {"encoding": "WKB", "geometry_types": sorted({s.geom_type for s in there})}
    if crs is not None:
        geometry["crs"] = crs.to_json_dict()
    if there:
        geometry["bbox"] = shapely.total_bounds(there).tolist()
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}}
    blobs = pa.array([None if shape is None else shapely.to_wkb(shape) for shape in shapes], pa.binary())
    table = pa.table({**columns, "geometry": blobs}).replace_schema_metadata({"geo": json.dumps(geo)})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()
