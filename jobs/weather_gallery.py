"""The frames that a weather evaluation retrieves: those of one or more frame stores, in the order of their times."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from models.image_distance import shrunk, unit_images
from tiler.frame_store import FrameStore

BLOCK_FRAMES = 128
"""Frames that are in memory at a time."""


@dataclass(frozen=True)
class Gallery:
    """Frames by their place: rising by time, and of one time by the order of the stores. The place breaks ties."""

    urls: tuple[str, ...]
    """Frame stores."""
    series: np.ndarray
    """Which store a frame is of, int64 (n,)."""
    frames: np.ndarray
    """Which frame of it, int64 (n,)."""
    times: np.ndarray
    """datetime64[s] (n,)."""

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, places: np.ndarray) -> Gallery:
        """Return some of the frames, by bool or rising places."""
        return Gallery(self.urls, self.series[places], self.frames[places], self.times[places])

    @cached_property
    def stores(self) -> tuple[FrameStore, ...]:
        """The stores, opened."""
        return tuple(FrameStore(url) for url in self.urls)

    @cached_property
    def digest(self) -> str:
        """What identifies the frames and their content."""
        text = hashlib.sha256(repr([store.digest for store in self.stores]).encode())
        for numbers in (self.series, self.frames):
            text.update(numbers.astype("<i8").tobytes())
        return text.hexdigest()

    def images(self, places: np.ndarray, side_px: int | None = None) -> np.ndarray:
        """Return un-normalised images in [0, 1], float32 (n, C, h, w), of rising places, reduced to `side_px`."""
        out: np.ndarray | None = None
        for index in np.unique(self.series[places]).tolist():
            here, store = np.flatnonzero(self.series[places] == index), self.stores[index]
            pixels, valid = store.take(self.frames[places][here])
            images = unit_images(pixels, valid, store.offset, store.scale)
            part = shrunk(torch.from_numpy(images), side_px).numpy()
            if out is None:
                out = np.empty((len(places), *part.shape[1:]), np.float32)
            out[here] = part
        return np.empty((0, 0, 0, 0), np.float32) if out is None else out

    def blocks(self, side_px: int | None = None) -> Iterator[np.ndarray]:
        """Yield the images of all frames, block after block."""
        for start in range(0, len(self), BLOCK_FRAMES):
            yield self.images(np.arange(start, min(start + BLOCK_FRAMES, len(self))), side_px)

    def to_bytes(self) -> bytes:
        """Return a file that `read_gallery` reads."""
        buffer = io.BytesIO()
        arrays = {"urls": np.array(self.urls), "series": self.series, "frames": self.frames, "times": self.times}
        np.savez(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()


def read_gallery(data: bytes) -> Gallery:
    """Return the gallery of a file's bytes."""
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        return Gallery(tuple(found["urls"].tolist()), found["series"], found["frames"], found["times"])


def gallery_of(urls: Sequence[str]) -> Gallery:
    """Return all frames of some stores.

    Raises:
        ValueError: the stores' frames have different shapes or bands.
    """
    stores = [FrameStore(url) for url in urls]
    shapes = {store.series: (store.bands, store.height_px, store.width_px) for store in stores}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"frames of one gallery have the same bands and size, found {shapes}; ingest them alike")
    series = np.repeat(np.arange(len(stores)), [len(store) for store in stores])
    frames = np.concatenate([np.arange(len(store)) for store in stores])
    times = np.concatenate([store.times for store in stores])
    order = np.lexsort((series, times))
    return Gallery(tuple(urls), series[order], frames[order], times[order])


def same_instants(gallery: Gallery, other: Gallery) -> np.ndarray:
    """Return which frame of another gallery has the time of each frame of this one, int64 (n,), -1 for none."""
    places = {time: place for place, time in reversed(list(enumerate(other.times.astype(np.int64).tolist())))}
    return np.array([places.get(time, -1) for time in gallery.times.astype(np.int64).tolist()], np.int64)
