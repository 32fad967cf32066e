"""Frames of a series as rows of a table: names that say when each was taken, pixels read when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tiler.frame_store import FrameStore
from tiler.sensors import Sensor


def named_frames(series: str, times: np.ndarray) -> list[str]:
    """Return the names of frames: `SERIES/2019-10-08T03:00:00`, of their nominal times (datetime64)."""
    return [f"{series}/{time}" for time in times.astype("datetime64[s]").astype(str).tolist()]


def frame_names(store: FrameStore) -> list[str]:
    """Return the names of all frames of a store, in order."""
    return named_frames(store.series, store.times)


class FrameRows:
    """The frames of a store, one row each, in order of time; read as a `TileStore` is.

    A pixel of a row is valid where every band has a value.
    """

    class_names: tuple[str, ...] = ()

    def __init__(self, store: FrameStore, facts: Mapping[str, np.ndarray]) -> None:
        """Take a store with what is known of its frames.

        Args:
            store: of the frames.
            facts: name to an array whose first axis is the row, see `TileStore.facts`.
        """
        self._store, self._facts = store, dict(facts)
        self.sensor = sensor_of(store)
        times = store.times.astype(str).tolist()
        self.tiles: list[dict[str, str]] = [
            {"id": name, "label": "", "split": "", "date": time, "source": store.series}
            for name, time in zip(frame_names(store), times, strict=True)
        ]

    @property
    def offered(self) -> tuple[str, ...]:
        """The bands."""
        return self._store.bands

    def facts(self, name: str) -> np.ndarray:
        """Return one fact of every frame."""
        return self._facts[name]

    def read(self, name: str, row: int) -> np.ndarray:
        """Read `image` or `valid` of a frame."""
        images, valid = self._store.take([row])
        return images[0] if name == "image" else valid[0].all(axis=0)

    def network_input(self, row: int, channels: Sequence[str] | None = None) -> np.ndarray:
        """Return what networks see of a frame, float32 (channel, y, x): the band's mean where it has no value."""
        bands = [self._store.bands.index(name) for name in channels or self._store.bands]
        images, valid = (array[0, bands] for array in self._store.take([row]))
        counts = np.maximum(valid.sum(axis=(1, 2)), 1)
        means = np.where(valid, images, 0).sum(axis=(1, 2), dtype=np.float64) / counts
        return np.where(valid, images, means[:, None, None]).astype(np.float32)


def sensor_of(store: FrameStore) -> Sensor:
    """Return what the numbers of a series mean: its bands, between the least and the largest value of any band."""
    return Sensor(
        name=store.sensor,
        bands=store.bands,
        valid_min=float(store.offset.min()),
        valid_max=float((store.offset + store.scale).max()),
        resolution_m=1.0,
    )
