"""The map store: fused logits and what goes with them on the map grid; a cell is a shard, written once."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tiler.disk_pipeline import read_rectangle
from tiler.fuse import NO_DATE, Fused
from tiler.grids import CELL_PX, Box, Cell, MapGrid
from tiler.stores import (
    CHUNK_PX,
    add_array,
    add_georeference,
    array_of,
    attributes_of,
    finish_group,
    new_group,
    open_group,
    write_shard,
)

LAYERS = ("logit", "spread", "count", "latest")
"""The arrays of every map store."""
DOUBTS = ("probability", "entropy", "disagreement")
"""Those that a map with uncertainty has, too."""


def create_map_store(
    url: str, grid: MapGrid, cells: Iterable[Cell], extent: Box, classes: tuple[str, ...], uncertainty: bool = False
) -> None:
    """Make the empty map store of a run: the rectangle of cells that holds all of `cells`, no data anywhere.

    Args:
        url: where.
        grid: the map grid.
        cells: the cells that scenes touch.
        extent: the absolute map pixels that scenes touch: what Publish cuts out.
        classes: names of the classes.
        uncertainty: whether it holds `DOUBTS`, too.
    """
    places = np.fromiter(((c.row, c.col) for c in cells), np.dtype((np.int64, 2)))
    (top, left), (rows, cols) = places.min(axis=0).tolist(), (np.ptp(places, axis=0) + 1).tolist()
    box = Box(top * CELL_PX, left * CELL_PX, (top + rows) * CELL_PX, (left + cols) * CELL_PX)
    group = new_group(url)
    attributes = add_georeference(group, grid.grid_of(box))
    plane, k = (box.height, box.width), len(classes)
    forms: dict[str, tuple[tuple[int, ...], str, float]] = {
        "logit": ((k,), "float32", float("nan")),
        "spread": ((k,), "float32", float("nan")),
        "count": ((), "uint16", 0),
        "latest": ((), "int32", int(NO_DATE)),
        "probability": ((k,), "float32", float("nan")),
        "entropy": ((), "float32", float("nan")),
        "disagreement": ((k,), "float32", float("nan")),
    }
    names = (*LAYERS, *DOUBTS) if uncertainty else LAYERS
    for name in names:
        lead, dtype, fill = forms[name]
        dims = ("class", "y", "x") if lead else ("y", "x")
        extra = {"long_name": "days since 1970-01-01 of the latest scene"} if name == "latest" else {}
        chunks, shards = (*lead, CHUNK_PX, CHUNK_PX), (*lead, CELL_PX, CELL_PX)
        add_array(group, name, dims, (*lead, *plane), chunks, shards, dtype, fill, {**attributes, **extra})
    facts = {
        "crs": grid.crs,
        "resolution": list(grid.resolution),
        "phase": list(grid.phase),
        "first_cell": [top, left],
        "extent": [extent.y0, extent.x0, extent.y1, extent.x1],
        "class_names": list(classes),
    }
    finish_group(group, facts | ({"uncertainty": True} if uncertainty else {}))


class MapStore:
    """A map store opened for filling and reading."""

    def __init__(self, url: str) -> None:
        self.group = open_group(url)
        self.name = url.rstrip("/").rpartition("/")[2].removesuffix(".zarr")
        """Of the map."""
        attrs = attributes_of(self.group)
        self.classes: tuple[str, ...] = tuple(attrs["class_names"])
        self.grid = MapGrid(str(attrs["crs"]), tuple(attrs["resolution"]), tuple(attrs["phase"]))
        self.extent = Box(*attrs["extent"])
        self.uncertainty = bool(attrs.get("uncertainty", False))
        """Whether there are the layers `DOUBTS`."""
        first_row, first_col = attrs["first_cell"]
        self.origin = int(first_row) * CELL_PX, int(first_col) * CELL_PX
        """Absolute map pixel `(row, col)` of the arrays' first pixel."""

    @property
    def layers(self) -> tuple[str, ...]:
        """The arrays."""
        return (*LAYERS, *DOUBTS) if self.uncertainty else LAYERS

    def _slices(self, box: Box) -> tuple[slice, slice]:
        return box.shift(-self.origin[0], -self.origin[1]).slices

    def write(self, cell: Cell, fused: Fused) -> int:
        """Write one cell: one whole shard of each array. Return bytes before compression."""
        rows, cols = self._slices(self.grid.box_of(cell))
        written = {name: fused.layers[name] for name in self.layers}
        for name, layer in written.items():
            place = (*(slice(None),) * (layer.ndim - 2), rows, cols)
            write_shard(array_of(self.group, name), place, layer, past_cache=True)
        return sum(layer.nbytes for layer in written.values())

    def read(self, name: str, box: Box) -> np.ndarray:
        """Read absolute map pixels of one of `layers`: (class, y, x), or (y, x) of count, latest and entropy."""
        rows, cols = self._slices(box)
        array = array_of(self.group, name)
        return read_rectangle(array, (*(slice(None),) * (array.ndim - 2), rows, cols))


def cell_keys(store: MapStore, cell: Cell) -> list[str]:
    """Return the keys of what `MapStore.write` writes of a cell, a file or an object for each of its layers.

    A layer of fill values has none.
    """
    row, col = cell.row - store.origin[0] // CELL_PX, cell.col - store.origin[1] // CELL_PX
    arrays = [array_of(store.group, name) for name in store.layers]
    return [f"{a.path}/{a.metadata.encode_chunk_key((*(0,) * (a.ndim - 2), row, col))}" for a in arrays]
