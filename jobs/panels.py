"""Sample panels: a few tiles side by side, plain and with their labels: what networks learn from, for people."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from jobs.figures import INK, new_figure, png_bytes, stretch

LABEL_COLOR = np.array([0.0, 0.75, 0.2])
"""Green, as the source document draws its masks."""


def overlay(rgb: np.ndarray, mask: np.ndarray, share: float = 0.45) -> np.ndarray:
    """Lay a mask in green over a picture.

    Args:
        rgb: uint8 (y, x, 3).
        mask: bool (y, x).
        share: how much of the colour is the mask's, 0 to 1.

    Returns:
        uint8 (y, x, 3); pixels outside the mask are untouched.
    """
    out = rgb.copy()
    out[mask] = np.round((1 - share) * rgb[mask] + share * 255 * LABEL_COLOR).astype(np.uint8)
    return out


def tile_panels(
    images: Sequence[np.ndarray],
    valid: Sequence[np.ndarray],
    titles: Sequence[str],
    masks: Sequence[np.ndarray] | None = None,
) -> bytes:
    """Draw tiles in a square of panels (2 x 2 for four), each stretched between its own 2nd and 98th percentile.

    Args:
        images: (3, y, x) each: red, green, blue, any unit.
        valid: bool (y, x) each; missing pixels are drawn white.
        titles: one each.
        masks: bool (y, x) each, laid over in green.

    Returns:
        PNG.
    """
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    figure = new_figure(3.4 * columns, 3.6 * rows)
    panels = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for panel in panels:
        panel.set_axis_off()
    for index, (image, seen, title) in enumerate(zip(images, valid, titles, strict=True)):
        picture = stretch(image, seen)
        if masks is not None:
            picture = overlay(picture, masks[index] & seen)
        picture[~seen] = 255
        panels[index].imshow(picture, interpolation="nearest")
        panels[index].set_title(title, fontsize=9, color=INK)
    return png_bytes(figure)
