"""Opening vector files: which kinds, how large, and polygons that overlays can deal with in seconds.

GDAL would tell the kind of a file from its content, and open services and virtual files that way: here a file is what
its suffix and its first bytes say.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyproj
import shapely

from tiler.suspect import check_file

KINDS = {
    ".geojson": ("GeoJSON", b""),
    ".json": ("GeoJSON", b""),
    ".gpkg": ("GPKG", b"SQLite format 3\0"),
    ".fgb": ("FlatGeobuf", b"fgb\x03fgb"),
    ".shp": ("ESRI Shapefile", b"\0\0\x27\x0a"),
}
"""Suffix to GDAL driver and how such a file begins."""
GEOJSON = ("FeatureCollection", "Feature", "Polygon", "MultiPolygon", "GeometryCollection", "LineString", "Topology")
"""What the `type` of a GeoJSON or TopoJSON may be; other JSON may be a recipe of GDAL's or name a service."""
POLYGON, MULTIPOLYGON = 3, 6
"""shapely's numbers of these types."""
LARGEST_JSON_BYTES = 2**29
MOST_VERTICES = 4_000_000
MOST_MEETINGS = 30_000_000
"""Pairs of edges with overlapping bounding boxes: overlays look at each."""
MOST_CROSSINGS = 300_000
"""Pairs of edges that cross: overlays cut both."""
SAMPLES = (10, 100, 1000, 10_000)
"""Edges that are looked at, until it is clear that there are too many pairs."""


@dataclass(frozen=True)
class Vectors:
    """Polygons of a file with one value of each."""

    shapes: np.ndarray
    """shapely, valid, in two dimensions; empty where a feature has no area."""
    values: np.ndarray | None
    """Of the field that was asked for."""
    crs: str | None
    """As the file declares it."""
    repaired: np.ndarray
    """bool: the shapes that were not valid."""


def read_vectors(what: str, path: str, field: str | None = None) -> Vectors:
    """Read the polygons of a vector file.

    Args:
        what: what the file is for, for errors: area, regions.
        path: GeoJSON, GeoPackage, FlatGeobuf or shapefile.
        field: whose values are wanted.

    Raises:
        ValueError: no such file or field, not of its kind, or polygons that would take too long.
    """
    import pyogrio

    place = os.path.abspath(path)
    _check_kind(what, path)
    try:
        info = pyogrio.read_info(place)
        known = list(info["fields"])
        if field is not None and field not in known:
            raise _unknown(what, path, field, known)
        meta, _, blobs, columns = pyogrio.raw.read(place, columns=[] if field is None else [field], force_2d=True)
        with np.errstate(invalid="ignore"):  # what is not a number gets an error of its own
            shapes = np.asarray(shapely.from_wkb(blobs))
    except UnknownField:
        raise
    except Exception as error:  # pyogrio raises many kinds; all mean that the file is not what was asked for
        raise ValueError(
            f"{what}: {path} cannot be read: {' '.join(str(error).split())}; give a GeoJSON, GPKG or other vector file"
        ) from error
    check_shapes(f"{what}: {path}", shapes)
    wrong = ~shapely.is_valid(shapes) & ~shapely.is_missing(shapes)
    return Vectors(_repaired(shapes), None if field is None else columns[0], meta["crs"], wrong)


def read_places(what: str, path: str) -> tuple[np.ndarray, str | None]:
    """Read the shapes of a vector file, of whatever kind: points, lines, polygons.

    Returns:
        shapely geometries, and the CRS that the file declares.

    Raises:
        ValueError: no such file, not of its kind, or shapes that would take too long.
    """
    import pyogrio

    _check_kind(what, path)
    try:
        meta, _, blobs, _ = pyogrio.raw.read(os.path.abspath(path), columns=[], force_2d=True)
        shapes = np.asarray(shapely.from_wkb(blobs))
    except Exception as error:  # pyogrio raises many kinds; all mean that the file is not what was asked for
        raise ValueError(
            f"{what}: {path} cannot be read: {' '.join(str(error).split())}; give a GeoJSON, GPKG or other vector file"
        ) from error
    check_shapes(f"{what}: {path}", shapes)
    return shapes, meta["crs"]


class UnknownField(ValueError):
    """A field that the file has not."""


def _unknown(what: str, path: str, field: str, known: list[str]) -> UnknownField:
    import difflib

    near = difflib.get_close_matches(field, known, n=1, cutoff=0.0)
    hint = f"; did you mean {near[0]!r}?" if near else "; give a file of polygons with names"
    return UnknownField(f"{what}: {path} has no field {field!r}, only {known}{hint}")


def _check_kind(what: str, path: str) -> None:
    suffix = Path(path).suffix.lower()
    if suffix not in KINDS:
        raise ValueError(f"{what}: cannot tell the kind of {path!r} from its suffix; known are {sorted(KINDS)}")
    if not Path(path).is_file():
        raise ValueError(f"{what}: {path} does not exist; give a GeoJSON, GPKG or other vector file")
    check_file(path)
    driver, start = KINDS[suffix]
    with open(path, "rb") as file:
        if file.read(len(start)) != start:
            raise ValueError(
                f"{what}: {path} cannot be read: it does not begin like a {driver} file; give another file"
            )
    if driver == "GeoJSON":
        _check_json(what, path)
    if driver == "GPKG":
        _check_tables(what, path)


