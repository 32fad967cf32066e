"""Sites of an earlier map, read beside a new one cell by cell: which of them a new site continues, and since when.

The earlier map may lie on another grid, in another CRS. In memory are a few numbers of each earlier site, and the
outlines of those around one cell.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyproj
import shapely

from tiler.area import surroundings
from tiler.fuse import NO_DATE
from tiler.grids import Box, MapGrid, same_crs, transformer
from tiler.polygon_files import convert
from tiler.sites import Sites
from tiler.suspect import check_file

SHARED = 0.25
"""Part of its pixels, of the smaller of two, from which a site continues an earlier one."""
SEEN, FIRST_SEEN = "last_seen_from", "first_seen"
"""Columns of dates: the first one counts in files that have no `first_seen`."""
NEEDED = ("id", "class", SEEN)
"""Columns that every file of sites has."""
BEGINS = {".fgb": b"fgb\x03fgb", ".parquet": b"PAR1"}
"""Suffix of files that can be read, and how they begin: GDAL would tell the kind of a file from its content."""


def check_sites(path: Path) -> tuple[pyproj.CRS, tuple[float, ...] | None]:
    """Look at the header of a file of sites.

    Args:
        path: FlatGeobuf or GeoParquet, as `tiler.polygon_files` writes them.

    Returns:
        Its CRS, and bounds of all sites in it: left, bottom, right, top; None where there is no site.

    Raises:
        ValueError: it is not there, not readable, or not such a file.
    """
    check_file(str(path))
    begin = BEGINS.get(path.suffix)
    with open(path, "rb") as file:
        if begin is None or file.read(len(begin)) != begin:
            raise ValueError(f"{path} is neither FlatGeobuf nor GeoParquet")
    with _readable(path):
        columns, crs, bounds = _header(path)
        lacking = [name for name in NEEDED if name not in columns]
        if lacking or crs is None:
            raise ValueError(f"it has no {lacking or 'CRS'}: Sandan did not write it")
        sides = () if bounds is None else tuple(float(side) for side in bounds)
        return pyproj.CRS.from_user_input(crs), sides if sides and np.isfinite(sides).all() else None


def _header(path: Path) -> tuple[Sequence[str], Any, Sequence[float] | None]:
    if path.suffix == ".fgb":
        import pyogrio

        facts = pyogrio.read_info(path)
        return list(facts["fields"]), facts["crs"], facts["total_bounds"] if facts["features"] else None
    with pq.ParquetFile(path) as file:
        geo = json.loads((file.metadata.metadata or {}).get(b"geo", b"{}"))
        column = geo.get("columns", {}).get(geo.get("primary_column"), {})
        return file.schema_arrow.names, column.get("crs"), column.get("bbox")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Say of which file it is what goes wrong in it."""
    try:
        yield
    except (ValueError, RuntimeError, LookupError, OSError, pa.ArrowException, pyproj.exceptions.CRSError) as error:
        told = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{path} cannot be read as sites of a map: {told}") from error


