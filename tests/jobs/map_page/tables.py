"""Statistics by region and polygons beside a published map, as its outputs write them."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import rasterio
import rasterio.features
import shapely
from pyogrio.raw import write

from jobs.map_files import INDEXED_SITES, OUTLINES, STATISTICS

REGIONS = ("West <b>", "East")


def sites_of(class_tif: Path) -> list[shapely.Geometry]:
    """Return a polygon around each patch of the class."""
    with rasterio.open(class_tif) as data:
        values, transform = data.read(1), data.transform
    found = rasterio.features.shapes(values, mask=values == 1, transform=transform)
    return [shapely.geometry.shape(shape) for shape, value in found if value == 1]


def add_tables(out: Path) -> tuple[list[shapely.Geometry], dict[str, shapely.Geometry]]:
    """Write both, and name them in the pointer; return the sites and the regions, in the map's CRS."""
    pointer = json.loads((out / "map.json").read_text())
    folder = out / pointer["folder"]
    with rasterio.open(folder / "class.tif") as data:
        crs, box = data.crs.to_wkt(), data.bounds
    sites = sites_of(folder / "class.tif")
    ids, areas = np.arange(1, len(sites) + 1), np.array([one.area for one in sites])
    kind = np.full(len(sites), "industrial", object)
    days = np.full(len(sites), "2024-05-06", "M8[D]")
    days[-1] = "NaT"
    columns = [ids, kind, areas, np.full(len(sites), 0.75, np.float32), days]
    write(
        folder / "polygons.fgb",
        np.array(shapely.to_wkb(sites), object),
        columns,
        ["id", "class", "area_m2", "probability", "first_seen"],
        geometry_type="Polygon",
        crs=crs,
        driver="FlatGeobuf",
    )
    middle = (box.left + box.right) / 2
    halves = (box.left, box.bottom, middle, box.top), (middle, box.bottom, box.right, box.top)
    regions = dict(zip(REGIONS, (shapely.box(*half) for half in halves), strict=True))
    to_degrees = pyproj.Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)
    rows = []
    for name, shape in regions.items():
        area = sum(shape.intersection(site).area for site in sites)
        row = {"region": name, "mapped_m2": shape.area, "industrial_m2": area, "industrial_share": area / shape.area}
        sides = zip(("west", "south", "east", "north"), to_degrees.transform_bounds(*shape.bounds), strict=True)
        rows.append(row | dict(sides))
    with (folder / "statistics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    column = {"encoding": "WKB", "geometry_types": ["Polygon"], "crs": pyproj.CRS(crs).to_json_dict()}
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    blobs = pa.array([shapely.to_wkb(shape) for shape in regions.values()], pa.binary())
    table = pa.table({"region": list(regions), "geometry": blobs}).replace_schema_metadata({"geo": json.dumps(geo)})
    pq.write_table(table, folder / "statistics.parquet")
    names = {
        INDEXED_SITES: "polygons.fgb",
        STATISTICS: "statistics.csv",
        OUTLINES: "statistics.parquet",
    }
    pointer["files"] |= {name: {"href": href} for name, href in names.items()}
    (out / "map.json").write_text(json.dumps(pointer))
    return sites, regions


def replace_outline(out: Path, place: int, shape: shapely.Geometry) -> None:
    """Give a region of `add_tables` another outline, in the map's CRS."""
    path = out / json.loads((out / "map.json").read_text())["folder"] / "statistics.parquet"
    table = pq.read_table(path)
    blobs = table["geometry"].to_pylist()
    blobs[place] = shapely.to_wkb(shape)
    pq.write_table(table.set_column(1, "geometry", pa.array(blobs, pa.binary())), path)
