"""Sample panels: a few tiles side by side, plain and with their labels: what networks learn from, for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jobs.figures import INK, new_figure, png_bytes, stretch
from jobs.report import Figure
from tiler.labels import IGNORE

if TYPE_CHECKING:
    from jobs.curate_subject import Tiles

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


SAMPLES = 4


def sample_figures(store: Tiles, rows: np.ndarray) -> list[Figure]:
    """Return four tiles, evenly spread, in true colours; and the same with what is labelled as a class in green.

    Args:
        store: tiles with labels.
        rows: int (n,): those to choose from; nothing is drawn of none.
    """
    if not len(rows):
        return []
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, SAMPLES).astype(int))].tolist()
    names = store.sensor.bands
    rgb = [names.index(n) for n in ("red", "green", "blue")] if {"red", "green", "blue"} <= set(names) else [0] * 3
    images, valid = [store.read("image", row)[rgb] for row in chosen], [store.read("valid", row) for row in chosen]
    labels = [store.read("label", row) for row in chosen]
    titles = [shortened(store.tiles[row]["id"]) for row in chosen]
    masks = [(label > 0) & (label != IGNORE) for label in labels]
    return [
        Figure("Samples", "Red, green, blue.", tile_panels(images, valid, titles)),
        Figure("Samples with labels", "Green: the class.", tile_panels(images, valid, titles, masks)),
    ]


def shortened(name: str, most: int = 40) -> str:
    """Return a name that fits above a panel: the end of a long one, which tells images apart."""
    return name if len(name) <= most else f"…{name[1 - most :]}"
