"""Files of polygons: written in batches, read as a whole; a file that is there is whole."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pyproj
import pytest
import shapely

from tiler.polygon_files import batches_of, schema_of, write_polygons

KOREA = pyproj.CRS.from_epsg(5179)
ATTRIBUTES = {"id": pa.array([1, 2, 3, 4]), "name": pa.array(["a", None, "산단", "d"])}
SHAPES = np.array([shapely.box(1e6 + 300 * k, 1.9e6, 1e6 + 300 * k + 70 + k, 1.9e6 + 200) for k in range(4)])


def drawn():
    yield np.array([2, 0]), SHAPES[[2, 0]]
    yield np.array([3]), SHAPES[[3]]


def test_batches_are_one_table_in_every_format(tmp_path):
    tables = batches_of(drawn(), ATTRIBUTES)
    files = write_polygons(tmp_path, "x", ("geoparquet", "flatgeobuf"), tables, schema_of(ATTRIBUTES), KOREA, "Polygon")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.fgb", "x.parquet"]
    table = pq.read_table(files["geoparquet"])
    assert table["id"].to_pylist() == [3, 1, 4]
    assert table["name"].to_pylist() == ["산단", "a", "d"]
    assert shapely.equals(shapely.from_wkb(table["geometry"].to_pylist()), SHAPES[[2, 0, 3]]).all()
    column = json.loads(pq.read_metadata(files["geoparquet"]).metadata[b"geo"])["columns"]["geometry"]
    assert column["bbox"] == list(shapely.total_bounds(SHAPES[[0, 2, 3]]))
    meta, _, shapes, columns = pyogrio.raw.read(files["flatgeobuf"])
    assert meta["crs"] == "EPSG:5179"
    found = dict(zip(columns[0].tolist(), shapely.from_wkb(shapes), strict=True))
    assert all(found[number].equals(SHAPES[number - 1]) for number in (1, 3, 4))


def test_only_what_is_asked_for_stays(tmp_path):
    tables = batches_of(drawn(), ATTRIBUTES)
    files = write_polygons(tmp_path, "x", ("flatgeobuf",), tables, schema_of(ATTRIBUTES), KOREA, "Polygon")
    assert list(files) == ["flatgeobuf"]
    assert [path.name for path in tmp_path.iterdir()] == ["x.fgb"]


def test_a_fault_leaves_the_file_that_was_there(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"before")

    def cut_short():
        yield next(drawn())
        raise OSError("disk")

    tables = batches_of(cut_short(), ATTRIBUTES)
    with pytest.raises(OSError, match="disk"):
        write_polygons(tmp_path, "x", ("geoparquet",), tables, schema_of(ATTRIBUTES), KOREA, "Polygon")
    assert (tmp_path / "x.parquet").read_bytes() == b"before"
