"""How long from window logits to a national raster, beside GDAL's own tools, which do less?

    python benchmarks/mosaic.py                    two scenes of 8,192 px a side: minutes
    python benchmarks/mosaic.py --side 22400       10^9 pixels of logits: twenty minutes, and 35 GB of disk

Two scenes in two UTM zones, drawn as window logits (512 px every 448, float16, logit and spread), so that no network is
needed; to EPSG:5179 at 10 m. `--apart` sets how far they lie apart: at 1 they touch, at 0.5 they share half.

    sandan mosaic   blend the windows of each scene, warp logit, spread and validity, fuse the scenes; a zarr of four
                    layers (logit, spread, count, latest)
    sandan cog      from that zarr the probability, as a Cloud-Optimized GeoTIFF with overviews
    sandan publish  all products and the map's numbers instead of the probability alone
    gdalwarp        both scenes, blended already and as uncompressed GeoTIFFs of one layer, to one GeoTIFF: bilinear,
                    all cores (`-multi -wo NUM_THREADS=ALL_CPUS`); where scenes overlap the last one wins
    gdal_translate  that to a COG, all cores, the same compression and overviews

Contenders take turns for `--rounds`; the table has the medians of their seconds, and their largest memory. Those
that are not asked for stay in the JSON as they were. Before each, what the one before left in memory is written to the
disk. Whoever begins has the slowest round on a virtual machine whose memory is new to it: copying into it takes longer.

Needs the command line tools of GDAL (package gdal-bin) for the peer. Memory is the largest proportional set size of the
process and its children, sampled.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
from peak_memory import wait_for
from rasterio.windows import Window

from cluster.engine import Done, Resources, open_engine
from cluster.storage import Storage
from jobs.cells import CellTask
from jobs.map_config import PublishConfig
from jobs.products import map_numbers, write_product
from jobs.rasters import FinishedRasters
from jobs.sheets import write_rasters
from jobs.stages import Mosaic, prepare_worker
from tiler.grids import MapGrid, PixelGrid, footprint
from tiler.lattice import Lattice
from tiler.logit_store import LogitStore, create_logit_store, window_shards
from tiler.map_store import MapStore, create_map_store
from tiler.scene_store import create_scene_store
from tiler.scenes import Scene
from tiler.sensors import SENSORS
from tiler.shards import shard_box, shards_of
from tiler.stores import array_of, open_group

CLASSES = ("industrial",)
MAP = MapGrid("EPSG:5179", (10.0, 10.0))
CENTRE = (126.0, 36.5)
"""Longitude and latitude between the scenes: the border of UTM zones 51 and 52."""


def scenes_of(side_px: int, apart: float) -> list[Scene]:
    """Return two scenes beside the border of two zones."""
    found = []
    for number, (zone, sign) in enumerate((("EPSG:32651", -1), ("EPSG:32652", 1))):
        x, y = pyproj.Transformer.from_crs("EPSG:4326", zone, always_xy=True).transform(*CENTRE)
        left = round(x / 10) * 10 + sign * apart * side_px * 5 - side_px * 5
        transform = (10.0, 0.0, left, 0.0, -10.0, round(y / 10) * 10 + side_px * 5.0)
        grid = PixelGrid(zone, transform, side_px, side_px)
        when = datetime(2024, 5, 20 + number, tzinfo=UTC)
        found.append(Scene(f"s{number}", when, SENSORS["SN10"], grid, "uint16", (), f"{number}", 0))
    return found


def field(grid: PixelGrid, seed: int) -> np.ndarray:
    """Return float16 (2, 1024, 1024): a pattern of logits and spreads that is laid over and over."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:1024, 0:1024] * (2 * np.pi / 1024)
    logit = 4 * np.sin(5 * x + seed) * np.cos(3 * y) + random.normal(scale=0.4, size=x.shape)
    return np.stack([logit, np.abs(random.normal(scale=0.5, size=x.shape))]).astype(np.float16)


