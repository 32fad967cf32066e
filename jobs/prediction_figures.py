"""The picture of what a network makes of some samples: imagery, truth, its answer and its errors side by side.

Pure functions from numpy arrays to PNG bytes, in the look of the other figures: what is missing or ignored is never
drawn as a value, the hatched ground shows through.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from jobs.figures import (
    FAINT,
    GROUND,
    HATCH,
    INDUSTRIAL,
    INK,
    PROBABILITY_COLORS,
    new_figure,
    png_bytes,
    quiet,
    stretch,
)

IGNORED = 255
PANEL_PX = 256
"""Larger samples are thinned by whole steps."""
PANEL_IN = 2.45
BACKGROUND = "#eef0f4"
CLASS_COLORS = (INDUSTRIAL, "#56b4e9", "#f0e442", "#8c510a", "#1f2430", "#cab2d6")
"""Of class 1, 2...: none is a colour of the errors. More classes begin again."""
HIT, FALSE_POSITIVE, FALSE_NEGATIVE, CONFUSED = "#2f9e6e", "#e69f00", "#0050a8", "#7b3294"
BACKGROUND_RIGHT = 0.28
"""How dark the imagery stays behind the errors, 0 to 1."""


@dataclass(frozen=True)
class Sample:
    """One row of the picture."""

    image: NDArray[np.floating]
    """(3, y, x): red, green, blue, any unit."""
    missing: NDArray[np.bool_]
    """(y, x): where the image has no value of its own."""
    truth: NDArray[np.uint8]
    """(y, x): class index, or 255 (ignored)."""
    probability: NDArray[np.floating]
    """(1, y, x) of class 1 in the binary case, else (K, y, x)."""
    caption: str
    """Beside the row."""

    @property
    def predicted(self) -> NDArray[np.integer]:
        """Return the class index that the network names, (y, x)."""
        share = self.probability
        return (share[0] > 0.5).astype(np.int64) if len(share) == 1 else share.argmax(0)

    def thinned(self) -> Sample:
        """Return every n-th pixel, so that no side is longer than `PANEL_PX`."""
        at = (..., *(slice(None, None, max(1, math.ceil(max(self.truth.shape) / PANEL_PX))),) * 2)
        return Sample(self.image[at], self.missing[at], self.truth[at], self.probability[at], self.caption)


def prediction_panels(samples: Sequence[Sample], classes: Sequence[str], title: str) -> bytes:
    """Draw one row per sample: imagery, truth, probability (one class) or classes (several), errors.

    classes: the name of class 1 in the binary case, else one per class, the background first.
    Raises ValueError: no samples, or arrays of a sample that do not lie over each other.
    """
    if not samples:
        raise ValueError("asked for the panels of no samples; give at least one")
    for sample in samples:
        shapes = [sample.image.shape[1:], sample.missing.shape, sample.truth.shape, sample.probability.shape[1:]]
        if len(set(shapes)) > 1:
            raise ValueError(f"asked for four arrays over the same ground, found {shapes}; cut them to one window")
    binary = len(samples[0].probability) == 1
    names = ("background", *classes) if binary else tuple(classes)
    heights = [min(max(s.truth.shape[0] / s.truth.shape[1], 0.3), 2.0) for s in samples]
    figure = new_figure(4 * PANEL_IN + 0.5, PANEL_IN * sum(heights) + 1.1)
    grid = figure.subplots(len(samples), 4, squeeze=False, height_ratios=heights)
    shown: Any = None
    for row, sample in zip(grid, (s.thinned() for s in samples), strict=True):
        shown = _row(list(row), sample, names, binary)
    answer = f"Probability of {names[1]}" if binary else "Network"
    for panel, text in zip(grid[0], ("Imagery", "Truth", answer, "Errors"), strict=True):
        panel.set_title(text, fontsize=11, color=INK, loc="left", pad=6)
    figure.suptitle(title, fontsize=13, color=INK, x=0.01, ha="left")
    _legend(figure, names, binary)
    if binary:
        bar = figure.colorbar(shown, ax=list(grid[:, 2]), location="bottom", shrink=0.7, aspect=28, pad=0.02)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=8, colors=FAINT, length=2)
    return png_bytes(figure)


def _row(panels: list[Axes], sample: Sample, names: Sequence[str], binary: bool) -> Any:
    for panel in panels:
        panel.patch.set(facecolor=GROUND, edgecolor=HATCH, hatch="////", linewidth=0)
        panel.set_xticks([])
        panel.set_yticks([])
        quiet(panel)
    panels[0].set_ylabel(sample.caption, fontsize=9, color=INK)
    imagery, seen = stretch(sample.image, ~sample.missing), sample.truth != IGNORED
    panels[0].imshow(_with_alpha(imagery, ~sample.missing), interpolation="nearest")
    colors = _colors(names)
    panels[1].imshow(_with_alpha(colors[np.where(seen, sample.truth, 0)], seen), interpolation="nearest")
    if binary:
        map_ = matplotlib.colormaps[PROBABILITY_COLORS]
        shown = panels[2].imshow(sample.probability[0], cmap=map_, vmin=0, vmax=1, interpolation="nearest")
    else:
        shown = panels[2].imshow(colors[sample.predicted], interpolation="nearest")
    panels[3].imshow(_with_alpha(_errors(imagery, sample), seen), interpolation="nearest")
    return shown


def _errors(imagery: NDArray[np.uint8], sample: Sample) -> NDArray[np.uint8]:
    """Paint over pale grey imagery what was found rightly, found wrongly, missed, or taken for another class."""
    grey = 255 - BACKGROUND_RIGHT * (255 - imagery.astype(np.float32).mean(axis=2, keepdims=True))
    grey[sample.missing] = 250
    out = np.repeat(grey, 3, axis=2)
    truth, found = sample.truth, sample.predicted
    for where, color, share in (
        ((truth != 0) & (found == truth), HIT, 0.45),
        ((truth == 0) & (found != 0), FALSE_POSITIVE, 0.95),
        ((truth != 0) & (found == 0), FALSE_NEGATIVE, 0.95),
        ((truth != 0) & (found != 0) & (found != truth), CONFUSED, 0.95),
    ):
        out[where] = (1 - share) * out[where] + share * 255 * np.array(to_rgb(color))
    return np.round(np.clip(out, 0, 255)).astype(np.uint8)


def _colors(names: Sequence[str]) -> NDArray[np.uint8]:
    """Return the colour of each class, uint8 (K, 3)."""
    own = [CLASS_COLORS[i % len(CLASS_COLORS)] for i in range(len(names) - 1)]
    return np.round([255 * np.array(to_rgb(color)) for color in (BACKGROUND, *own)]).astype(np.uint8)


def _with_alpha(picture: NDArray[np.uint8], shown: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.dstack([picture, np.where(shown, 255, 0).astype(np.uint8)])


def _legend(figure: Figure, names: Sequence[str], binary: bool) -> None:
    kinds = [("found", HIT), ("false positive", FALSE_POSITIVE), ("false negative", FALSE_NEGATIVE)]
    kinds += [] if binary else [("another class", CONFUSED)]
    patches = [Patch(facecolor=c / 255, label=n) for c, n in zip(_colors(names)[1:], names[1:], strict=True)]
    patches += [Patch(facecolor=color, label=name) for name, color in kinds]
    patches.append(Patch(facecolor=GROUND, edgecolor=HATCH, hatch="////", linewidth=0, label="missing or ignored"))
    figure.legend(
        handles=patches, loc="outside lower left", ncols=min(len(patches), 7), frameon=False, fontsize=9, labelcolor=INK
    )
