"""Dask's threads against dask on Ray, for somebody's own graph over a map: area and mean spread by squares of 640 m.

    python benchmarks/dask_on_ray.py       a minute: a map of 3 x 2 cells of 2048 px, chunks as stored, larger, by cells

The map store is a real one (random values); it is opened by `tiler.stores.open_dataset`, as notebooks do. Both
schedulers compute the same graph on as many CPUs; what they compute is compared. Ray is started before the clock, and
warm: a graph of a few tasks goes before.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import dask
import numpy as np
import xarray as xr

from cluster.connect import connect, disconnect
from tiler.fuse import Fused
from tiler.grids import CELL_PX, Box, Cell, MapGrid
from tiler.map_store import MapStore, create_map_store
from tiler.stores import open_dataset

SQUARE_PX = 64


def make_map(url: str, rows: int, cols: int) -> None:
    """Write a map store of cells with smooth random values, of one class."""
    grid = MapGrid("EPSG:5179", (10.0, 10.0))
    cells = [Cell(95 + row, 46 + col) for row in range(rows) for col in range(cols)]
    extent = Box(95 * CELL_PX, 46 * CELL_PX, (95 + rows) * CELL_PX, (46 + cols) * CELL_PX)
    create_map_store(url, grid, cells, extent, ("industrial",))
    for number, cell in enumerate(cells):
        random = np.random.default_rng(number)
        coarse = random.normal(0, 2, (CELL_PX // 16, CELL_PX // 16))
        logit = np.kron(coarse, np.ones((16, 16))).astype(np.float32)[None]
        plain = np.ones(logit.shape[1:])
        MapStore(url).write(cell, Fused(logit, np.abs(logit) / 7, plain.astype(np.uint16), plain.astype(np.int32)))


def graph_of(url: str, chunk_px: int | None) -> tuple[xr.DataArray, xr.DataArray, int]:
    """Return area (m2) and mean spread by squares, not yet computed, and the number of tasks."""
    data = open_dataset(url)
    data = data if chunk_px is None else data.chunk({"y": chunk_px, "x": chunk_px})
    probability = 1 / (1 + np.exp(-data["logit"]))
    industrial = probability >= 0.5
    square: Any = {"y": SQUARE_PX, "x": SQUARE_PX}
    area = (industrial * 100.0).coarsen(square).sum()
    count = industrial.coarsen(square).sum()
    # not a mean without missing values, which warns of squares that have no industry, on threads of dask
    spread = data["spread"].where(industrial, 0).coarsen(square).sum() / count.where(count > 0)
    return area, spread, len(dict(area.__dask_graph__())) + len(dict(spread.__dask_graph__()))


def seconds_of(url: str, chunk_px: int | None, rounds: int, **how: Any) -> tuple[float, tuple[float, float]]:
    """Return the median time of computing the graph, and what came out."""
    found, times = (0.0, 0.0), []
    for _ in range(rounds):
        area, spread, _ = graph_of(url, chunk_px)
        began = time.monotonic()
        area, spread = dask.compute(area, spread, **how)
        times.append(time.monotonic() - began)
        found = float(area.sum()), float(spread.mean())
    return median(times), found


def measure(url: str, chunk_px: int | None, rounds: int, cpus: int, ray_get: Callable) -> dict[str, Any]:
    """Measure one chunking in turns."""
    threads_s, by_threads = seconds_of(url, chunk_px, rounds, scheduler="threads", num_workers=cpus)
    ray_s, by_ray = seconds_of(url, chunk_px, rounds, scheduler=ray_get)
    if not np.allclose(by_threads, by_ray):
        raise SystemExit(f"threads found {by_threads}, Ray {by_ray}")
    tasks = graph_of(url, chunk_px)[2]
    return {"chunks": chunk_px or "as stored", "tasks": tasks, "threads_s": threads_s, "ray_s": ray_s}


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows for people."""
    head = "| chunks, px | tasks | threads, s | dask on Ray, s | ratio | more for each task, ms |"
    lines = [
        f"| {r['chunks']} | {r['tasks']} | {r['threads_s']:.2f} | {r['ray_s']:.2f} | {r['ray_s'] / r['threads_s']:.1f} "
        f"| {1000 * (r['ray_s'] - r['threads_s']) / r['tasks']:.1f} |"
        for r in rows
    ]
    return "\n".join([head, "| --- " * 6 + "|", *lines])


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cells", type=int, nargs=2, default=(3, 2), metavar=("ROWS", "COLUMNS"))
    arguments = parser.parse_args()
    cpus = os.cpu_count() or 1
    connect(cpus=cpus)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray.util.dask import ray_dask_get
    with tempfile.TemporaryDirectory() as folder:
        url = f"{folder}/map.zarr"
        make_map(url, *arguments.cells)
        dask.compute(*[dask.delayed(abs)(-n) for n in range(2 * cpus)], scheduler=ray_dask_get)
        rows = [measure(url, chunk_px, arguments.rounds, cpus, ray_dask_get) for chunk_px in (None, 1024, CELL_PX)]
    disconnect()
    print(table(rows))
    found = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": cpus,
        "cells": arguments.cells,
        "rows": rows,
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
