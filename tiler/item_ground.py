"""Items: images with a time and a group, which embeddings are trained on; frames of series, or places of scenes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

STATISTICS_ITEMS = 2048
"""Items, at most, that mean and deviation are taken from: evenly spread, some hundred million pixels."""


class ItemGround(Protocol):
    """What items are read from."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels of an image, in order."""
        ...

    @property
    def sensor(self) -> str:
        """Name of the sensor; of several, joined by +."""
        ...

    @property
    def times(self) -> np.ndarray:
        """When each item was seen, datetime64[s] (n,)."""
        ...

    @property
    def groups(self) -> np.ndarray:
        """Which items belong together, int64 (n,): a series, or a place on the ground."""
        ...

    @property
    def valid_range(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Offset and scale of each channel that bring its valid range to 0..1."""
        ...

    def read(self, item: int) -> tuple[np.ndarray, np.ndarray]:
        """Read an item: image (channel, y, x) and bool of the same shape, what of it was seen. Both read-only."""
        ...


def moments(ground: ItemGround, items: Sequence[int] | np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel over the valid pixels of some items.

    Raises:
        ValueError: a channel without any valid pixel.
    """
    count = len(items)
    chosen = (
        items if count <= STATISTICS_ITEMS else [items[i * count // STATISTICS_ITEMS] for i in range(STATISTICS_ITEMS)]
    )
    totals = np.zeros((3, len(ground.channels)))
    for item in chosen:
        image, valid = ground.read(int(item))
        values = np.where(valid, image, 0).astype(np.float64)
        totals += valid.sum((1, 2)), values.sum((1, 2)), (values**2).sum((1, 2))
    seen, total, squares = totals
    if not seen.all():
        empty = [name for name, n in zip(ground.channels, seen, strict=True) if n == 0]
        raise ValueError(f"channels {empty} have no valid pixel in what trains; leave them out of data.channels")
    mean = total / seen
    variance = np.maximum(squares / seen - mean**2, 0)
    deviation = np.where(variance > 0, np.sqrt(variance), 1.0)
    return tuple(mean.tolist()), tuple(deviation.tolist())
