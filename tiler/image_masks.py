"""From the mask of an image to class indices: grey masks, codes, colours, regions of VIA."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tiler.image_files import Picture, read_mask, upright
from tiler.image_spec import MaskSpec
from tiler.labels import IGNORE
from tiler.via import Region, drawn


def label_of(picture: Picture, mask: str | Sequence[Region] | None, spec: MaskSpec | None) -> np.ndarray:
    """Return the classes of an image's pixels: uint8 (y, x), as large as the upright image, `IGNORE` where unlabelled.

    Args:
        picture: the image.
        mask: path of its mask, or its regions; None where it has neither.
        spec: what the values mean; None: nothing is labelled.

    Raises:
        ValueError: the mask cannot be read, or is of another size than the image.
    """
    height, width = picture.pixels.shape[1:]
    if spec is None or mask is None:
        blank = 0 if spec is not None and spec.without == "background" else IGNORE
        return np.full((height, width), blank, np.uint8)
    if not isinstance(mask, str):
        return drawn(mask, spec.attribute, spec.classes, height, width)
    values = read_mask(mask)
    label = classes_of(values, spec, mask)
    if label.shape == picture.stored_px:  # drawn over the file as it is stored: turned with it
        return upright(label, picture.orientation)
    if label.shape == (height, width):
        return label
    raise ValueError(
        f"{mask} is {label.shape[0]} x {label.shape[1]} px, its image {height} x {width}; they must be equal"
    )


def classes_of(values: np.ndarray, spec: MaskSpec, path: str) -> np.ndarray:
    """Return class indices uint8 (y, x) of the values of a mask, grey (y, x) or colours (y, x, 3).

    Raises:
        ValueError: colours where grey values are expected.
    """
    if spec.colours:
        colours = values if values.ndim == 3 else np.stack([values] * 3, axis=2)
        packed = colours.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
        return _looked_up(packed, {int(colour[1:], 16): index for colour, index in spec.colours.items()})
    if values.ndim == 3:
        raise ValueError(f"{path} is a mask of colours; say what they mean: `colours: {{'#rrggbb': index}}`")
    if spec.codes:
        return _looked_up(values, spec.codes)
    return (values >= spec.threshold).astype(np.uint8)


def _looked_up(values: np.ndarray, table: dict[int, int]) -> np.ndarray:
    """Return class indices by a table; other values are not labelled.

    So is the border of one pixel, 255 or white, that the Pixel Annotation Tool leaves between areas and around them.
    """
    label = np.full(values.shape, IGNORE, np.uint8)
    for value, index in table.items():
        label[values == value] = index
    return label


def looks_like_codes(values: np.ndarray, spec: MaskSpec) -> bool:
    """Whether a mask that is to be thresholded holds small class codes instead of grey: every pixel would be 0."""
    thresholded = spec.kind == "png" and not spec.codes and not spec.colours and values.ndim == 2
    return thresholded and 0 < int(values.max(initial=0)) < min(spec.threshold, 32)
