"""Published maps made of logits alone, without scenes and networks: what commands on finished maps open."""

import json
from pathlib import Path

import numpy as np

from cluster.storage import Storage
from jobs.map_config import PublishConfig
from jobs.published import switch
from jobs.rasters import FinishedRasters
from jobs.sheets import Written, write_rasters
from tiler.fuse import Fused
from tiler.grids import Box, MapGrid
from tiler.map_store import MapStore, create_map_store

GRID = MapGrid("EPSG:5179", (10.0, 10.0), (3.0, 7.0))
EXTENT = Box(-195_073, 100_010, -194_900, 100_333)


def rasters_of_map(
    store: MapStore, folder: Path, threshold: float = 0.5, tags: dict[str, str] | None = None
) -> Written:
    """Write every product of a map as one file into a folder, as Publish does; its run is the folder above."""
    finished = FinishedRasters.open(Storage(str(folder.parent)), "0123456789ab", folder)
    return write_rasters(store, finished, threshold, tags or {}, PublishConfig())


def publish_made(
    out: Path,
    logits: np.ndarray,
    grid: MapGrid = GRID,
    extent: Box = EXTENT,
    classes: tuple[str, ...] = ("industrial",),
    threshold: float = 0.5,
    name: str = "0123456789ab",
) -> Path:
    """Publish a map.

    Args:
        out: folder of the run.
        logits: float32 (class, y, x) of `extent`; NaN where nothing was seen.
        grid: the map grid.
        extent: absolute map pixels.
        classes: of the map.
        threshold: of the class.
        name: key of the map.
    """
    storage = Storage(str(out))
    url, cells = f"{out}/mosaic/{name}.zarr", list(grid.cells_of(extent))
    create_map_store(url, grid, cells, extent, classes)
    for cell in cells:
        box = grid.box_of(cell)
        whole = np.full((len(classes), box.height, box.width), np.nan, np.float32)
        inside = box.clip(extent)
        whole[(slice(None), *inside.shift(-box.y0, -box.x0).slices)] = logits[
            (slice(None), *inside.shift(-extent.y0, -extent.x0).slices)
        ]
        count = (~np.isnan(whole[0])).astype(np.uint16)
        MapStore(url).write(
            cell, Fused(whole, np.abs(whole) / 4, count, np.where(count, 19_700, -(2**31)).astype("i4"))
        )
    record = {
        "map": {"key": name, "crs": grid.crs, "resolution": list(grid.resolution), "classes": list(classes)},
        "config": {"out": str(out), "fuse": {"threshold": threshold}},
        "products": {"key": name},
    }
    storage.put("run.json", json.dumps(record).encode())
    switch(storage, name, {"files": {}, "numbers": {}})
    return out
