"""Pieces: the files of a scene and the places that they fill, read into one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tiler.grids import Box
from tiler.rasters import Form, read_window
from tiler.scratch import Scratch
from tiler.sensors import Sensor


@dataclass(frozen=True)
class Piece:
    """One file of a scene and the place it fills."""

    path: str
    bands: tuple[tuple[int, int], ...]
    """(place in the sensor's band order, band number in the file from 1)."""
    box: Box
    """Scene pixels."""
    nodata: float | None
    form: Form | None = None
    """What the file was like when its header was read; None: not compared."""

    def read(self, numbers: Sequence[int], at: Box, out: np.ndarray | None = None) -> np.ndarray:
        """Read bands by number from a rectangle of the file's own pixels; see `read_window`."""
        return read_window(self.path, numbers, at.y0, at.x0, at.height, at.width, out, form=self.form)


def read_pieces(
    pieces: Sequence[Piece], sensor: Sensor, box: Box, dtype: str, fill: float, scratch: Scratch | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Read a rectangle of a scene.

    Where files overlap, the first one that holds a measurement wins. A valid pixel is valid in all bands.

    Args:
        pieces: the files in order.
        sensor: says what a measurement is.
        box: scene pixels.
        dtype: of the files.
        fill: for what is missing in any band.
        scratch: memory for the image; none: fresh memory.

    Returns:
        image (band, y, x) and valid (y, x) bool.
    """
    touching = [piece for piece in pieces if not piece.box.clip(box).empty]
    places = [place for piece in touching for place, _ in piece.bands]
    alone = sorted(places) == list(range(len(sensor.bands)))
    if alone and all(piece.box.clip(box) == box for piece in touching):
        shape = (len(sensor.bands), box.height, box.width)
        image = np.empty(shape, dtype) if scratch is None else scratch.array(shape, dtype)
        return image, _read_layers(touching, sensor, box, image, fill)
    return _read_overlapping(touching, sensor, box, dtype, fill)


def _read_layers(pieces: Sequence[Piece], sensor: Sensor, box: Box, image: np.ndarray, fill: float) -> np.ndarray:
    """Read files of which each gives its bands all over the rectangle: nearly all of a large scene lies so."""
    from tiler.kernels import settle

    least, most, missing = (np.zeros(len(image), image.dtype) for _ in range(3))
    declared = np.zeros(len(image), bool)
    for piece in pieces:
        at = box.shift(-piece.box.y0, -piece.box.x0)
        bands = sorted(piece.bands)
        first, numbers = bands[0][0], [number for _, number in bands]
        if [place for place, _ in bands] == list(range(first, first + len(bands))):
            piece.read(numbers, at, image[first : first + len(bands)])
        else:
            places = [place for place, _ in bands]
            image[places] = piece.read(numbers, at)
        low, high, none = sensor.limits(image.dtype, piece.nodata)
        for place, _ in bands:
            least[place], most[place], declared[place] = low, high, none is not None
            missing[place] = 0 if none is None else none
    return settle(image, least, most, missing, declared, fill)


def _read_overlapping(
    pieces: Sequence[Piece], sensor: Sensor, box: Box, dtype: str, fill: float
) -> tuple[np.ndarray, np.ndarray]:
    """Read files that lie over each other or leave gaps."""
    image = np.full((len(sensor.bands), box.height, box.width), fill, dtype)
    filled = np.zeros(image.shape, bool)
    for piece in pieces:
        part = piece.box.clip(box)
        at = part.shift(-piece.box.y0, -piece.box.x0)
        values = piece.read([number for _, number in piece.bands], at)
        rows, cols = part.shift(-box.y0, -box.x0).slices
        for (place, _), band in zip(piece.bands, values, strict=True):
            here = sensor.valid(band, piece.nodata) & ~filled[place, rows, cols]
            image[place, rows, cols][here] = band[here]
            filled[place, rows, cols] |= here
    valid = np.asarray(filled.all(axis=0))
    image[:, ~valid] = fill
    return image, valid