def write_scene(scene: Scene, folder: Path) -> None:
    """Write a scene's validity and logits for Sandan, and its blended logit for GDAL."""
    store, logits = str(folder / f"{scene.id}.zarr"), str(folder / f"{scene.id}-logits.zarr")
    create_scene_store(store, scene, labelled=False)
    valid = array_of(open_group(store), "valid")
    for shard in shards_of(scene.id, scene.grid):
        valid[shard_box(shard, scene.grid).slices] = True
    lattice, pattern = Lattice(scene.grid.height, scene.grid.width), field(scene.grid, int(scene.fingerprint))
    create_logit_store(logits, scene.id, lattice, CLASSES, None)
    target = LogitStore(logits)
    for part in window_shards(scene.id, lattice):
        places = target.windows_of(part)
        boxes = [lattice.window(*place) for place in places]
        rows = [np.arange(b.y0, b.y1) % 1024 for b in boxes]
        cols = [np.arange(b.x0, b.x1) % 1024 for b in boxes]
        target.write(part, places, np.stack([pattern[:, r[:, None], c] for r, c in zip(rows, cols, strict=True)]))
    profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "nodata": float("nan"), "tiled": True}
    profile |= {"height": scene.grid.height, "width": scene.grid.width, "blockxsize": 512, "blockysize": 512}
    profile |= {"crs": scene.grid.crs, "transform": scene.grid.affine, "bigtiff": "IF_SAFER"}
    with rasterio.open(folder / f"{scene.id}.tif", "w", **profile) as file:
        for y in range(0, scene.grid.height, 1024):
            for x in range(0, scene.grid.width, 1024):
                height, width = min(1024, scene.grid.height - y), min(1024, scene.grid.width - x)
                file.write(pattern[0, :height, :width].astype(np.float32), 1, window=Window(x, y, width, height))


def prepare(folder: Path, side_px: int, apart: float) -> list[Scene]:
    """Write both scenes, unless they lie there already."""
    scenes, done = scenes_of(side_px, apart), folder / "written.json"
    asked = [side_px, apart]
    if not done.is_file() or json.loads(done.read_text()) != asked:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for scene in scenes:
            write_scene(scene, folder)
        done.write_text(json.dumps(asked))
    return scenes


def sandan_mosaic(folder: Path, scenes: list[Scene], kind: str) -> dict[str, Any]:
    """Make the map store; the time is from the first cell's beginning to the last one's end."""
    url = str(folder / "map.zarr")
    shutil.rmtree(url, ignore_errors=True)
    touching: dict[Any, list[str]] = {}
    boxes = []
    for scene in scenes:
        box, cells = footprint(scene.grid, MAP)
        boxes.append(box)
        for cell in cells:
            touching.setdefault(cell, []).append(scene.id)
    y0, x0 = min(b.y0 for b in boxes), min(b.x0 for b in boxes)
    extent = type(boxes[0])(y0, x0, max(b.y1 for b in boxes), max(b.x1 for b in boxes))
    create_map_store(url, MAP, sorted(touching), extent, CLASSES)
    stage = Mosaic({s.id: (f"{folder}/{s.id}.zarr", f"{folder}/{s.id}-logits.zarr") for s in scenes}, url)
    tasks = [CellTask("map", cell, tuple(names)) for cell, names in sorted(touching.items())]
    cores = os.cpu_count() or 1
    with open_engine(kind, Resources(workers=cores, threads_per_worker=1, concurrency=2)) as engine:
        engine.facts()  # starts Ray
        started = time.monotonic()
        results = list(engine.run(stage, tasks))
        seconds = time.monotonic() - started
    records = [r.record for r in results if isinstance(r, Done)]
    assert len(records) == len(tasks), next(r for r in results if not isinstance(r, Done))
    steps = {k: sum(r.get(k, 0.0) for r in records) for k in ("blend_s", "warp_s", "fuse_s", "write_s")}
    peak = max(r["peak_memory_bytes"] for r in records)
    seen = sum(r["seen_px"] for r in records)
    return {"seconds": seconds, "cells": len(tasks), "seen_px": seen, "worker_peak_bytes": peak, **steps}


def sandan_cog(folder: Path) -> dict[str, Any]:
    """Write the probability alone."""
    store, started = MapStore(str(folder / "map.zarr")), time.monotonic()
    path, threads = folder / "probability.tif", os.cpu_count() or 1
    write_product(store, "probability", store.extent, path, 0.5, {}, threads)
    return {"seconds": time.monotonic() - started, "bytes": path.stat().st_size}


def sandan_publish(folder: Path) -> dict[str, Any]:
    """Write all products and count."""
    store, started = MapStore(str(folder / "map.zarr")), time.monotonic()
    finished = FinishedRasters.open(Storage(str(folder)), str(time.time_ns()), folder / "products")  # none is finished
    write_rasters(store, finished, 0.5, {}, PublishConfig(), os.cpu_count() or 1)
    numbers = asdict(map_numbers(store, 0.5))
    return {"seconds": time.monotonic() - started, "seen_px": numbers["seen_px"]}


