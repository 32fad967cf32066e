"""Ground: what training tiles are cut from, scenes or the equal tiles of a data set, and how they are drawn."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, Protocol, TypeVar

import numpy as np

from tiler.grids import Box
from tiler.sensors import Sensor

Pair = tuple[np.ndarray, np.ndarray]
"""Image float32 (channel, y, x) and label uint8 (y, x)."""
Place = tuple[int, Box]
"""Number of a scene or of a tile, and pixels of it."""
Moments = tuple[float, float, float]
"""Count, sum, and sum of squares."""
Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Sampling:
    """Which places of the ground are drawn, and how often."""

    classes: Mapping[int, float] = field(default_factory=dict)
    """Class index to the share of tiles that are set on a pixel of it; the rest may lie anywhere."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Weight of a scene or tile by its id; 1 where nothing is said, 0 leaves it out."""
    label_fraction: float = 1.0
    """Share of the labels that may be used (for experiments with few labels)."""

    def __post_init__(self) -> None:
        if any(not 0 <= share <= 1 for share in self.classes.values()) or sum(self.classes.values()) > 1 + 1e-9:
            raise ValueError(f"sampling: shares of classes lie in [0, 1] and add up to 1 at most, got {self.classes}")
        negative = {name: weight for name, weight in self.weights.items() if not 0 <= weight < float("inf")}
        if negative:
            raise ValueError(f"sampling: weights are finite and not negative, got {negative}")
        if not 0 < self.label_fraction <= 1:
            raise ValueError(f"sampling: label_fraction lies in (0, 1], got {self.label_fraction}")

    def class_wanted(self, random: np.random.Generator) -> int | None:
        """Draw the class that a tile is to be set on, or None for anywhere."""
        drawn = random.random()
        for index, share in self.classes.items():
            if drawn < share:
                return index
            drawn -= share
        return None


@dataclass(frozen=True)
class Statistics:
    """Numbers of each channel over the valid pixels that train; masks have mean 0 and deviation 1."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    median: tuple[float, ...]

    @staticmethod
    def of(channels: Sequence[str], moments: Mapping[str, Moments], medians: Mapping[str, float]) -> Statistics:
        """Make them of moments; a channel that `moments` does not know is a mask.

        Raises:
            ValueError: a channel without any value.
        """
        mean, deviation = [], []
        for name in channels:
            count, total, squares = moments.get(name, (1.0, 0.0, 1.0))
            if count == 0:
                raise ValueError(f"channel {name} has no valid value in the whole of the training ground; leave it out")
            mean.append(total / count)
            variance = squares / count - mean[-1] ** 2
            deviation.append(float(np.sqrt(variance)) if variance > 0 else 1.0)
        return Statistics(
            tuple(mean), tuple(deviation), tuple(medians.get(n, m) for n, m in zip(channels, mean, strict=True))
        )

    def scaling(self, channels: Sequence[str], sensor: Sensor, how: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return offset and scale of each channel for a network.

        Args:
            channels: their names.
            sensor: whose bands they are.
            how: "standard" (mean and standard deviation), or "range", which maps the bands' valid range to [0, 1].
                Coarse channels are standard always: what fills them where they are missing is their offset.
        """
        offset, scale = list(self.mean), list(self.deviation)
        for place, name in enumerate(channels):
            if how == "range" and name in sensor.bands:
                offset[place], scale[place] = sensor.valid_min, sensor.valid_max - sensor.valid_min
        return tuple(offset), tuple(scale)


class Ground(Protocol):
    """What tiles are cut from. Labels that a reader must not use are `tiler.labels.IGNORE`."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels of a tile, in order."""
        ...

    @property
    def tiles(self) -> int:
        """Number of tiles that cover the ground once."""
        ...

    def draw(self, random: np.random.Generator, index: int) -> Place:
        """Draw a place; index: number of the tile in its epoch."""
        ...

    def read(self, place: Place) -> Pair:
        """Read a tile for training; coarse channels are NaN where they are missing."""
        ...

    def held_back(self) -> Sequence[Place]:
        """Return the places that validate."""
        ...

    def read_held_back(self, place: Place) -> Pair:
        """Read a tile for validation."""
        ...

    def statistics(self) -> Statistics:
        """Return the numbers of each channel."""
        ...


class Cache(Generic[Kept]):
    """What was read lately, least recently used first out, so that a chunk is decoded once for many tiles."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._items: OrderedDict[Hashable, tuple[Kept, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, read: Callable[[], Kept], size_bytes: Callable[[Kept], int]) -> Kept:
        """Return what is kept under a key, or read and keep it."""
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
                return self._items[key][0]
        found = read()
        with self._lock:
            if key not in self._items:
                size = size_bytes(found)
                self._items[key] = found, size
                self._bytes += size
            while self._bytes > self._max_bytes and len(self._items) > 1:
                _, (_, size) = self._items.popitem(last=False)
                self._bytes -= size
        return found
