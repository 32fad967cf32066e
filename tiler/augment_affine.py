"""A small rotation, shift, shear and zoom in one resampling: image, masks and labels go the same way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tiler.augment_operation import Pair, Range, Sometimes


@dataclass(frozen=True)
class RandomAffine(Sometimes):
    """The tile turned, sheared and zoomed about its centre, and shifted; what comes in is the border repeated.

    Each number is drawn evenly from its range; shift and zoom for both axes apart, as Keras' generator does. Defaults
    are those of the illustrations' classifier. Bands are interpolated linearly, masks and labels take the nearest
    pixel.
    """

    p: float = 1.0
    rotation_degrees: Range = (-10.0, 10.0)
    """Against the clock as the tile is shown."""
    shift: Range = (-0.1, 0.1)
    """Share of the side, down and to the right."""
    shear_degrees: Range = (-0.2, 0.2)
    """Angle by which columns lean."""
    zoom: Range = (0.8, 1.2)
    """Above 1 enlarges."""
    RANGES: ClassVar = {
        "rotation_degrees": (-180.0, 180.0),
        "shift": (-1.0, 1.0),
        "shear_degrees": (-60.0, 60.0),
        "zoom": (0.1, 10.0),
    }

    def draw(self, random: np.random.Generator) -> tuple[float, tuple[float, float], float, tuple[float, float]]:
        """Draw rotation and shear in degrees, shift and zoom as (y, x): rotation, shift, shear, zoom."""
        rotation = random.uniform(*self.rotation_degrees)
        shift = random.uniform(*self.shift), random.uniform(*self.shift)
        shear = random.uniform(*self.shear_degrees)
        return rotation, shift, shear, (random.uniform(*self.zoom), random.uniform(*self.zoom))

    def _apply(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        height, width = label.shape
        rotation, (down, right), shear, zoom = self.draw(random)
        inverse = np.linalg.inv(_matrix(rotation, shear, zoom))
        centre = np.array([(height - 1) / 2, (width - 1) / 2])
        y, x = np.mgrid[:height, :width].astype(np.float64)
        place = np.stack([y - centre[0] - down * height, x - centre[1] - right * width])
        rows, cols = np.tensordot(inverse, place, 1) + centre[:, None, None]
        rows, cols = rows.clip(0, height - 1), cols.clip(0, width - 1)
        near = np.rint(rows).astype(int), np.rint(cols).astype(int)
        out = np.empty_like(image)
        bands, masks = self.about.bands, self.about.indices(self.about.masks)
        out[bands] = _bilinear(image[bands], rows, cols)
        out[masks] = image[masks][:, near[0], near[1]]
        return out, label[near]


def _matrix(rotation_degrees: float, shear_degrees: float, zoom: tuple[float, float]) -> np.ndarray:
    """Return where (y, x) from the centre goes: sheared, zoomed, then turned; y grows downwards."""
    turn, lean = np.deg2rad(rotation_degrees), np.deg2rad(shear_degrees)
    rotated = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix: np.ndarray = rotated @ np.diag(zoom) @ np.array([[1.0, 0.0], [np.tan(lean), 1.0]])
    return matrix


def _bilinear(image: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    top, left = np.floor(rows).astype(int), np.floor(cols).astype(int)
    bottom, right = (np.minimum(low + 1, length - 1) for low, length in zip((top, left), image.shape[1:], strict=True))
    down, across = (rows - top).astype(image.dtype), (cols - left).astype(image.dtype)
    upper = image[:, top, left] + (image[:, top, right] - image[:, top, left]) * across
    lower = image[:, bottom, left] + (image[:, bottom, right] - image[:, bottom, left]) * across
    return upper + (lower - upper) * down
