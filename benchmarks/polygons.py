"""How long, and in how much memory, from a class map to polygons, beside rasterio and geopandas on the whole raster?

    python benchmarks/polygons.py                   a map of 8,192 px a side
    python benchmarks/polygons.py --side 32768      10^9 pixels; the peer needs as many bytes and more

The map is smooth noise of which a tenth is of the class: sites of all sizes, also some that go on over many cells, with
holes. It is drawn as a map store, in cells of 2,048 px, and as the class raster (`class.tif`) of that.

    sandan   reads the store cell by cell: GeoParquet and FlatGeobuf with area on the ellipsoid, mean probability and
             spread, observations and dates of each site
    sandan continued
             the same, and since when each site is known, from the polygons of "sandan" as those of an earlier map
    peer     rasterio.features.shapes of the class raster in memory, geopandas.GeoDataFrame, its areas in the plane, to
             GeoParquet and FlatGeobuf; no other attribute

Both keep every corner and join pixels at corners (8). Count and area of all polygons must be equal. Needs geopandas for
the peer. Memory is the largest proportional set size of the process, sampled.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from mosaic import watched
from scipy import ndimage

from jobs.polygons import write_map_polygons
from jobs.polygons_config import PolygonsConfig
from jobs.products import LAYERS
from jobs.stages import prepare_worker
from tiler.classes import value_names
from tiler.cog import write_cog
from tiler.earlier_sites import EarlierSites
from tiler.fuse import Fused
from tiler.grids import CELL_PX, Box, Cell, MapGrid
from tiler.map_store import MapStore, create_map_store
from tiler.product_specs import specs_of

GRID = MapGrid("EPSG:5179", (10.0, 10.0))
FIRST = Cell(-92, 46)
"""In the middle of Korea."""
SHARE = 0.1
"""Of the pixels that are of the class."""
PATTERN_PX = 3001
"""Side of the noise that is laid over and over: no two cells are alike."""


def pattern(smooth_px: float) -> np.ndarray:
    """Return float32 logits (PATTERN_PX, PATTERN_PX) that go on over their edges, a tenth of them above 0."""
    noise = np.random.default_rng(7).normal(size=(PATTERN_PX, PATTERN_PX)).astype(np.float32)
    fine, coarse = (ndimage.gaussian_filter(noise, smooth_px * k, mode="wrap") for k in (1, 8))
    field = fine / fine.std() + coarse / coarse.std()
    return (field - np.quantile(field, 1 - SHARE)).astype(np.float32)


def prepare(folder: Path, side_px: int, smooth_px: float) -> None:
    """Write the map store and the class raster, unless they lie there already."""
    asked, done = [side_px, smooth_px], folder / "written.json"
    if done.is_file() and json.loads(done.read_text()) == asked:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    y0, x0 = FIRST.row * CELL_PX + 77, FIRST.col * CELL_PX + 1111
    extent = Box(y0, x0, y0 + side_px, x0 + side_px)
    create_map_store(str(folder / "map.zarr"), GRID, GRID.cells_of(extent), extent, ("industrial",))
    store, tile = MapStore(str(folder / "map.zarr")), pattern(smooth_px)
    for cell in GRID.cells_of(extent):
        box = GRID.box_of(cell)
        logit = np.full((1, CELL_PX, CELL_PX), np.nan, np.float32)
        inside = box.clip(extent)
        rows, cols = np.arange(inside.y0, inside.y1) % PATTERN_PX, np.arange(inside.x0, inside.x1) % PATTERN_PX
        part = (slice(None), *inside.shift(-box.y0, -box.x0).slices)
        logit[part] = tile[rows[:, None], cols]
        seen = ~np.isnan(logit[0])
        store.write(
            cell, Fused(logit, np.abs(logit), seen.astype(np.uint16), np.where(seen, 19_000, 0).astype(np.int32))
        )
    grid = store.grid.grid_of(extent)
    write_cog(
        folder / "class.tif",
        specs_of(store.classes)["class"],
        height=grid.height,
        width=grid.width,
        crs=grid.crs,
        transform=grid.affine,
        blocks=((b.y0 - extent.y0, b.x0 - extent.x0, LAYERS["class"](store, b, 0.5)) for b in MapGrid.parts_of(extent)),
        threads=os.cpu_count() or 1,
    )
    done.write_text(json.dumps(asked))


def sandan(folder: Path, config: PolygonsConfig, out: str = "polygons", earlier: str = "") -> dict[str, Any]:
    """Write polygons from the map store; with `earlier`, going on from those in that folder."""
    import pyarrow.parquet as pq

    started, store = time.monotonic(), MapStore(str(folder / "map.zarr"))
    (folder / out).mkdir(exist_ok=True)

    def opened(scratch: Path) -> EarlierSites | None:
        file = folder / earlier / "polygons.fgb"
        return EarlierSites(file, value_names(store.classes), store.grid, scratch) if earlier else None

    files = write_map_polygons(store, folder / out, config, 0.5, None, opened)
    seconds = time.monotonic() - started
    table = pq.read_table(files["geoparquet"], columns=["pixels", "area_m2", "first_seen"])
    assert table["first_seen"].null_count == 0
    pixels = int(np.sum(table["pixels"].to_numpy()))
    return {"seconds": seconds, "polygons": len(table), "pixels": pixels, "area_m2": pixels * 100.0}


def peer(folder: Path) -> dict[str, Any]:
    """Write polygons of the whole raster."""
    import geopandas
    from rasterio.features import shapes
    from shapely.geometry import shape

    started = time.monotonic()
    with rasterio.open(folder / "class.tif") as raster:
        kind, place, crs = raster.read(1), raster.transform, raster.crs
    found = [shape(one) for one, _ in shapes(kind, mask=kind == 1, connectivity=8, transform=place)]
    frame = geopandas.GeoDataFrame({"class_value": np.ones(len(found), np.int16)}, geometry=found, crs=crs)
    frame["area_m2"] = frame.area
    frame.to_parquet(folder / "peer.parquet", compression="zstd", write_covering_bbox=True)
    frame.to_file(folder / "peer.fgb", driver="FlatGeobuf")
    seconds = time.monotonic() - started
    return {"seconds": seconds, "polygons": len(frame), "area_m2": float(frame["area_m2"].sum())}


CONTENDERS = ("sandan", "sandan continued", "sandan simplified", "peer")


def main() -> None:
    """Run everybody, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=8192, help="of the map, pixels")
    parser.add_argument("--smooth", type=float, default=4.0, help="of the noise, pixels: larger sites, and fewer")
    parser.add_argument("--contenders", nargs="+", default=CONTENDERS, choices=CONTENDERS)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark-polygons"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help="keep what was drawn (with polygons)")
    arguments = parser.parse_args()
    folder = arguments.out.resolve()
    if arguments.one:
        simple = PolygonsConfig(simplify_px=1, min_area_m2=5000, min_hole_m2=5000)
        prepare_worker()  # as the command does
        told = {
            "sandan": lambda: sandan(folder, PolygonsConfig()),
            "sandan continued": lambda: sandan(folder, PolygonsConfig(), "continued", "polygons"),
            "sandan simplified": lambda: sandan(folder, simple, "simplified"),
            "peer": lambda: peer(folder),
        }[arguments.one]()
        print(json.dumps(told))
        return
    prepare(folder, arguments.side, arguments.smooth)
    found = {}
    for name in arguments.contenders:
        same = ["--side", str(arguments.side), "--out", str(folder), "--one", name]
        found[name] = watched([sys.executable, __file__, *same])
        print(name, {k: round(v, 2) if isinstance(v, float) else v for k, v in found[name].items()}, flush=True)
    report(arguments, found)
    if not arguments.keep:
        shutil.rmtree(folder)


