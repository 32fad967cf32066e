"""What an operation of augmentation is, and what it must know about the channels of a tile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

Pair = tuple[np.ndarray, np.ndarray]
Range = tuple[float, float]


@dataclass(frozen=True)
class Channels:
    """What an operation must know about the channels of a tile; one number per channel, masks included.

    mean and deviation (standard) are of the valid pixels of the training set, median is what fills a missing pixel, all
    in the units of the sensor. masks are 1 where something is missing; the first is that of the image as a whole.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    median: tuple[float, ...]
    masks: tuple[str, ...] = ("mask",)

    def __post_init__(self) -> None:
        unlike = [what for what in ("mean", "deviation", "median") if len(getattr(self, what)) != len(self.names)]
        if unlike:
            raise ValueError(f"Channels: {unlike} must hold {len(self.names)} numbers, one for each of {self.names}")
        self.indices(self.masks)

    @property
    def bands(self) -> np.ndarray:
        """Indices of the channels that are not masks."""
        return np.array([i for i, name in enumerate(self.names) if name not in self.masks], int)

    def indices(self, names: Sequence[str]) -> np.ndarray:
        """Indices of channels by name. Raises ValueError: a name that no channel has."""
        absent = [name for name in names if name not in self.names]
        if absent:
            raise ValueError(f"augmentation names the channels {absent}, the tiles have {list(self.names)}")
        return np.array([self.names.index(name) for name in names], int)

    def missing(self, image: np.ndarray) -> np.ndarray:
        """Where the image as a whole is missing, bool (y, x)."""
        return image[self.names.index(self.masks[0])] > 0.5 if self.masks else np.zeros(image.shape[1:], bool)


@dataclass(frozen=True)
class Sometimes:
    """An operation that happens with chance `p`; a kind of it says what in `_apply`."""

    about: Channels
    p: float = 0.5  # the chance that it happens
    RANGES: ClassVar[Mapping[str, Range]] = {}  # fields that are ranges [a, b], and within what they must lie

    def __post_init__(self) -> None:
        own = type(self).__name__
        if not 0 <= self.p <= 1:
            raise ValueError(f"{own}: p is a chance in [0, 1], got {self.p}")
        for name, (low, high) in self.RANGES.items():
            value = getattr(self, name)
            if not (isinstance(value, tuple) and len(value) == 2 and low <= value[0] <= value[1] <= high):
                raise ValueError(f"{own}: {name} is a range [a, b] within [{low}, {high}], got {value}")
        self.about.indices(getattr(self, "channels", None) or ())
        if getattr(self, "flag", False) and not self.about.masks:
            raise ValueError(f"{own}: `flag` needs a mask to flag pixels in, and there is none; set it to false")

    def __call__(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        """Return image (C, y, x) and label (y, x), as they were or changed; never change them in place."""
        return self._apply(image, label, random) if random.random() < self.p else (image, label)

    _apply: ClassVar[Callable[..., Pair]]