def gdal(folder: Path, scenes: list[Scene], words: list[str], out: str) -> dict[str, Any]:
    """Run one of GDAL's tools."""
    (folder / out).unlink(missing_ok=True)
    started = time.monotonic()
    subprocess.run([*words, out], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return {"seconds": time.monotonic() - started, "bytes": (folder / out).stat().st_size}


def run_one(name: str, folder: Path, scenes: list[Scene], kind: str) -> dict[str, Any]:
    """Run one contender."""
    cache = ["--config", "GDAL_CACHEMAX", "512"]
    warp = ["gdalwarp", "-q", "-multi", "-wo", "NUM_THREADS=ALL_CPUS", "-wm", "512", *cache, "-r", "bilinear"]
    warp += ["-t_srs", "EPSG:5179", "-tr", "10", "10", "-tap", "-co", "TILED=YES", "-co", "BIGTIFF=IF_SAFER"]
    cog = ["gdal_translate", "-q", *cache, "-of", "COG", "-co", "COMPRESS=DEFLATE", "-co", "LEVEL=1"]
    cog += [
        "-co",
        "PREDICTOR=YES",
        "-co",
        "NUM_THREADS=ALL_CPUS",
        "-co",
        "RESAMPLING=AVERAGE",
        "-co",
        "BIGTIFF=IF_SAFER",
    ]
    if name == "sandan mosaic":
        return sandan_mosaic(folder, scenes, kind)
    if name == "sandan cog":
        return sandan_cog(folder)
    if name == "sandan publish":
        return sandan_publish(folder)
    if name == "gdalwarp":
        return gdal(folder, scenes, [*warp, *(f"{s.id}.tif" for s in scenes)], "warped.tif")
    return gdal(folder, scenes, [*cog, "warped.tif"], "peer.tif")


OURS, PEER = ("sandan mosaic", "sandan cog"), ("gdalwarp", "gdal_translate")
CONTENDERS = (*OURS, "sandan publish", *PEER)


def watched(words: list[str]) -> dict[str, Any]:
    """Run this script for one contender; add its peak memory."""
    os.sync()  # what the one before it left unwritten is not for this one to wait for
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    peak = wait_for(process)
    if process.returncode:
        raise SystemExit(f"{words} ended with {process.returncode}")
    assert process.stdout is not None
    return {**json.loads(process.stdout.read().strip().splitlines()[-1]), "peak_bytes": peak}


def main() -> None:
    """Run everybody, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=8192, help="of each scene, pixels")
    parser.add_argument("--apart", type=float, default=1.0)
    parser.add_argument("--engine", choices=("serial", "ray"), default="serial")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contenders", nargs="+", default=CONTENDERS, choices=CONTENDERS)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark-mosaic"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = arguments.out.resolve()
    if arguments.one:
        scenes = scenes_of(arguments.side, arguments.apart)
        prepare_worker()  # as the command does
        print(json.dumps(run_one(arguments.one, folder, scenes, arguments.engine)))
        return
    prepare(folder, arguments.side, arguments.apart)
    same = ["--side", str(arguments.side), "--apart", str(arguments.apart), "--engine", arguments.engine]
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in arguments.contenders}
    for _ in range(arguments.rounds):
        for name, found in rounds.items():
            words = [sys.executable, __file__, *same, "--out", str(folder), "--one", name]
            found.append(watched(words))
            row = {k: round(v, 2) if isinstance(v, float) else v for k, v in found[-1].items()}
            print(name, row, flush=True)
    print_table(arguments, rounds)


def ratio(rounds: dict[str, list[dict[str, Any]]], at: int) -> float:
    """Return the seconds of Mosaic and COG in one round to those of GDAL's tools."""
    ours, peer = (sum(rounds[name][at]["seconds"] for name in names) for names in (OURS, PEER))
    return float(ours / peer)


def print_table(arguments: argparse.Namespace, rounds: dict[str, list[dict[str, Any]]]) -> None:
    """Print medians, and write the JSON with all rounds."""
    pixels = 2 * arguments.side**2
    print(f"\n{pixels:,} pixels of logits, scenes apart {arguments.apart:g} of their side, {os.cpu_count()} cores\n")
    print("| | s (all rounds) | ns a pixel | peak memory, GB |\n| --- | --- | --- | --- |")
    for name, found in rounds.items():
        seconds = [one["seconds"] for one in found]
        middle = statistics.median(seconds)
        peak = max(one["peak_bytes"] for one in found)
        turns = ", ".join(f"{s:.1f}" for s in seconds)
        print(f"| {name} | {middle:.1f} ({turns}) | {middle / pixels * 1e9:.0f} | {peak / 1e9:.2f} |")
    if {*OURS, *PEER} <= rounds.keys():
        ratios = [ratio(rounds, at) for at in range(arguments.rounds)]
        each = ", ".join(f"{one:.2f}" for one in ratios)
        print(f"\nmosaic + cog to gdalwarp + gdal_translate: {statistics.median(ratios):.2f} ({each})")
        file = Path(__file__).with_suffix(".json")
        runs = json.loads(file.read_text()) if file.is_file() else {}
        key = f"{arguments.side} px, apart {arguments.apart:g}, {arguments.engine}"
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rows = {**runs.get(key, {}).get("rounds", {}), **rounds}
        runs[key] = {"date": now, "cores": os.cpu_count(), "ratios": ratios, "rounds": rows}
        file.write_text(json.dumps(runs, indent=1))


if __name__ == "__main__":
    main()