def report(arguments: argparse.Namespace, found: dict[str, dict[str, Any]]) -> None:
    """Print the table, and write the JSON."""
    pixels = arguments.side**2
    print(f"\n{pixels:,} pixels, {os.cpu_count()} cores\n\n| | polygons | s | ns a pixel | peak memory, GB |")
    print("| --- | --- | --- | --- | --- |")
    for name, one in found.items():
        row = f"{one['polygons']} | {one['seconds']:.1f} | {one['seconds'] / pixels * 1e9:.0f}"
        print(f"| {name} | {row} | {one['peak_bytes'] / 1e9:.2f} |")
    facts: dict[str, Any] = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "cores": os.cpu_count()}
    if {"sandan", "peer"} <= set(found):
        ours, theirs = found["sandan"], found["peer"]
        assert ours["polygons"] == theirs["polygons"], "not the polygons of the whole raster"
        assert abs(ours["area_m2"] - theirs["area_m2"]) < 1, "not their area"
        facts |= {key: ours[key] / theirs[key] for key in ("seconds", "peak_bytes")}
        print(f"\nsandan to peer: time {facts['seconds']:.2f}, memory {facts['peak_bytes']:.2f}")
    file = Path(__file__).with_suffix(".json")
    runs = json.loads(file.read_text()) if file.is_file() else {}
    runs[f"{arguments.side} px, smooth {arguments.smooth:g}"] = {**facts, "rows": found}
    file.write_text(json.dumps(runs, indent=1) + "\n")


if __name__ == "__main__":
    main()
