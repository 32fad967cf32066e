"""Areas and regions: tangled, endless, truncated, programs, or no polygons at all."""

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
import yaml

from jobs.ingest import main
from tests.hostile.cases import Case
from tests.tiler.rasters_for_tests import TRANSFORM, numbers, write_tif
from tiler.grids import Box, MapGrid
from tiler.regions import read_regions

CENTRE = 126.997, 37.235
"""Longitude and latitude of the scene."""


def feature(geometry: object, **more: object) -> str:
    """Return a GeoJSON of one feature."""
    one = {"type": "Feature", "properties": {"name": "x"}, "geometry": geometry}
    return json.dumps({"type": "FeatureCollection", "features": [one], **more})


def polygon(*rings: object) -> dict[str, object]:
    """Return a GeoJSON polygon."""
    return {"type": "Polygon", "coordinates": [np.asarray(ring).tolist() for ring in rings]}


def _around(x: np.ndarray, y: np.ndarray, size: float = 0.2) -> np.ndarray:
    ring = np.stack([CENTRE[0] + size * x, CENTRE[1] + size * y], axis=1)
    return np.concatenate([ring, ring[:1]])


def _square(size: float = 0.2) -> np.ndarray:
    return _around(np.array([-1, 1, 1, -1]), np.array([-1, -1, 1, 1]), size)


