"""Operations that change values: labels and places stay, and what is taken away may be flagged in a mask."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np

from tiler.augment_operation import Pair, Range, Sometimes


@dataclass(frozen=True)
class GaussianNoise(Sometimes):
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
class ColorJitter(Sometimes):
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
class GaussianBlur(Sometimes):
    """Bands are smoothed by a Gaussian of a drawn `sigma_px`; what lies beyond the border repeats the border.

    Masks and labels stay: a hole is where it was, and what fills it takes part as it is.
    """

    sigma_px: Range = (0.1, 2.0)
    RANGES: ClassVar = {"sigma_px": (0.0, inf)}

    def _apply(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        bands, sigma_px = self.about.bands, float(random.uniform(*self.sigma_px))
        rows, cols = (blur_matrix(side, sigma_px) for side in label.shape)
        out = image.copy()
        out[bands] = rows @ image[bands] @ cols.T
        return out, label


def blur_matrix(length: int, sigma_px: float) -> np.ndarray:
    """Return float32 (length, length): a row holds the weights of a Gaussian around its pixel, and adds up to 1."""
    distance = np.arange(-length, 2 * length)[None, :] - np.arange(length)[:, None]
    weights = np.exp(-0.5 * (distance / max(sigma_px, 1e-3)) ** 2)
    weights /= weights.sum(1, keepdims=True)
    inside = weights[:, length : 2 * length]
    inside[:, 0] += weights[:, :length].sum(1)
    inside[:, -1] += weights[:, 2 * length :].sum(1)
    return np.ascontiguousarray(inside, np.float32)


@dataclass(frozen=True)
class CoarseDropout(Sometimes):
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
class ModalityDropout(Sometimes):
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
