"""How long, in how much memory, and how exactly are areas by region summed, beside exactextract and rasterstats?

    python benchmarks/region_statistics.py                        districts of Korea at 30 m: minutes
    python benchmarks/region_statistics.py --resolution 100       a quick look

A class raster (three values and no data) on an equal-area grid (EPSG:6933), as a GeoTIFF of 512 px blocks; the regions
are the districts of Korea of 2018 where `../shared/data` is there, else as many Voronoi cells with bent borders. Each
way runs in a process of its own, reads the same raster, gets the same polygons in the raster's CRS, and returns pixels
by class and region.

    sandan           tiler.region_sums.region_sums: cell by cell, partial pixels, true areas; on one and on two threads
    exactextract     partial pixels, float32; its two strategies
    rasterstats      whole pixels by their centres, region by region

Needs `pip install exactextract rasterstats` for the peers; what is not there is left out. Memory is the largest
proportional set size of the process, sampled.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
import shapely
from peak_memory import wait_for
from rasterio.windows import Window

from cluster.heap import keep_memory
from tiler.grids import Box, MapGrid
from tiler.region_sums import region_sums
from tiler.regions import NamedPolygons, Regions, read_polygons, regions_on_map

KOREA = Path(__file__).resolve().parents[2] / "shared/data/korea_admin/kostat2018"
DISTRICTS = KOREA / "skorea-municipalities-2018-topo-simple.json"
BOUNDS = (124.5, 33.0, 131.0, 38.7)
"""Of Korea, in degrees."""
VALUES, NODATA = 3, 255


def grid_of(resolution: float) -> tuple[MapGrid, Box]:
    """Return the grid and the extent that holds Korea."""
    grid = MapGrid("EPSG:6933", (resolution, resolution))
    change = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:6933", always_xy=True)
    left, bottom, right, top = change.transform_bounds(*BOUNDS)
    rows, cols = grid.pixels.rowcol(np.array([left, right]), np.array([top, bottom]))
    return grid, Box(int(rows[0]), int(cols[0]), int(rows[1]), int(cols[1]))


def polygons() -> NamedPolygons:
    """Return the districts, or cells that stand in for them."""
    if DISTRICTS.is_file():
        return read_polygons(str(DISTRICTS), "code", "EPSG:4326")
    random = np.random.default_rng(0)
    points = shapely.MultiPoint(random.uniform(BOUNDS[:2], BOUNDS[2:], (250, 2)))
    cells = np.asarray(shapely.get_parts(shapely.voronoi_polygons(points, extend_to=shapely.box(*BOUNDS))))
    fine = shapely.segmentize(shapely.intersection(cells, shapely.box(*BOUNDS)), 0.005)
    bent = shapely.transform(fine, lambda p: p + 0.01 * np.stack([np.sin(40 * p[:, 1]), np.cos(31 * p[:, 0])], 1))
    names = tuple(f"r{place}" for place in range(len(bent)))
    return NamedPolygons(names, bent, tuple(range(len(bent))), pyproj.CRS("EPSG:4326"), ())


def write_raster(path: Path, grid: MapGrid, extent: Box) -> None:
    """Write a pattern of classes, never the same from block to block, with holes."""
    where = grid.grid_of(extent)
    options = {"driver": "GTiff", "dtype": "uint8", "count": 1, "nodata": NODATA, "compress": "lzw"}
    options |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "crs": grid.crs, "transform": where.affine}
    with rasterio.open(path, "w", height=extent.height, width=extent.width, **options) as file:
        for y in range(0, extent.height, 512):
            rows = np.arange(y, min(y + 512, extent.height))[:, None]
            cols = np.arange(extent.width)[None]
            wave = np.sin(rows / 41 + cols / 97) + np.cos(rows / 13 - cols / 29)
            values = np.digitize(wave, (-0.2, 0.9)).astype(np.uint8)
            values[(rows // 700 + cols // 900) % 11 == 0] = NODATA
            file.write(values, 1, window=Window(0, y, extent.width, len(rows)))


def sandan(raster: str, grid: MapGrid, extent: Box, regions: Regions, threads: int) -> np.ndarray:
    """Sum as Publish does."""
    opened: dict[int, Any] = {}

    def read(box: Box) -> np.ndarray:
        import threading

        file = opened.setdefault(threading.get_ident(), None) or rasterio.open(raster, driver="GTiff")
        opened[threading.get_ident()] = file
        window = Window(box.x0 - extent.x0, box.y0 - extent.y0, box.width, box.height)
        return np.asarray(file.read(1, window=window))

    found = region_sums(read, VALUES, grid, extent, regions, threads)
    return found.regions[:, :VALUES] / grid.resolution[0] ** 2


def exactextract(raster: str, shapes: np.ndarray, strategy: str) -> np.ndarray:
    """Sum by exactextract."""
    from exactextract import exact_extract

    features = [
        {"type": "Feature", "id": place, "properties": {}, "geometry": json.loads(shapely.to_geojson(shape))}
        for place, shape in enumerate(shapes)
    ]
    found = np.zeros((len(shapes), VALUES))
    for one in exact_extract(raster, features, ["unique", "frac", "count"], include_cols=["id"], strategy=strategy):
        told = one["properties"]
        shares = np.asarray(told["frac"], float) * told["count"]
        found[one.get("id", told.get("id")), np.asarray(told["unique"], int)] = shares
    return found


def rasterstats(raster: str, shapes: np.ndarray) -> np.ndarray:
    """Count by rasterstats."""
    import warnings

    from rasterstats import zonal_stats

    warnings.simplefilter("ignore")
    found = np.zeros((len(shapes), VALUES))
    for place, one in enumerate(zonal_stats(list(shapes), raster, categorical=True, nodata=NODATA)):
        for value, count in one.items():
            if value in range(VALUES):
                found[place, int(value)] = count
    return found


WAYS: dict[str, Callable[..., np.ndarray]] = {
    "sandan, 1 thread": lambda r, g, e, regions, s: sandan(r, g, e, regions, 1),
    "sandan, 2 threads": lambda r, g, e, regions, s: sandan(r, g, e, regions, 2),
    "exactextract, by feature": lambda r, g, e, regions, s: exactextract(r, s, "feature-sequential"),
    "exactextract, by raster": lambda r, g, e, regions, s: exactextract(r, s, "raster-sequential"),
    "rasterstats, centres": lambda r, g, e, regions, s: rasterstats(r, s),
}


def one_way(name: str, folder: Path, resolution: float) -> None:
    """Do it one way, and leave the sums and the seconds."""
    grid, extent = grid_of(resolution)
    regions = regions_on_map("regions", polygons(), grid, extent)
    _, shapes = regions.merged
    on_earth = shapely.transform(shapes, lambda p: np.stack(grid.pixels.xy(p[:, 1], p[:, 0]), axis=1))
    words = str(folder / "class.tif"), grid, extent, regions, on_earth
    if name.startswith("sandan"):  # compiled once for a machine, as everything is that Publish runs
        small = Box(extent.y0, extent.x0, extent.y0 + 8, extent.x0 + 8)
        region_sums(lambda box: np.zeros((box.height, box.width), np.uint8), VALUES, grid, small, regions)
    started = time.perf_counter()
    found = WAYS[name](*words)
    seconds = time.perf_counter() - started
    if name.startswith("sandan"):
        found = found[regions.merged[0]]
    np.save(folder / "sums.npy", found)
    (folder / "seconds.json").write_text(json.dumps(seconds))


def measure(name: str, folder: Path, resolution: float) -> dict[str, Any]:
    """Run one way in a process of its own."""
    words = [sys.executable, __file__, "--way", name, "--folder", str(folder), "--resolution", str(resolution)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    peak = wait_for(process)
    assert process.stderr is not None
    if process.returncode:
        return {"way": name, "note": process.stderr.read().strip().splitlines()[-1]}
    sums = np.load(folder / "sums.npy")
    seconds = json.loads((folder / "seconds.json").read_text())
    return {"way": name, "seconds": round(seconds, 2), "peak_memory_bytes": peak, "sums": sums}


def table(rows: list[dict[str, Any]], pixels: int) -> str:
    """Return what was measured; ratios and differences are to the first row."""
    lines = ["| way | seconds | million px/s | to sandan, 1 thread | peak memory, GB | largest difference of a sum |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        if "note" in row:
            lines.append(f"| {row['way']} | – | – | – | – | {row['note']} |")
            continue
        cells = (
            f"{row['seconds']:.1f}",
            f"{pixels / row['seconds'] / 1e6:.0f}",
            f"{row['ratio']:.2f}",
            f"{row['peak_memory_bytes'] / 1e9:.2f}",
            f"{row['difference']:.1e}",
        )
        lines.append(f"| {row['way']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure every way on one raster."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=float, default=30.0, help="metres")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        keep_memory()  # as every command does
        one_way(arguments.way, arguments.folder, arguments.resolution)
        return
    grid, extent = grid_of(arguments.resolution)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_raster(folder / "class.tif", grid, extent)
        rows = [measure(name, folder, arguments.resolution) for name in WAYS]
    first = rows[0]
    for row in rows:
        if "note" not in row:
            row["ratio"] = row["seconds"] / first["seconds"]
            total = first["sums"].sum(axis=1, keepdims=True)
            row["difference"] = float((np.abs(row["sums"] - first["sums"]) / np.maximum(total, 1)).max())
    for row in rows:
        row.pop("sums", None)
    facts = {"resolution_m": arguments.resolution, "height": extent.height, "width": extent.width}
    facts |= {"regions": len(polygons().names), "real": DISTRICTS.is_file(), "rows": rows}
    print(f"{extent.height} x {extent.width} px, {facts['regions']} regions")
    print(table(rows, extent.height * extent.width))
    Path(__file__).with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