def star(count: int, roughness: float, waves: int = 0) -> np.ndarray:
    """Return a ring of many points: smooth with 0, a hedgehog with more."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    radius = 1 + roughness * np.random.default_rng(0).random(count) + 0.05 * np.sin(waves * angle)
    return _around(radius * np.cos(angle), radius * np.sin(angle))


def _comb(teeth: int) -> np.ndarray:
    x = np.repeat(np.linspace(-1, 1, teeth), 2)
    y = np.tile([-0.9, 1.0, 1.0, -0.9], teeth)[: len(x)]
    return _around(np.append(x, [1.0, -1.0]), np.append(y, [-1.0, -1.0]))


RANDOM = np.random.default_rng(1)
TANGLE = _around(*(RANDOM.random((2, 3000)) - 0.5))
REFUSED: dict[str, str] = {
    "a hedgehog": feature(polygon(star(150_000, 0.1))),
    "a tangle": feature(polygon(TANGLE)),
    "a tangle in a large polygon": feature(polygon(star(100_000, 0.0), TANGLE)),
    "triangles over each other": feature(
        {
            "type": "MultiPolygon",
            "coordinates": [[_around(*(RANDOM.random((2, 3)) - 0.5)).tolist()] for _ in range(4000)],
        }
    ),
    "nothing": "",
    "no features": '{"type": "FeatureCollection", "features": []}',
    "no geometry": feature(None),
    "an empty polygon": feature({"type": "Polygon", "coordinates": []}),
    "a line": feature({"type": "LineString", "coordinates": [[1, 2], [3, 4]]}),
    "a flat polygon": feature(polygon([[126, 37], [127, 37], [126, 37], [126, 37]])),
    "NaN": feature(polygon(_square())).replace("126.797", "NaN"),
    "a number beyond doubles": feature(polygon(_square())).replace("126.797", "1e999"),
    "texts as coordinates": feature(polygon(_square())).replace("126.797", '"x"'),
    "metres as degrees": feature(polygon([[3e5, 4e6], [4e5, 4e6], [4e5, 5e6], [3e5, 4e6]])),
    "vast numbers": feature(polygon([[1e300, 1e300], [2e300, 1e300], [2e300, 2e300], [1e300, 1e300]])),
    "another place": feature(polygon([[1, 2], [2, 2], [2, 3], [1, 2]])),
    "an unknown CRS": feature(polygon(_square()), crs={"type": "name", "properties": {"name": "EPSG:99999"}}),
    "a CRS at an address": feature(
        polygon(_square()), crs={"type": "link", "properties": {"href": "http://127.0.0.1:9"}}
    ),
    "cut in the middle": feature(polygon(star(1000, 0.1)))[:9000],
    "deep collections": feature(None).replace("null", '{"type": "GeometryCollection", "geometries": [' * 50_000),
    "deep lists": '{"type": "FeatureCollection", "features": ' + "[" * 100_000,
    "a list": "[1, 2]",
    "a recipe of GDAL": '{"type": "gdal_streamed_alg", "command_line": "gdal vector read /etc/passwd"}',
    "a recipe with a decoy": '{"features": [], "type": "gdal_streamed_alg", "command_line": "gdal vector read x"}',
    "a service": '{"type": "Service", "links": [{"href": "http://127.0.0.1:9/"}], "conformsTo": []}',
    "a virtual file": "<OGRVRTDataSource><OGRVRTLayer name='x'><SrcDataSource>/etc/x</SrcDataSource></OGRVRTLayer>",
    "a WFS": "<OGRWFSDataSource><URL>http://127.0.0.1:9/</URL></OGRWFSDataSource>",
    "a table": 'id,WKT\n1,"POLYGON((0 0,1 0,1 1,0 0))"\n',
    "a script of text": "COPY x FROM PROGRAM 'touch pwned'\n",
}
"""As .geojson."""
ACCEPTED: dict[str, str] = {
    "a million points": shapely.to_geojson(shapely.Polygon(star(1_000_000, 0.0, waves=37))),
    "a comb of long teeth": feature(polygon(_comb(5_000))),
    "a bow tie": feature(polygon(_square()[[0, 2, 1, 3, 0]])),
    "three dimensions": feature(polygon(np.insert(_square(), 2, 99.0, axis=1))),
    "a collection": feature(
        {"type": "GeometryCollection", "geometries": [polygon(_square()), {"type": "Point", "coordinates": [1, 2]}]}
    ),
    "a hole outside": feature(polygon(_square(), _square() + 3)),
    "a name of markup": feature(polygon(_square())).replace('"x"', '"<script>alert(1)</script>\\u001b[2J"'),
    "one feature": json.dumps({"type": "Feature", "properties": {"name": "x"}, "geometry": polygon(_square())}),
    "with a byte order mark": "\ufeff" + feature(polygon(_square())),
}


def _area(folder: Path, scene: str, path: Path) -> Callable[[], object]:
    config = folder / f"{path.name}.yaml"
    settings: dict[str, Any] = {
        "out": str(folder / "out"),
        "scenes": scene,
        "area": str(path),
        "engine": {"kind": "serial"},
    }
    config.write_text(yaml.safe_dump(settings))
    return lambda: main([str(config), "--dry-run"])


def _regions(path: Path) -> Callable[[], object]:
    x, y = TRANSFORM.c, TRANSFORM.f
    extent = Box(int(-y / 10), int(x / 10), int(-y / 10) + 90, int(x / 10) + 70)
    return lambda: read_regions(str(path), "name", None, MapGrid("EPSG:32652", (10.0, 10.0)), extent).at(extent)


def _databases(folder: Path) -> dict[str, Path]:
    """Return GeoPackages and others that are not what they say."""
    made = {}
    fine = folder / "fine.gpkg"
    blob = shapely.to_wkb(np.array([shapely.Polygon(_square())]))
    values = [np.array(["x"], object)]
    for name in ("fine.gpkg", "fine.fgb"):
        pyogrio.raw.write(folder / name, blob, values, ["name"], geometry_type="Polygon", crs="EPSG:4326")
    data = fine.read_bytes()
    for share in (0.0001, 0.1, 0.5, 0.9):
        made[f"a GeoPackage cut at {share}"] = folder / f"cut{share}.gpkg"
        made[f"a GeoPackage cut at {share}"].write_bytes(data[: int(len(data) * share)])
    noisy = bytearray(data)
    noisy[4096:] = os.urandom(len(data) - 4096)
    made["a GeoPackage of noise"] = folder / "noise.gpkg"
    made["a GeoPackage of noise"].write_bytes(noisy)
    made["a GeoPackage of an endless view"] = folder / "view.gpkg"
    (folder / "view.gpkg").write_bytes(data)
    with sqlite3.connect(folder / "view.gpkg") as database:
        (table,) = database.execute("SELECT table_name FROM gpkg_contents").fetchone()
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{trigger}"')
        database.execute(f'ALTER TABLE "{table}" RENAME TO kept')
        database.execute(
            f'CREATE VIEW "{table}" AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) '
            "SELECT n.i AS fid, kept.geom, kept.name FROM n, kept"
        )
        database.execute("UPDATE gpkg_contents SET table_name = ?", (table,))
        database.execute("UPDATE gpkg_geometry_columns SET table_name = ?", (table,))
    made["a GeoPackage of a virtual table"] = folder / "virtual.gpkg"
    (folder / "virtual.gpkg").write_bytes(data)
    with sqlite3.connect(folder / "virtual.gpkg") as database:
        database.execute("CREATE VIRTUAL TABLE outside USING rtree(id, a, b)")
        database.execute("UPDATE gpkg_contents SET table_name = 'outside'")
    made["a GeoPackage without layers"] = folder / "empty.gpkg"
    (folder / "empty.gpkg").write_bytes(data)
    with sqlite3.connect(folder / "empty.gpkg") as database:
        database.execute("DELETE FROM gpkg_contents")
    for suffix, text in (
        (".gpkg", "not a database"),
        (".fgb", "fgb\3fgb\0noise"),
        (".shp", "\0\0'\nnoise"),
        (".shp", "x"),
    ):
        path = folder / f"noise{len(made)}{suffix}"
        path.write_bytes(text.encode())
        made[f"noise as {path.name}"] = path
    for suffix in (".vrt", ".csv", ".kml", ".gml", ".xml", ".gpx", ".dxf", ".zip", ".gfs", ".sql", ""):
        path = folder / f"other{suffix}"
        path.write_text(REFUSED["a virtual file"])
        made[f"a file of {suffix or 'no suffix'}"] = path
    made["absent"] = folder / "absent.geojson"
    made["a folder"] = folder / "folder.geojson"
    made["a folder"].mkdir()
    os.mkfifo(folder / "pipe.geojson")
    made["a pipe"] = folder / "pipe.geojson"
    return made


def cases(folder: Path) -> list[Case]:
    """Return every case."""
    scene = write_tif(folder / "scene.tif", numbers(4, 90, 70))
    made = []
    for number, (name, text) in enumerate({**REFUSED, **ACCEPTED}.items()):
        path = folder / f"v{number}.geojson"
        path.write_text(text)
        says = None if name in ACCEPTED else path.name
        made.append(Case(f"area: {name}", _area(folder, scene, path), says))
        if name != "another place" and "million" not in name:
            made.append(Case(f"regions: {name}", _regions(path), says))
    for name, path in _databases(folder).items():
        made.append(Case(f"area: {name}", _area(folder, scene, path), path.name))
        made.append(Case(f"regions: {name}", _regions(path), path.name))
    made += [Case(f"area: fine{s}", _area(folder, scene, folder / f"fine{s}"), None) for s in (".gpkg", ".fgb")]
    return made
