"""Augmentation of training tiles with any number of channels, in numpy.

A tile is an image float32 (C, y, x) in the units of its sensor and labels uint8 (y, x). Some channels are masks: 1
where the pixel is missing, else 0. An operation moves image and labels together, leaves masks binary, and never
touches the arrays it was given. All its random numbers come from the generator it is called with, so a tile is a
function of that generator's seed.

    about = Channels(names=("red", "green", "blue", "nir", "mask"), mean=..., deviation=..., median=...)
    augment = compose([{"HorizontalFlip": {}}, {"CoarseDropout": {"count": [1, 4]}}], about)
    image, label = augment(image, label, np.random.default_rng([seed, epoch, index]))
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, Protocol

import numpy as np

from tiler.labels import IGNORE

Pair = tuple[np.ndarray, np.ndarray]
Range = tuple[float, float]


@dataclass(frozen=True)
class Channels:
    """What an operation must know about the channels of a tile; one number per channel, masks included."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    """Of the valid pixels of the training set, in the units of the sensor."""
    deviation: tuple[float, ...]
    """Standard deviation of the same pixels."""
    median: tuple[float, ...]
    """With what a missing pixel is filled."""
    masks: tuple[str, ...] = ("mask",)
    """Names of the channels that are 1 where something is missing; the first one is that of the image as a whole."""

    def __post_init__(self) -> None:
        for what in ("mean", "deviation", "median"):
            if len(getattr(self, what)) != len(self.names):
                raise ValueError(
                    f"Channels: {what} holds {len(getattr(self, what))} numbers for {list(self.names)}. Give one each."
                )
        absent = [name for name in self.masks if name not in self.names]
        if absent:
            raise ValueError(f"Channels: the masks {absent} are not among {list(self.names)}. Name existing channels.")

    @property
    def bands(self) -> np.ndarray:
        """Indices of the channels that are not masks."""
        return np.array([i for i, name in enumerate(self.names) if name not in self.masks], int)

    def indices(self, names: Sequence[str]) -> np.ndarray:
        """Indices of channels by name.

        Raises:
            ValueError: a name that no channel has.
        """
        absent = [name for name in names if name not in self.names]
        if absent:
            raise ValueError(f"augmentation names the channels {absent}, the tiles have {list(self.names)}")
        return np.array([self.names.index(name) for name in names], int)

    def missing(self, image: np.ndarray) -> np.ndarray:
        """Where the image as a whole is missing, bool (y, x)."""
        if not self.masks:
            return np.zeros(image.shape[1:], bool)
        return image[self.names.index(self.masks[0])] > 0.5


class Operation(Protocol):
    """One augmentation."""

    def __call__(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        """Return a new pair of the same shapes."""
        ...


@dataclass(frozen=True)
class _Sometimes:
    about: Channels
    p: float = 0.5
    """Chance that the operation happens."""

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ValueError(f"{type(self).__name__}: p is a chance in [0, 1], got {self.p}")
        self._check()

    def _check(self) -> None:
        """Raise ValueError unless the settings make sense."""

    def __call__(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        return self._apply(image, label, random) if random.random() < self.p else (image, label)

    def _apply(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        raise NotImplementedError

    def _range(self, name: str, low: float, high: float = float("inf")) -> None:
        value = getattr(self, name)
        if len(value) != 2 or not low <= value[0] <= value[1] <= high:
            raise ValueError(
                f"{type(self).__name__}: {name} is a range [lowest, highest] within [{low}, {high}], got {list(value)}"
            )


@dataclass(frozen=True)
class HorizontalFlip(_Sometimes):
    """Left becomes right."""

    def _apply(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        return image[..., ::-1], label[..., ::-1]


@dataclass(frozen=True)
class VerticalFlip(_Sometimes):
    """Up becomes down."""

    def _apply(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        return image[..., ::-1, :], label[..., ::-1, :]


@dataclass(frozen=True)
class RandomRotate90(_Sometimes):
    """Zero to three quarter turns against the clock; of tiles that are not square, none or two."""

    p: float = 1.0

    def _apply(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        turns = int(random.integers(4))
        if label.shape[0] != label.shape[1]:
            turns = turns // 2 * 2
        return np.rot90(image, turns, (-2, -1)), np.rot90(label, turns, (-2, -1))


@dataclass(frozen=True)
class RandomResizedCrop(_Sometimes):
    """A part of the tile, enlarged to the whole: bands bilinear, masks and labels the nearest pixel.

    Pixels are areas: pixel i of the result has its centre at y0 + (i + 1/2) height / size of the tile. What the
    interpolation would need from beyond the crop is the crop's own border.
    """

    scale: Range = (0.5, 1.0)
    """Share of the tile's area."""
    ratio: Range = (3 / 4, 4 / 3)
    """Width to height of the part, relative to that of the tile."""

    def _check(self) -> None:
        self._range("scale", 1e-3, 1.0)
        self._range("ratio", 0.1, 10.0)

    def draw(self, shape: tuple[int, int], random: np.random.Generator) -> tuple[int, int, int, int]:
        """Draw a part: y0, x0, height, width in whole pixels inside the tile."""
        area = random.uniform(*self.scale)
        ratio = np.exp(random.uniform(np.log(self.ratio[0]), np.log(self.ratio[1])))
        ratio = np.clip(ratio, area, 1 / area)  # else a side would be longer than the tile's
        height = int(np.clip(round(shape[0] * np.sqrt(area / ratio)), 1, shape[0]))
        width = int(np.clip(round(shape[1] * np.sqrt(area * ratio)), 1, shape[1]))
        y0, x0 = random.integers(shape[0] - height + 1), random.integers(shape[1] - width + 1)
        return int(y0), int(x0), height, width

    def _apply(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        y0, x0, height, width = self.draw((label.shape[0], label.shape[1]), random)
        part, truth = image[:, y0 : y0 + height, x0 : x0 + width], label[y0 : y0 + height, x0 : x0 + width]
        rows, cols = _centres(height, label.shape[0]), _centres(width, label.shape[1])
        near = np.ix_(_nearest(rows, height), _nearest(cols, width))
        out = np.empty_like(image)
        bands, masks = self.about.bands, self.about.indices(self.about.masks)
        out[bands] = _linear(_linear(part[bands], rows, 1), cols, 2)
        out[masks] = part[masks][:, near[0], near[1]]
        return out, truth[near]


@dataclass(frozen=True)
class GaussianNoise(_Sometimes):
    """Independent noise on the pixels that are there; what fills missing ones stays constant, as it is in a map."""

    sd: Range = (0.0, 0.1)
    """Standard deviation of the noise in standard deviations of the channel; one number is drawn for the tile."""

    def _check(self) -> None:
        self._range("sd", 0.0)

    def _apply(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        bands = self.about.bands
        size = random.uniform(*self.sd) * np.array(self.about.deviation, np.float32)[bands]
        noise = random.standard_normal((len(bands), *label.shape), dtype=np.float32)
        out = image.copy()
        out[bands] += noise * size[:, None, None].astype(np.float32) * ~self.about.missing(image)
        return out, label


@dataclass(frozen=True)
class ColorJitter(_Sometimes):
    """x becomes x * gain + offset * deviation, for all bands together and for each by itself.

    Also where the pixel is missing: the scene's median, which fills it, would have changed with the scene.
    """

    gain: Range = (0.9, 1.1)
    """Factor common to all bands."""
    offset: Range = (-0.1, 0.1)
    """Common to all bands, in standard deviations of each channel."""
    band_gain: Range = (0.95, 1.05)
    """Factor drawn for each band."""
    band_offset: Range = (-0.05, 0.05)
    """Drawn for each band, in its standard deviations."""
    channels: tuple[str, ...] | None = None
    """Which bands; None: all that are not masks."""

    def _check(self) -> None:
        """Raise ValueError unless the settings make sense."""
        for name in ("gain", "band_gain"):
            self._range(name, 0.0)
        for name in ("offset", "band_offset"):
            self._range(name, -float("inf"))
        self.bands()

    def bands(self) -> np.ndarray:
        """Indices of the bands that change."""
        return self.about.bands if self.channels is None else self.about.indices(self.channels)

    def draw(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw factor and offset of each band, the offset in standard deviations."""
        count = len(self.bands())
        gain = random.uniform(*self.gain) * random.uniform(*self.band_gain, count)
        return gain, random.uniform(*self.offset) + random.uniform(*self.band_offset, count)

    def _apply(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        bands = self.bands()
        gain, offset = self.draw(random)
        offset = offset * np.array(self.about.deviation)[bands]
        out = image.copy()
        out[bands] = image[bands] * gain[:, None, None].astype(np.float32) + offset[:, None, None].astype(np.float32)
        return out, label


@dataclass(frozen=True)
class CoarseDropout(_Sometimes):
    """Rectangles of the image are taken away."""

    count: tuple[int, int] = (1, 8)
    """How many rectangles."""
    size: Range = (0.05, 0.2)
    """Their sides as shares of the tile's."""
    policy: Literal["missing", "mean"] = "missing"
    """missing: filled with the medians and flagged in the mask, as a real hole is; mean: filled with the training
    mean (0 after scaling) and not flagged, so that the network must do without being told."""
    label: Literal["keep", "ignore"] = "keep"
    """Whether the network is still asked what lies below a rectangle."""

    def _check(self) -> None:
        self._range("count", 0)
        self._range("size", 0.0, 1.0)
        for name, known in (("policy", ("missing", "mean")), ("label", ("keep", "ignore"))):
            if getattr(self, name) not in known:
                raise ValueError(f"CoarseDropout: {name} is one of {list(known)}, got {getattr(self, name)!r}")
        if self.policy == "missing" and not self.about.masks:
            raise ValueError("CoarseDropout: policy 'missing' flags pixels in a mask, and there is none. Use 'mean'.")

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
        flagged, out = self.policy == "missing", image.copy()
        fill = np.array(self.about.median if flagged else self.about.mean, np.float32)
        for band in self.about.bands:
            out[band][gone] = fill[band]
        if flagged:
            out[self.about.names.index(self.about.masks[0])][gone] = 1.0
        if self.label == "ignore":
            label = np.where(gone, IGNORE, label).astype(label.dtype)
        return out, label


@dataclass(frozen=True)
class ModalityDropout(_Sometimes):
    """A group of channels is replaced by its training mean, as where the modality is absent in a map."""

    channels: tuple[str, ...] = ()
    """The group."""
    mask: str | None = None
    """The mask of the modality, set to 1 where there is one."""

    def _check(self) -> None:
        if not self.channels:
            raise ValueError(f"ModalityDropout: `channels` is empty; name some of {list(self.about.names)}")
        self.about.indices([*self.channels, *([self.mask] if self.mask else [])])
        if self.mask is not None and self.mask not in self.about.masks:
            raise ValueError(f"ModalityDropout: {self.mask!r} is not among the masks {list(self.about.masks)}")

    def _apply(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        out = image.copy()
        for index in self.about.indices(self.channels):
            out[index] = self.about.mean[index]
        if self.mask is not None:
            out[self.about.names.index(self.mask)] = 1.0
        return out, label


# Add an augmentation: one entry; tests/tiler/test_augment.py then runs its whole contract on it.
AUGMENTATIONS: dict[str, type[_Sometimes]] = {
    "RandomResizedCrop": RandomResizedCrop,
    "HorizontalFlip": HorizontalFlip,
    "VerticalFlip": VerticalFlip,
    "RandomRotate90": RandomRotate90,
    "GaussianNoise": GaussianNoise,
    "ColorJitter": ColorJitter,
    "CoarseDropout": CoarseDropout,
    "ModalityDropout": ModalityDropout,
}


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
    """Make the operations of a plain configuration.

    Args:
        config: a list of names, or of `{name: settings}` with one name each.
        about: the channels of the tiles.

    Raises:
        ValueError: an unknown name or setting, or a value that does not fit.
    """
    return Compose(tuple(_parse(item, about) for item in config))


def _parse(item: str | Mapping[str, Mapping[str, Any] | None], about: Channels) -> _Sometimes:
    plain = {item: None} if isinstance(item, str) else dict(item)
    if len(plain) != 1:
        raise ValueError(f"an augmentation is {{name: settings}} with one name, got {plain}")
    ((name, settings),) = plain.items()
    if name not in AUGMENTATIONS:
        raise ValueError(f"unknown augmentation {name!r}{_near(name, AUGMENTATIONS)}; known: {sorted(AUGMENTATIONS)}")
    kind = AUGMENTATIONS[name]
    known = [field.name for field in fields(kind) if field.name != "about"]
    for key in settings or {}:
        if key not in known:
            raise ValueError(f"{name} has no setting {key!r}{_near(key, known)}; known: {known}")
    try:
        return kind(about, **{key: _frozen(value) for key, value in (settings or {}).items()})
    except TypeError as error:
        raise ValueError(f"{name}: {settings} does not fit: {error}") from error


def _near(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _centres(source: int, target: int) -> np.ndarray:
    """Where the centres of `target` pixels lie among `source` pixels, in units whose whole numbers are centres."""
    return (np.arange(target) + 0.5) * source / target - 0.5


def _nearest(centres: np.ndarray, size: int) -> np.ndarray:
    return np.clip(np.floor(centres + 0.5).astype(int), 0, size - 1)


def _linear(image: np.ndarray, centres: np.ndarray, axis: int) -> np.ndarray:
    size = image.shape[axis]
    low = np.clip(np.floor(centres).astype(int), 0, size - 1)
    high = np.minimum(low + 1, size - 1)
    weight = np.clip(centres - low, 0, 1).astype(image.dtype)
    weight = weight.reshape([-1 if i == axis else 1 for i in range(image.ndim)])
    first = image.take(low, axis)
    first += (image.take(high, axis) - first) * weight
    return first
