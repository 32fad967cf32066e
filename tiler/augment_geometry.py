"""Operations that move pixels: image, masks and labels go the same way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tiler.augment_operation import Pair, Range, Sometimes


class HorizontalFlip(Sometimes):
    """Left becomes right."""

    AXIS: ClassVar = -1

    def _apply(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        return np.flip(image, self.AXIS), np.flip(label, self.AXIS)


class VerticalFlip(HorizontalFlip):
    """Up becomes down."""

    AXIS: ClassVar = -2


class Transpose(Sometimes):
    """Rows become columns; nothing happens to tiles that are not square.

    With both flips, each at p = 1/2: the eight symmetries of the square, all equally often.
    """

    def _apply(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        square = label.shape[0] == label.shape[1]
        return (image.swapaxes(-2, -1), label.swapaxes(-2, -1)) if square else (image, label)


@dataclass(frozen=True)
class RandomRotate90(Sometimes):
    """Zero to three quarter turns against the clock; of tiles that are not square, none or two."""

    p: float = 1.0

    def _apply(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        step = 1 if label.shape[0] == label.shape[1] else 2
        turns = int(random.integers(4)) // step * step
        return np.rot90(image, turns, (-2, -1)), np.rot90(label, turns, (-2, -1))


@dataclass(frozen=True)
class RandomResizedCrop(Sometimes):
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


def _centres(source: int, target: int) -> np.ndarray:
    """Where the centres of `target` pixels lie among `source` pixels, in units whose whole numbers are centres."""
    return (np.arange(target) + 0.5) * source / target - 0.5


def _linear(image: np.ndarray, centres: np.ndarray, axis: int) -> np.ndarray:
    low = np.maximum(np.floor(centres).astype(int), 0)
    high = np.minimum(low + 1, image.shape[axis] - 1)
    weight = np.clip(centres - low, 0, 1).astype(image.dtype)
    first = image.take(low, axis)
    return first + (image.take(high, axis) - first) * np.expand_dims(weight, [i for i in range(3) if i != axis])