def _check_json(what: str, path: str) -> None:
    size = os.path.getsize(path)
    if size > LARGEST_JSON_BYTES:
        raise ValueError(
            f"{what}: {path} has {size} bytes, too many for a GeoJSON; convert it: ogr2ogr OUT.gpkg {path}"
        )
    try:
        found = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what}: {path} cannot be read: no JSON ({error}); give a GeoJSON file") from error
    kind = found.get("type") if isinstance(found, dict) else None
    if kind not in GEOJSON:
        raise ValueError(f"{what}: {path} cannot be read: its type is {str(kind)[:80]!r}, no GeoJSON; give polygons")
    if found.get("crs") is not None:  # GDAL would take one that it does not know for longitude and latitude
        properties = found["crs"].get("properties") if isinstance(found["crs"], dict) else None
        known_crs(what, path, str(properties.get("name") if isinstance(properties, dict) else found["crs"]))


def _check_tables(what: str, path: str) -> None:
    """Refuse a database whose layers are not tables: a view or a virtual table is a program, and may never end."""
    uri = f"{Path(path).absolute().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as database:
            layers = "SELECT table_name FROM gpkg_contents"
            found = database.execute(f"SELECT name, type, sql FROM sqlite_master WHERE name IN ({layers})").fetchall()
    except sqlite3.Error as error:
        raise ValueError(f"{what}: {path} cannot be read: {error}; give a whole GPKG file") from error
    if not found:
        raise ValueError(f"{what}: {path} cannot be read: it holds no layer; give a whole GPKG file")
    programs = [name for name, kind, sql in found if kind != "table" or not str(sql).upper().startswith("CREATE TABLE")]
    if programs:
        raise ValueError(
            f"{what}: {path} cannot be read: its layer {programs[0]!r} is not a table; write it as one: ogr2ogr"
        )


def check_shapes(where: str, shapes: np.ndarray) -> None:
    """Refuse polygons whose overlays would take minutes, or that lie nowhere.

    Args:
        where: begins the errors.
        shapes: shapely, valid or not.

    Raises:
        ValueError: too many vertices, edges that meet too often, or coordinates that are no numbers.
    """
    vertices = int(shapely.get_num_coordinates(shapes).sum())
    if vertices > MOST_VERTICES:
        raise ValueError(f"{where} has {vertices} vertices, more than {MOST_VERTICES}; simplify it: ogr2ogr -simplify")
    if not np.isfinite(shapely.get_coordinates(shapes)).all():
        raise ValueError(f"{where} has coordinates that are no finite numbers; correct it")
    edges = _edges(shapes)
    count = len(edges)
    if count * count < MOST_CROSSINGS:
        return
    tree, order = shapely.STRtree(edges), np.random.default_rng(0).permutation(count)
    for taken, more in zip((0, *SAMPLES), SAMPLES, strict=False):
        some = order[taken:more]
        if not len(some):
            return
        here, there = tree.query(edges[some])
        share = count / len(some) / 2  # each pair is seen from both of its edges
        if len(here) * share > MOST_MEETINGS + 2 * count:
            raise ValueError(f"{where} is too tangled: about {len(here) * share:.0g} pairs of edges meet; simplify it")
        crossing = int(shapely.crosses(edges[some][here], edges[there]).sum())
        if crossing * share > MOST_CROSSINGS and crossing > 3:
            raise ValueError(f"{where} is too tangled: about {crossing * share:.0g} pairs of edges cross; repair it")


def _edges(shapes: np.ndarray) -> np.ndarray:
    """Return every edge of every ring as a line."""
    rings = shapely.get_rings(polygons_of(shapes))
    coordinates, ring = shapely.get_coordinates(rings, return_index=True)
    same = ring[1:] == ring[:-1]
    ends = np.stack([coordinates[:-1], coordinates[1:]], axis=1)[same]
    return np.asarray(shapely.linestrings(ends[(ends[:, 0] != ends[:, 1]).any(axis=1)]))


def _repaired(shapes: np.ndarray) -> np.ndarray:
    """Return only the polygons of every shape, valid; what has no area becomes empty."""
    wrong = ~shapely.is_valid(shapes)
    # "linework", the default, takes minutes for a few hundred edges that cross each other
    shapes[wrong] = shapely.make_valid(shapes[wrong], method="structure", keep_collapsed=False)
    # GEOS may leave two polygons that share an edge
    still = ~shapely.is_valid(shapes)
    shapes[still] = [shapely.buffer(shapely.union_all(shapely.get_parts(shape)), 0) for shape in shapes[still]]
    for index in np.flatnonzero(~np.isin(shapely.get_type_id(shapes), (POLYGON, MULTIPOLYGON))):
        shapes[index] = shapely.union_all(polygons_of(shapes[index : index + 1]))
    return shapes


def polygons_of(shapes: np.ndarray) -> np.ndarray:
    """Return the polygons within shapes, whatever collections they lie in."""
    while (shapely.get_type_id(shapes) > POLYGON).any():
        shapes = shapely.get_parts(shapes)
    return shapes[(shapely.get_type_id(shapes) == POLYGON) & ~shapely.is_empty(shapes)]


def known_crs(what: str, path: str, crs: str) -> pyproj.CRS:
    """Return a CRS that says where on the Earth something lies.

    Raises:
        ValueError: it is unknown, or does not.
    """
    try:
        found = pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as error:
        raise ValueError(
            f"{what}: the crs {crs[:200]!r} is unknown ({error}); {path} needs EPSG:4326 or alike"
        ) from error
    if not (found.is_projected or found.is_geographic):
        raise ValueError(
            f"{what}: the crs {found.name!r} of {path} is neither projected nor geographic; give EPSG:4326"
        )
    return found
