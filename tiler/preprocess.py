"""Pre-processing of whole images by named operations, one after the other: resize, colour, gray, light_removal.

An image is float32 (band, y, x) with values from 0 to 255 and comes with bool (y, x): what of it is there. An operation
returns both, touches neither, and never looks at missing pixels:

    prepare = preparation(["gray", {"light_removal": {"scales": [0.1]}}])
    image, valid = prepare(image, valid)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np

from tiler.image_resize import resize
from tiler.light_removal import LightRemoval
from tiler.luminance import RGB, luminance

Pair = tuple[np.ndarray, np.ndarray]
WHITE = 255.0


class Operation(Protocol):
    """One step."""

    def __call__(self, image: np.ndarray, valid: np.ndarray) -> Pair:
        """Return image float32 (band, y, x) and valid bool (y, x), as they become."""
        ...

    def bands(self, bands: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names of the bands that come out.

        Raises:
            ValueError: bands that the operation cannot take.
        """
        ...


@dataclass(frozen=True)
class Resize:
    """Another size: area means where an axis shrinks, bilinear where it grows; missing by the nearest pixel."""

    height_px: int
    width_px: int

    def __post_init__(self) -> None:
        if min(self.height_px, self.width_px) < 1:
            raise ValueError(f"resize: sizes are 1 px or more, got {self.height_px} x {self.width_px}")

    def __call__(self, image: np.ndarray, valid: np.ndarray) -> Pair:
        """See `Operation`; pixels that are missing count with the mean of their band, so that they pull nowhere."""
        image = np.where(valid, image, _band_means(image, valid))
        shape = ((self.height_px, image.shape[1]), (self.width_px, image.shape[2]))
        near = [((np.arange(n) + 0.5) * size / n).astype(int) for n, size in shape]
        kept = valid[np.ix_(*near)]
        return np.where(kept, resize(image, self.height_px, self.width_px), np.float32(0)), kept

    def bands(self, bands: tuple[str, ...]) -> tuple[str, ...]:
        """The same."""
        return bands


@dataclass(frozen=True)
class Colour:
    """Colour adjustment by one of `METHODS`."""

    method: str = "gray_world"
    """gray_world: every band is scaled to the mean of all bands (Buchsbaum 1980: a scene is grey on average, its tint
    is the light's). standardise: every band gets mean 127.5 and standard deviation 51. stretch: the percentiles `low`
    and `high` of every band become 0 and 255."""
    low: float = 2.0
    high: float = 98.0

    def __post_init__(self) -> None:
        _known("method of colour", self.method, METHODS)
        if not 0 <= self.low < self.high <= 100:
            raise ValueError(f"colour: percentiles rise within 0 to 100, got {self.low} and {self.high}")

    def __call__(self, image: np.ndarray, valid: np.ndarray) -> Pair:
        """See `Operation`; a band of one value is left as it is."""
        pixels = image[:, valid].astype(np.float64)
        if not pixels.size:
            return image, valid
        if self.method == "gray_world":
            means = pixels.mean(axis=1)
            gain, offset = means.mean() / np.where(means > 0, means, means.mean() or 1.0), np.zeros(len(means))
        elif self.method == "standardise":
            deviation = pixels.std(axis=1)
            gain = np.where(deviation > 0, 51 / np.where(deviation > 0, deviation, 1), 1.0)
            offset = np.where(deviation > 0, WHITE / 2 - gain * pixels.mean(axis=1), 0.0)
        else:
            low, high = np.percentile(pixels, [self.low, self.high], axis=1)
            gain = np.where(high > low, WHITE / np.where(high > low, high - low, 1), 1.0)
            offset = np.where(high > low, -gain * low, 0.0)
        out = np.clip(image * gain[:, None, None] + offset[:, None, None], 0, WHITE).astype(np.float32)
        return np.where(valid, out, np.float32(0)), valid

    def bands(self, bands: tuple[str, ...]) -> tuple[str, ...]:
        """The same."""
        return bands


METHODS = ("gray_world", "standardise", "stretch")


@dataclass(frozen=True)
class Gray:
    """Luminance of red, green and blue by the weights of ITU-R BT.601: 0.299, 0.587, 0.114. Bands behind them stay."""

    count: int = 3
    """Bands that come out: three equal ones, for networks of three bands, or one."""

    def __post_init__(self) -> None:
        if self.count not in (1, 3):
            raise ValueError(f"gray: count is 1 or 3, got {self.count}")

    def __call__(self, image: np.ndarray, valid: np.ndarray) -> Pair:
        """See `Operation`."""
        return np.concatenate([np.repeat(luminance(image)[None], self.count, axis=0), image[3:]]), valid

    def bands(self, bands: tuple[str, ...]) -> tuple[str, ...]:
        """Gray, or red, green and blue that are equal; and the bands behind them."""
        if bands != ("gray",) and bands[:3] != RGB:
            raise ValueError(f"gray: takes the bands {list(RGB)}, then any others, there are {list(bands)}")
        return (*(("gray",) if self.count == 1 else RGB), *bands[3:])


# Add an operation: a class, and one entry here; tests/tiler/test_preprocess.py then runs its contract.
OPERATIONS: dict[str, type[Any]] = {"resize": Resize, "colour": Colour, "gray": Gray, "light_removal": LightRemoval}


@dataclass(frozen=True)
class Preparation:
    """Operations one after the other."""

    operations: tuple[Operation, ...] = ()

    def __call__(self, image: np.ndarray, valid: np.ndarray) -> Pair:
        """Return image float32 (band, y, x) and valid bool (y, x), as they become."""
        image = image.astype(np.float32, copy=False)
        for operation in self.operations:
            image, valid = operation(image, valid)
        return image, valid

    def bands(self, bands: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names of the bands that come out.

        Raises:
            ValueError: bands that an operation cannot take.
        """
        for operation in self.operations:
            bands = operation.bands(bands)
        return bands

    @property
    def resizes(self) -> bool:
        """Whether the size changes."""
        return any(isinstance(operation, Resize) for operation in self.operations)


def preparation(config: Sequence[str | Mapping[str, Mapping[str, Any] | None]]) -> Preparation:
    """Make the operations of a configuration: a list of names, or of `{name: settings}` with one name each.

    Raises:
        ValueError: an unknown name or setting (the nearest known one is told), or a value that does not fit.
    """
    made: list[Operation] = []
    for item in config:
        plain = {item: None} if isinstance(item, str) else dict(item)
        if len(plain) != 1:
            raise ValueError(f"an operation is {{name: settings}} with one name, got {plain}")
        ((name, settings),) = plain.items()
        kind = OPERATIONS[_known("pre-processing operation", name, OPERATIONS)]
        known = [field.name for field in fields(kind)]
        fitting: dict[str, Any] = {}
        for key, value in (settings or {}).items():
            fitting[_known(f"setting of {name}", key, known)] = tuple(value) if isinstance(value, list) else value
        try:
            made.append(kind(**fitting))
        except TypeError as error:
            raise ValueError(f"{name}: {error}; its settings are {', '.join(known)}") from error
    return Preparation(tuple(made))


def _band_means(image: np.ndarray, valid: np.ndarray) -> np.ndarray:
    means = image[:, valid].mean(axis=1) if valid.any() else np.zeros(len(image))
    return means.astype(np.float32)[:, None, None]


def _known(what: str, name: str, known: Iterable[str]) -> str:
    if name not in known:
        hint = [f"did you mean {near!r}? " for near in difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)]
        raise ValueError(f"unknown {what} {name!r}; {''.join(hint)}known: {', '.join(known)}")
    return name
