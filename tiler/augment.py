"""Augmentation of training tiles with any number of channels, in numpy.

A tile is an image float32 (C, y, x) in the units of its sensor and labels uint8 (y, x). Some channels are masks: 1
where the pixel is missing, else 0. An operation moves image and labels together, leaves masks binary, and never
touches the arrays it was given. All its random numbers come from the generator it is called with:

    augment = compose(["HorizontalFlip", {"CoarseDropout": {"count": [1, 4]}}], Channels(names, mean, sd, median))
    image, label = augment(image, label, np.random.default_rng([seed, epoch, index]))
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from math import inf
from typing import Any, ClassVar

import numpy as np

Pair = tuple[np.ndarray, np.ndarray]
Operation = Callable[[np.ndarray, np.ndarray, np.random.Generator], Pair]
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
class _Sometimes:
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
        return self._apply(image, label, random) if random.random() < self.p else (image, label)

    _apply: ClassVar[Callable[..., Pair]]


class HorizontalFlip(_Sometimes):
    """Left becomes right."""

    AXIS: ClassVar = -1

    def _apply(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        return np.flip(image, self.AXIS), np.flip(label, self.AXIS)


class VerticalFlip(HorizontalFlip):
    """Up becomes down."""

    AXIS: ClassVar = -2


@dataclass(frozen=True)
class RandomRotate90(_Sometimes):
    """Zero to three quarter turns against the clock; of tiles that are not square, none or two."""

    p: float = 1.0

    def _apply(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        step = 1 if label.shape[0] == label.shape[1] else 2
        turns = int(random.integers(4)) // step * step
        return np.rot90(image, turns, (-2, -1)), np.rot90(label, turns, (-2, -1))


@dataclass(frozen=True)
class RandomResizedCrop(_Sometimes):
    """A part of the tile, enlarged to the whole: bands bilinear, masks and labels the nearest pixel.

    scale is its share of the area, ratio its width to height relative to the tile's. Pixels are areas: pixel i of the
    result has its centre at y0 + (i + 1/2) height / size. Interpolation repeats the part's own border.
    """

    scale: Range = (0.5, 1.0)
    ratio: Range = (3 / 4, 4 / 3)
    RANGES: ClassVar = {"scale": (1e-3, 1.0), "ratio": (0.1, 10.0)}

    def draw(self, shape: tuple[int, int], random: np.random.Generator) -> tuple[int, int, int, int]:
        """Draw a part: y0, x0, height, width in whole pixels inside the tile."""
        area = random.uniform(*self.scale)
        ratio = np.exp(random.uniform(np.log(self.ratio[0]), np.log(self.ratio[1])))
        ratio = np.clip(ratio, area, 1 / area)  # else a side would be longer than the tile's
        height = int(np.clip(round(shape[0] * np.sqrt(area / ratio)), 1, shape[0]))
        width = int(np.clip(round(shape[1] * np.sqrt(area * ratio)), 1, shape[1]))
        return int(random.integers(shape[0] - height + 1)), int(random.integers(shape[1] - width + 1)), height, width

    def _apply(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        y0, x0, height, width = self.draw((label.shape[0], label.shape[1]), random)
        part, truth = image[:, y0 : y0 + height, x0 : x0 + width], label[y0 : y0 + height, x0 : x0 + width]
        rows, cols = _centres(height, label.shape[0]), _centres(width, label.shape[1])
        near = np.ix_(*((centres + 0.5).astype(int) for centres in (rows, cols)))
        out = np.empty_like(image)
        bands, masks = self.about.bands, self.about.indices(self.about.masks)
        out[bands] = _linear(_linear(part[bands], rows, 1), cols, 2)
        out[masks] = part[masks][:, near[0], near[1]]
        return out, truth[near]


@dataclass(frozen=True)
class GaussianNoise(_Sometimes):
    """Independent noise of one drawn `sd`, in standard deviations of the channel, on the pixels that are there.

    What fills missing pixels stays constant, as it is in a map.
    """

    sd: Range = (0.0, 0.1)
    RANGES: ClassVar = {"sd": (0.0, inf)}

    def _apply(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        bands, out = self.about.bands, image.copy()
        size = np.float32(random.uniform(*self.sd)) * np.array(self.about.deviation, np.float32)[bands, None, None]
        noise = random.standard_normal((len(bands), *label.shape), dtype=np.float32)
        out[bands] += noise * size * ~self.about.missing(image)
        return out, label


@dataclass(frozen=True)
class ColorJitter(_Sometimes):
    """x becomes x * gain + offset * deviation, in common and per band; in holes too, whose medians would change."""

    gain: Range = (0.9, 1.1)
    offset: Range = (-0.1, 0.1)
    band_gain: Range = (0.95, 1.05)
    band_offset: Range = (-0.05, 0.05)
    channels: tuple[str, ...] | None = None  # None: all bands
    RANGES: ClassVar = {"gain": (0.0, inf), "band_gain": (0.0, inf), "offset": (-inf, inf), "band_offset": (-inf, inf)}

    def draw(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw factor and offset of each band, the offset in standard deviations."""
        count = len(self.about.bands if self.channels is None else self.channels)
        gain = random.uniform(*self.gain) * random.uniform(*self.band_gain, count)
        return gain, random.uniform(*self.offset) + random.uniform(*self.band_offset, count)

    def _apply(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        bands = self.about.bands if self.channels is None else self.about.indices(self.channels)
        gain, offset = (drawn.astype(np.float32)[:, None, None] for drawn in self.draw(random))
        out = image.copy()
        out[bands] = image[bands] * gain + offset * np.array(self.about.deviation, np.float32)[bands, None, None]
        return out, label


@dataclass(frozen=True)
class CoarseDropout(_Sometimes):
    """Rectangles are taken away: `count` of them, their sides `size` as shares of the tile's; labels stay.

    flag: filled with the medians and flagged in the mask, as a real hole is. Otherwise filled with the training mean (0
    after scaling) and not flagged, so that the network must do without being told.
    """

    count: tuple[int, int] = (1, 8)
    size: Range = (0.05, 0.2)
    flag: bool = True
    RANGES: ClassVar = {"count": (0, inf), "size": (0.0, 1.0)}

    def draw(self, shape: tuple[int, int], random: np.random.Generator) -> np.ndarray:
        """Draw which pixels go, bool (y, x)."""
        gone = np.zeros(shape, bool)
        for _ in range(int(random.integers(self.count[0], self.count[1] + 1))):
            height, width = (max(1, round(side * random.uniform(*self.size))) for side in shape)
            y0, x0 = int(random.integers(shape[0] - height + 1)), int(random.integers(shape[1] - width + 1))
            gone[y0 : y0 + height, x0 : x0 + width] = True
        return gone

    def _apply(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        gone = self.draw((label.shape[0], label.shape[1]), random)
        bands, out = self.about.bands, image.copy()
        fill = np.array(self.about.median if self.flag else self.about.mean, np.float32)
        out[bands] = np.where(gone, fill[bands, None, None], image[bands])
        if self.flag:
            out[self.about.indices(self.about.masks[:1])] += gone & ~self.about.missing(image)
        return out, label


@dataclass(frozen=True)
class ModalityDropout(_Sometimes):
    """A group of channels becomes its training mean, as where a map lacks the modality, and its mask, if any, 1."""

    channels: tuple[str, ...] = ()
    mask: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.channels or self.mask not in (None, *self.about.masks):
            raise ValueError(
                f"ModalityDropout: got {self.channels} and {self.mask}; name channels and one of the masks"
            )

    def _apply(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        group, out = self.about.indices(self.channels), image.copy()
        out[group] = np.array(self.about.mean, np.float32)[group, None, None]
        if self.mask is not None:
            out[self.about.indices([self.mask])] = 1.0
        return out, label


# Add an augmentation: one entry; tests/tiler/test_augment.py then runs its whole contract on it.
GEOMETRY = (RandomResizedCrop, HorizontalFlip, VerticalFlip, RandomRotate90)
RADIOMETRY = (GaussianNoise, ColorJitter, CoarseDropout, ModalityDropout)
AUGMENTATIONS: dict[str, type[_Sometimes]] = {kind.__name__: kind for kind in (*GEOMETRY, *RADIOMETRY)}


@dataclass(frozen=True)
class Compose:
    """Operations one after the other."""

    operations: tuple[Operation, ...]

    def __call__(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        """Return the augmented pair, contiguous and of its own memory unless nothing happened."""
        for operation in self.operations:
            image, label = operation(image, label, random)
        return np.ascontiguousarray(image), np.ascontiguousarray(label)


def compose(config: Sequence[str | Mapping[str, Mapping[str, Any] | None]], about: Channels) -> Compose:
    """Make the operations of a configuration: a list of names, or of `{name: settings}` with one name each.

    Raises ValueError: an unknown name or setting, or a value that does not fit.
    """
    made: list[Operation] = []
    for item in config:
        plain = {item: None} if isinstance(item, str) else dict(item)
        if len(plain) != 1:
            raise ValueError(f"an augmentation is {{name: settings}} with one name, got {plain}")
        ((name, settings),) = plain.items()
        kind = AUGMENTATIONS[_known("augmentation", name, AUGMENTATIONS)]
        known = [field.name for field in fields(kind) if field.name != "about"]
        fitting: dict[str, Any] = {}
        for key, value in (settings or {}).items():
            fitting[_known(f"setting of {name}", key, known)] = tuple(value) if isinstance(value, list) else value
        made.append(kind(about, **fitting))
    return Compose(tuple(made))


def _known(what: str, name: str, known: Iterable[str]) -> str:
    if name not in known:
        hint = [f"did you mean {near!r}?" for near in difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)]
        raise ValueError(f"unknown {what} {name!r}; {''.join(hint)} known: {', '.join(known)}")
    return name


def _centres(source: int, target: int) -> np.ndarray:
    """Where the centres of `target` pixels lie among `source` pixels, in units whose whole numbers are centres."""
    return (np.arange(target) + 0.5) * source / target - 0.5


def _linear(image: np.ndarray, centres: np.ndarray, axis: int) -> np.ndarray:
    low = np.maximum(np.floor(centres).astype(int), 0)
    high = np.minimum(low + 1, image.shape[axis] - 1)
    weight = np.clip(centres - low, 0, 1).astype(image.dtype)
    first = image.take(low, axis)
    return first + (image.take(high, axis) - first) * np.expand_dims(weight, [i for i in range(3) if i != axis])
