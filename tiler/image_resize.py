"""Images and masks to one size: area means where they shrink, bilinear where they grow; masks never mix classes.

Pixels are areas: output pixel i covers [i, i + 1) * source / target of the source. The axes go one after the other, and
nothing of the size of the source is made in another type.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiler.labels import IGNORE


@dataclass(frozen=True)
class Fit:
    """Which part of an image becomes which part of a tile."""

    y0: int
    x0: int
    height: int
    width: int
    """Of the part of the image."""
    top: int
    left: int
    rows: int
    cols: int
    """Of the part of the tile."""

    @staticmethod
    def of(how: str, height: int, width: int, side_px: int) -> Fit:
        """Return how an image fits a tile.

        Args:
            how: stretch (all of it, both axes resized), pad (all of it, its shape kept, in the middle), crop (the
                middle square).
            height: of the image.
            width: of the image.
            side_px: of the tile.
        """
        if how == "crop":
            side = min(height, width)
            return Fit((height - side) // 2, (width - side) // 2, side, side, 0, 0, side_px, side_px)
        if how == "pad":
            longer = max(height, width)
            rows, cols = (max(1, round(side_px * length / longer)) for length in (height, width))
            return Fit(0, 0, height, width, (side_px - rows) // 2, (side_px - cols) // 2, rows, cols)
        return Fit(0, 0, height, width, 0, 0, side_px, side_px)

    def image(self, pixels: np.ndarray, side_px: int) -> tuple[np.ndarray, np.ndarray]:
        """Return an image (band, y, x) as a tile of its type, 0 where nothing is; and bool (y, x): what is there."""
        part = pixels[:, self.y0 : self.y0 + self.height, self.x0 : self.x0 + self.width]
        out = np.zeros((len(pixels), side_px, side_px), pixels.dtype)
        valid = np.zeros((side_px, side_px), bool)
        place = slice(self.top, self.top + self.rows), slice(self.left, self.left + self.cols)
        made = resize(part, self.rows, self.cols)
        out[:, *place] = np.rint(made) if pixels.dtype.kind in "iu" else made
        valid[place] = True
        return out, valid

    def restored(self, values: np.ndarray, height: int, width: int) -> np.ndarray:
        """Return what was found on a tile (band, y, x) at the size of the image, float32: NaN where the tile is not."""
        out = np.full((len(values), height, width), np.nan, np.float32)
        part = values[:, self.top : self.top + self.rows, self.left : self.left + self.cols]
        out[:, self.y0 : self.y0 + self.height, self.x0 : self.x0 + self.width] = resize(part, self.height, self.width)
        return out

    def label(self, label: np.ndarray, side_px: int, how: str) -> np.ndarray:
        """Return a mask uint8 (y, x) as a tile, `IGNORE` where nothing is; `how` as `resize_label` takes it."""
        part = label[self.y0 : self.y0 + self.height, self.x0 : self.x0 + self.width]
        out = np.full((side_px, side_px), IGNORE, np.uint8)
        place = slice(self.top, self.top + self.rows), slice(self.left, self.left + self.cols)
        out[place] = resize_label(part, self.rows, self.cols, how)
        return out


def resize(image: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """Return (band, y, x) at another size, float32: area means where an axis shrinks, bilinear where it grows."""
    return _resized(_resized(image, rows, 1), cols, 2)


def _resized(image: np.ndarray, length: int, axis: int) -> np.ndarray:
    source = image.shape[axis]
    if source == length:
        return image.astype(np.float32, copy=False)
    moved = np.moveaxis(image, axis, 0)
    out = np.empty((length, *moved.shape[1:]), np.float32)
    for index in range(length):
        first, weights = _weights(index, source, length)
        out[index] = np.tensordot(weights, moved[first : first + len(weights)].astype(np.float32), axes=1)
    return np.moveaxis(out, 0, axis)


def _weights(index: int, source: int, length: int) -> tuple[int, np.ndarray]:
    """Return the first source pixel of an output pixel and the weights from there on, float32, which add up to 1."""
    if length < source:
        start, end = index * source / length, (index + 1) * source / length
        first, last = int(start), min(source, int(np.ceil(end)))
        pixels = np.arange(first, last)
        covered = np.minimum(end, pixels + 1) - np.maximum(start, pixels)
        return first, (covered / covered.sum()).astype(np.float32)
    centre = float(np.clip((index + 0.5) * source / length - 0.5, 0, source - 1))
    first = min(int(centre), source - 1)
    if first == source - 1:
        return first, np.ones(1, np.float32)
    return first, np.array([1 - (centre - first), centre - first], np.float32)


def resize_label(label: np.ndarray, rows: int, cols: int, how: str = "nearest") -> np.ndarray:
    """Return a mask at another size.

    Args:
        label: uint8 (y, x) of class indices, `IGNORE` where nobody labelled.
        rows: of the result.
        cols: of the result.
        how: nearest (the pixel that holds the centre), most (the class of most of the area, the lower one of two), any
            (a class wherever there is any of it, the higher one of two; then `IGNORE`, then background). Where an axis
            grows, all are the nearest pixel.
    """
    if how == "any":
        ranks = np.where(label == IGNORE, 1, np.where(label == 0, 0, label.astype(np.int16) + 1)).astype(np.int16)
        ranks = _most_of(_most_of(ranks, rows, 0), cols, 1)
        return np.where(ranks == 0, 0, np.where(ranks == 1, IGNORE, ranks - 1)).astype(np.uint8)
    if how == "most":
        values = np.unique(label)
        shares = np.stack([resize((label == value)[None].astype(np.uint8), rows, cols)[0] for value in values])
        return np.asarray(values[shares.argmax(axis=0)])
    near = ((np.arange(n) + 0.5) * size / n for n, size in ((rows, label.shape[0]), (cols, label.shape[1])))
    return label[np.ix_(*(centres.astype(int) for centres in near))]


def _most_of(ranks: np.ndarray, length: int, axis: int) -> np.ndarray:
    """Return the largest rank of what each output pixel touches along an axis."""
    source = ranks.shape[axis]
    if length >= source:
        return ranks.take(((np.arange(length) + 0.5) * source / length).astype(int), axis)
    moved = np.moveaxis(ranks, axis, 0)
    edges = np.arange(length + 1) * source / length
    starts, ends = np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int)
    out = np.stack([moved[a:b].max(axis=0) for a, b in zip(starts, ends, strict=True)])
    return np.moveaxis(out, 0, axis)
