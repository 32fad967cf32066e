"""Training tiles: what any data loader takes, read straight from the stores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tiler.ground import Ground, Pair

Augment = Callable[[np.ndarray, np.ndarray, np.random.Generator], Pair]


class TrainingTiles:
    """Tiles drawn at random, filled where a coarse channel is missing, and augmented.

    Tile `i` of an epoch is a function of (seed, epoch, i) alone: any number of workers sees the same tiles.
    """

    def __init__(self, ground: Ground, count: int, seed: int = 0, augment: Augment | None = None) -> None:
        self._ground, self._count, self._seed, self._epoch = ground, count, seed, 0
        self._augment = augment
        self._fill = np.array(ground.statistics().mean, np.float32)

    def __len__(self) -> int:
        return self._count

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose tiles `__getitem__` returns."""
        self._epoch = epoch

    def __getitem__(self, index: int) -> Pair:
        """Return tile `index` of the epoch: float32 (channel, y, x) and uint8 (y, x).

        Raises:
            IndexError: past the end.
        """
        if not 0 <= index < self._count:
            raise IndexError(f"tile {index} of {self._count}")
        random = np.random.default_rng([self._seed, self._epoch, index])
        image, label = self._ground.read(self._ground.draw(random, index))
        filled(image, self._fill)
        return (image, label) if self._augment is None else self._augment(image, label, random)


class HeldBackTiles:
    """Every place of the ground that validates, or a number of them, evenly spread."""

    def __init__(self, ground: Ground, limit: int | None = None) -> None:
        self._ground = ground
        places = list(ground.held_back())
        if limit is not None and limit < len(places):
            places = [places[i * len(places) // limit] for i in range(limit)]
        self._places = places
        self._fill = np.array(ground.statistics().mean, np.float32)

    def __len__(self) -> int:
        return len(self._places)

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: validation is the same in every epoch."""

    def __getitem__(self, index: int) -> Pair:
        """Return tile `index`: float32 (channel, y, x) and uint8 (y, x)."""
        image, label = self._ground.read_held_back(self._places[index])
        filled(image, self._fill)
        return image, label


def filled(image: np.ndarray, values: np.ndarray) -> None:
    """Put the value of its channel wherever an image (channel, y, x) is NaN, in place."""
    for plane, value in zip(image, values, strict=True):
        np.copyto(plane, value, where=np.isnan(plane))
