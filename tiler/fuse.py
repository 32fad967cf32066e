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
class Doubt:
    """What a cell of the map does not know; NaN where no scene saw the pixel."""

    probability: np.ndarray
    """float32 (class, y, x): mean over networks, views, windows and scenes."""
    entropy: np.ndarray
    """float32 (y, x), nats: mean of the entropy of each answer alone."""
    disagreement: np.ndarray
    """float32 (class, y, x): population standard deviation of the logit over scenes, 0 where it is that of one."""


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
    doubt: Doubt | None = None
    """Where it is kept."""

    @property
    def layers(self) -> dict[str, np.ndarray]:
        """Every layer by name."""
        kept = {name: getattr(self, name) for name in ("logit", "spread", "count", "latest")}
        return kept if self.doubt is None else kept | vars(self.doubt)


class Fusion:
    """Running mean over scenes that saw each pixel: over all of them, or over the first few of those that are added."""

    def __init__(
        self, classes: int, height: int, width: int, uncertainty: bool = False, most: int | None = None
    ) -> None:
        """Make an empty cell.

        Args:
            classes: that have a logit each.
            height: in pixels.
            width: in pixels.
            uncertainty: whether scenes have the layers for `Fused.doubt`.
            most: scenes that a pixel takes; None: all.
        """
        self._classes = classes
        planes = 3 * classes + 1 if uncertainty else 2 * classes
        self._sums = np.empty((planes, height, width), np.float32)  # the first scene of a pixel replaces it
        self._squares = np.empty((classes if uncertainty else 0, height, width), np.float32)
        self._count = np.zeros((height, width), np.uint16)
        self._latest = np.full((height, width), NO_DATE, np.int32)
        self._most = most
        self._taken = self._count if most is None else np.zeros_like(self._count)

    def add(self, layers: np.ndarray, seen: np.ndarray, acquired: datetime | None) -> None:
        """Add one warped scene. The order of scenes decides the last bits, and with `most` which of them count.

        Args:
            layers: float32 (layer, y, x): logits of the classes, then their spreads; with uncertainty then their mean
                probabilities and the mean entropy. Finite.
            seen: bool (y, x).
            acquired: time of the scene.
        """
        from tiler.kernels import add_scene, add_squares

        found = days_since_1970(acquired)
        day = int(NO_DATE) if found is None else found
        if self._most is not None:
            self._count += seen
            np.maximum(self._latest, np.int32(day), out=self._latest, where=seen)
            seen, day = seen & (self._taken < self._most), int(NO_DATE)
        if len(self._squares):
            add_squares(self._squares, self._sums, self._taken, layers, seen)
        add_scene(self._sums, self._taken, self._latest, layers, seen, day)

    def result(self) -> Fused:
        """Return the cell; it takes the sums' memory, so add no more."""
        from tiler.kernels import divide

        k = self._classes
        divide(self._sums, self._taken, 0.0, np.nan)
        doubt = None
        if len(self._squares):
            divide(self._squares, self._taken, 0.0, np.nan)
            doubt = Doubt(self._sums[2 * k : 3 * k], self._sums[3 * k], np.sqrt(self._squares, out=self._squares))
        return Fused(self._sums[:k], self._sums[k : 2 * k], self._count, self._latest, doubt)
