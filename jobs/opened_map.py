"""The published map of a run, opened by the run's file or by its folder alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cluster.storage import Storage
from jobs.products import class_of, probability_of
from jobs.published_runs import published
from tiler.classes import NO_CLASS, value_names
from tiler.grids import Box
from tiler.map_store import MapStore
from tiler.stores import CHUNK_PX


@dataclass(frozen=True)
class OpenedMap:
    """A finished map."""

    out: Storage
    """Folder of the run."""
    record: dict[str, Any]
    """`run.json`."""

    @property
    def name(self) -> str:
        """Key of its store."""
        return str(self.record["map"]["key"])

    @property
    def threshold(self) -> float:
        """Probability from which a pixel is of the class."""
        return float(self.record["config"]["fuse"]["threshold"])

    @cached_property
    def store(self) -> MapStore:
        """Its layers."""
        return MapStore(f"{self.out.url}/mosaic/{self.name}.zarr")

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the values of its class map."""
        return value_names(self.store.classes)

    def class_at(self, box: Box) -> np.ndarray:
        """Return the class of absolute map pixels, uint8 (y, x), 255 where nothing was seen."""
        return class_of(self.store.read("logit", box), self.threshold)

    def certainty_at(self, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """Return the class of absolute map pixels and its probability, uint8 and float32 (y, x)."""
        logits = self.store.read("logit", box)
        classes, probability = class_of(logits, self.threshold), probability_of(logits)
        if probability.ndim == 2:
            return classes, np.where(classes == 1, probability, 1 - probability)
        return classes, np.asarray(probability.max(axis=0))

    def at_points(self, rows: np.ndarray, cols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return `certainty_at` single absolute map pixels; what lies beyond the map nobody saw.

        Returns:
            uint8 (n,) and float32 (n,).
        """
        found, certainty = np.full(len(rows), NO_CLASS, np.uint8), np.full(len(rows), np.nan, np.float32)
        chunks, which = np.unique(np.stack([rows, cols]) // CHUNK_PX, axis=1, return_inverse=True)
        for place, (row, col) in enumerate((chunks.T * CHUNK_PX).tolist()):  # points of a chunk are read together
            box = Box(row, col, row + CHUNK_PX, col + CHUNK_PX).clip(self.store.extent)
            inside = (rows >= box.y0) & (rows < box.y1) & (cols >= box.x0) & (cols < box.x1) & (which == place)
            if inside.any():
                at = rows[inside] - box.y0, cols[inside] - box.x0
                found[inside], certainty[inside] = (layer[at] for layer in self.certainty_at(box))
        return found, certainty


def open_map(address: str, changes: Sequence[str] = ()) -> OpenedMap:
    """Open the published map of a run.

    Args:
        address: the run's YAML, or its folder: local, s3:// or gs://.
        changes: overrides of keys of the run, `a.b=value`.

    Raises:
        ValueError: no such run, nothing published, or its store is gone.
    """
    found = published(address, changes)
    opened, out = OpenedMap(found.storage, found.record), found.storage
    if not out.exists(f"mosaic/{opened.name}.zarr/zarr.json"):
        raise ValueError(f"{out.url}/mosaic/{opened.name}.zarr is gone, of which the map was made; run `sandan map`")
    return opened
