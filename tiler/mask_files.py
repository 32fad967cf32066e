"""Masks of images as PNG files: one class index per pixel, with a palette so that people see them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from tiler.labels import IGNORE

PALETTE = ("#000000", "#ffd23f", "#ee4266", "#3bceac", "#0ead69", "#5f9ee8", "#b388eb", "#f78154", "#c6c6c6")
"""Background, then the classes; more classes begin again with the second."""
NOT_SEEN = "#505050"


def mask_png(classes: np.ndarray) -> bytes:
    """Return the PNG of a mask.

    Args:
        classes: uint8 (y, x), class indices, `IGNORE` where nobody looked. Programs that read the palette's indices
            get them back; the palette itself is for the eye.
    """
    picture = Image.fromarray(np.ascontiguousarray(classes, np.uint8), "L")
    colours = [_rgb(PALETTE[0]), *(_rgb(PALETTE[1 + index % (len(PALETTE) - 1)]) for index in range(254))]
    picture.putpalette([value for colour in [*colours, _rgb(NOT_SEEN)] for value in colour])
    assert len(colours) == IGNORE
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))