class EarlierSites:
    """The sites of an earlier map."""

    def __init__(self, path: Path, classes: Sequence[str], grid: MapGrid, scratch: Path) -> None:
        """Read what is known of every site; outlines are read when they are asked for.

        Args:
            path: as in `check_sites`.
            classes: names of the values of the new map's class raster, which classes are compared by.
            grid: of the new map.
            scratch: folder for a copy that has an index.

        Raises:
            ValueError: as `check_sites`.
        """
        crs, _ = check_sites(path)
        self._grid, self._crs = grid, crs.to_wkt()
        self._path = path
        with _readable(path):
            if path.suffix != ".fgb":
                self._path = scratch / "earlier.fgb"
                convert(path, self._path, "flatgeobuf", "earlier")
            self._read_columns(classes)
        self.pixels = np.zeros(len(self.days), np.int64)
        """Of each site, by `id`, on the new map, as far as it was read."""

    def _read_columns(self, classes: Sequence[str]) -> None:
        import pyogrio

        columns = pyogrio.read_info(self._path)["fields"].tolist()
        seen = FIRST_SEEN if FIRST_SEEN in columns else SEEN
        ids, kinds, days = [np.zeros(1, np.int64)], [np.zeros(1, np.uint8)], [np.full(1, NO_DATE, np.int32)]
        names = pa.array(classes, pa.string())
        wanted = {"columns": ["id", "class", seen], "read_geometry": False, "use_pyarrow": True}
        with pyogrio.open_arrow(self._path, **wanted) as (_, batches):
            for batch in batches:
                table = {name: batch[name] for name in ("id", "class", seen)}
                ids.append(table["id"].cast(pa.int64()).to_numpy(zero_copy_only=False))
                kind = pc.fill_null(pc.index_in(table["class"].cast(pa.string()), names), 0)
                kinds.append(kind.to_numpy(zero_copy_only=False).astype(np.uint8))
                day = pc.fill_null(table[seen].cast(pa.date32()).cast(pa.int32()), int(NO_DATE))
                days.append(day.to_numpy(zero_copy_only=False))
        place = np.concatenate(ids)
        if not np.array_equal(np.sort(place), np.arange(len(place))):
            raise ValueError(f"the ids of its {len(place) - 1} sites are not those from 1 on, each once")
        self.kind = np.empty(len(place), np.uint8)
        """uint8 (id,): value of its class in the new map's class raster; 0 where that has no such class."""
        self.days = np.empty(len(place), np.int32)
        """int32 (id,): when it was first seen, in days since 1970; `NO_DATE` where that is not known."""
        self.kind[place], self.days[place] = np.concatenate(kinds), np.concatenate(days)

    def at(self, box: Box) -> np.ndarray | None:
        """Return which site holds the centre of each pixel, and count those of each site; each cell is asked for once.

        Args:
            box: absolute map pixels.

        Returns:
            int32 (y, x): its id, -1 for none; None where there is no site at all.
        """
        from tiler.patch_kernels import fill_polygons

        with _readable(self._path):
            shapes, ids = self._around(box)
        parts, shape_of = shapely.get_parts(shapes, return_index=True)
        rings, part_of = shapely.get_rings(parts, return_index=True)
        points, ring = shapely.get_coordinates(rings, return_index=True)
        if not len(points):
            return None
        points = np.stack(self._on_map(points[:, 0], points[:, 1], box), axis=1)
        joined = ring[1:] == ring[:-1]
        edges = np.concatenate([points[:-1], points[1:]], axis=1)[joined]
        names = ids[shape_of[part_of[ring[1:][joined]]]]
        broken = np.zeros(len(self.days), bool)  # far from the map a CRS may have no place for a point
        broken[names[~np.isfinite(edges).all(axis=1)]] = True
        whole = ~broken[names]
        filled = np.zeros((box.height, box.width), np.int32)
        fill_polygons(edges[whole], names[whole].astype(np.int32), filled, self.pixels)
        filled[(filled == 0) | (filled >= len(self.days))] = -1  # polygons that overlap have no name
        return filled

    def _around(self, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """Return the polygons that may meet some pixels, and their ids."""
        from pyogrio.raw import read

        grid = self._grid.grid_of(box)
        if same_crs(self._crs, grid.crs):
            (left, right), (top, bottom) = grid.xy(np.array([0, box.height]), np.array([0, box.width]))
            near = np.array([[left, bottom, right, top]])
        else:
            near = shapely.bounds(shapely.get_parts(surroundings(grid, self._crs)))
            near = near[np.isfinite(near).all(axis=1)]
        found = [read(self._path, columns=["id"], bbox=tuple(bounds)) for bounds in near.tolist()]
        ids = np.concatenate([np.zeros(0, np.int64), *(one[3][0] for one in found)])
        shapes = np.concatenate([np.zeros(0, object), *(shapely.from_wkb(one[2]) for one in found)])
        ids, first = np.unique(ids, return_index=True)
        return shapes[first], ids

    def _on_map(self, x: np.ndarray, y: np.ndarray, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """Return columns and rows, in pixels of a rectangle, of places in the CRS of the file."""
        grid, change = self._grid.grid_of(box), transformer(self._crs, self._grid.crs)
        if change is not None:
            x, y = change.transform(x, y)
            if grid.pyproj_crs.is_geographic:  # an outline across 180 degrees goes on beyond them
                middle = float(grid.xy(np.array(0.0), np.array(box.width / 2))[0])
                x = (x - middle + 180.0) % 360.0 - 180.0 + middle
        rows, cols = grid.rowcol(x, y)
        return cols, rows


def first_seen(sites: Sites, own_days: np.ndarray, name: str, earlier: EarlierSites | None) -> np.ndarray:
    """Return since when each site is known, in days since 1970.

    A site continues those earlier ones of its class with which it shares at least `SHARED` of the pixels of the
    smaller of the two, and is as old as the oldest of them, or as its own oldest date where that is before. On the
    pixels of the new map, as far as it reaches.

    Args:
        sites: of the new map.
        own_days: int64 (site,): oldest date of each; `NO_DATE` for none.
        name: of the layer of `EarlierSites.at`, in `sites.lies_in`.
        earlier: sites of the earlier map; None where there is none.

    Returns:
        int64 (site,), `NO_DATE` for what is not known.
    """
    unknown = np.int64(2**62)
    found = np.where(own_days == NO_DATE, unknown, own_days).astype(np.int64)
    if earlier is not None and name in sites.lies_in:
        site, before, shared = sites.lies_in[name].T
        smaller = np.minimum(sites.pixels[site], earlier.pixels[before])
        goes_on = (sites.kind[site] == earlier.kind[before]) & (shared >= SHARED * smaller)
        goes_on &= earlier.days[before] != NO_DATE
        np.minimum.at(found, site[goes_on], earlier.days[before[goes_on]])
    return np.where(found == unknown, np.int64(NO_DATE), found)
