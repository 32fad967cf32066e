"""GeoParquet: other programs read back what was written, with its CRS."""

import io
import json

import pyarrow.parquet as pq
import pyproj
import pytest
import shapely

from tiler.geoparquet import geoparquet_bytes

SHAPES = [shapely.box(200_000, 500_000, 200_900, 500_300), None, shapely.MultiPolygon([shapely.box(1, 2, 3, 4)])]


@pytest.mark.parametrize("crs", [None, pyproj.CRS("EPSG:5179")])
def test_a_table_with_shapes_reads_back(crs):
    data = geoparquet_bytes({"name": ["종로구", "b", "c"], "m2": [1.5, None, 3.0]}, SHAPES, crs)
    table = pq.read_table(io.BytesIO(data))
    assert table.column("name").to_pylist() == ["종로구", "b", "c"]
    assert table.column("m2").to_pylist() == [1.5, None, 3.0]
    blobs = table.column("geometry").to_pylist()
    assert [None if b is None else shapely.from_wkb(b) for b in blobs] == SHAPES
    geometry = json.loads(table.schema.metadata[b"geo"])["columns"]["geometry"]
    assert geometry["bbox"] == [1, 2, 200_900, 500_300]
    assert geometry["geometry_types"] == ["MultiPolygon", "Polygon"]
    assert ("crs" in geometry) == (crs is not None)
    assert crs is None or pyproj.CRS.from_json_dict(geometry["crs"]) == crs
