"""Fusion: several scenes that saw the same map pixel to one value. Sums in float32, scenes always in the same order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

NO_DATE = np.int32(-(2**31))
"""Value of `latest` where no dated scene saw the pixel."""


def days_since_1970(moment: datetime | None) -> int | None:
    """Return whole days from 1970-01-01 (UTC), the unit of the map's `latest` layer; None for an unknown time."""
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)).days


@dataclass(frozen=True)
class Fused:
    """One cell of the map."""

    logit: np.ndarray
    """float32 (class, y, x), NaN where no scene saw the pixel."""
    spread: np.ndarray
    """float32 (class, y, x), NaN likewise."""
    count: np.ndarray
    """uint16 (y, x): scenes that saw the pixel."""
    latest: np.ndarray
    """int32 (y, x): days since 1970 of the latest scene that saw it, `NO_DATE` where none is dated."""


class Fusion:
    """Running mean over the scenes that saw each pixel. Add scenes in order of their ids."""

    def __init__(self, classes: int, height: int, width: int) -> None:
        self._classes = classes
        self._sums = np.empty((2 * classes, height, width), np.float32)  # the first scene of a pixel replaces it
        self._count = np.zeros((height, width), np.uint16)
        self._latest = np.full((height, width), NO_DATE, np.int32)

    def add(self, layers: np.ndarray, seen: np.ndarray, acquired: datetime | None) -> None:
        """Add one warped scene.

        Args:
            layers: float32 (2 * classes, y, x): logits of the classes, then their spreads; finite.
            seen: bool (y, x).
            acquired: time of the scene.
        """
        from tiler.kernels import add_scene

        day = days_since_1970(acquired)
        add_scene(self._sums, self._count, self._latest, layers, seen, int(NO_DATE) if day is None else day)

    def result(self) -> Fused:
        """Return the cell, means over the scenes that saw each pixel; it takes the sums' memory, so add no more."""
        from tiler.kernels import divide

        divide(self._sums, self._count, 0.0, np.nan)
        return Fused(self._sums[: self._classes], self._sums[self._classes :], self._count, self._latest)
