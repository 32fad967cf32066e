"""Pictures of curation: counts and distributions by class, sheets of tiles, pairs side by side."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from jobs.curate_subject import Tiles
from jobs.figures import FAINT, INDUSTRIAL, INK, LINE_COLORS, new_figure, png_bytes, quiet, stretch

SHEET_PX = 112
"""Side of a tile on a sheet: larger ones are thinned by whole steps, as all pictures of reports are."""
COLUMNS = 8


def picture_of(store: Tiles, row: int) -> np.ndarray:
    """Return a tile as people see it, uint8 (y, x, 3); missing pixels are white.

    Photographs (uint8 red, green, blue) are shown as they are, others between their 2nd and 98th percentile.
    """
    image, valid = store.read("image", row), store.read("valid", row)
    names = store.sensor.bands
    places = [names.index(n) for n in ("red", "green", "blue")] if {"red", "green", "blue"} <= set(names) else [0] * 3
    rgb = image[places]
    picture = np.moveaxis(rgb, 0, 2).copy() if rgb.dtype == np.uint8 else stretch(rgb, valid)
    picture[~valid] = 255
    step = max(1, math.ceil(max(valid.shape) / (2 * SHEET_PX)))
    return np.asarray(picture[::step, ::step])


def sheet(pictures: Sequence[np.ndarray], titles: Sequence[str], columns: int = COLUMNS) -> bytes:
    """PNG of pictures (uint8 (y, x, 3)) in rows of `columns`, each with a short title."""
    across = max(1, min(columns, len(pictures)))
    down = max(1, math.ceil(len(pictures) / across))
    figure = new_figure(1.35 * across, 1.55 * down)
    panels = np.atleast_1d(figure.subplots(down, across)).ravel()
    for panel in panels:
        panel.set_axis_off()
    for panel, picture, title in zip(panels, pictures, titles, strict=False):
        panel.imshow(picture, interpolation="nearest")
        panel.set_title(short(title), fontsize=6.5, color=INK, pad=2)
        panel.add_patch(_frame(picture))
    return png_bytes(figure)


def _frame(picture: np.ndarray):  # type: ignore[no-untyped-def]
    """A thin line around a picture: many are white to their edge."""
    from matplotlib.patches import Rectangle

    height, width = picture.shape[:2]
    return Rectangle((-0.5, -0.5), width, height, fill=False, edgecolor=FAINT, linewidth=0.6, clip_on=False)


def short(name: str, most: int = 22) -> str:
    """Return the end of a long name: folders tell less than files."""
    return name if len(name) <= most else "…" + name[1 - most :]


def class_counts(
    counts: Mapping[str, int], kept: Mapping[str, int], over_full: Collection[str], bound: float | None
) -> bytes:
    """PNG with a bar for every class: what was delivered, pale, and what is kept of it.

    Over-full classes are in colour; dashed is the count from which a class is one.
    """
    figure = new_figure(7.2, 0.9 + 0.24 * max(1, len(counts)))
    panel = figure.subplots()
    colors = [INDUSTRIAL if name in over_full else LINE_COLORS[0] for name in counts]
    names, left = [name or "(none)" for name in counts], [kept.get(name, 0) for name in counts]
    bars = panel.barh(names, list(counts.values()), height=0.7, color=colors, alpha=0.3)
    panel.barh(names, left, height=0.7, color=colors)
    texts = [
        f"{count:,}" if count == now else f"{now:,} of {count:,}"
        for count, now in zip(counts.values(), left, strict=True)
    ]
    panel.bar_label(bars, texts, padding=4, fontsize=8, color=INK)
    if bound is not None:
        panel.axvline(bound, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    panel.invert_yaxis()
    panel.set_xlim(0, 1.2 * max([*counts.values(), 1]))
    panel.set_xlabel("tiles", fontsize=9, color=INK)
    quiet(panel, grid="x")
    return png_bytes(figure)


def by_class(values: Mapping[str, np.ndarray], label: str, marked: Collection[str] = ()) -> bytes:
    """PNG of the distribution of a number in every class: quartiles, whiskers of 1.5 quartile ranges, and outliers.

    Args:
        values: class to float (any,).
        label: what it is, with its unit.
        marked: classes in colour.
    """
    figure = new_figure(7.2, 0.9 + 0.24 * max(1, len(values)))
    panel = figure.subplots()
    known = [column[np.isfinite(column)] for column in values.values()]
    drawn = panel.boxplot(
        known,
        orientation="horizontal",
        widths=0.6,
        patch_artist=True,
        flierprops={"marker": ".", "markersize": 2, "markeredgecolor": FAINT},
        medianprops={"color": INK},
    )
    for box, name in zip(drawn["boxes"], values, strict=True):
        box.set(facecolor=INDUSTRIAL if name in marked else LINE_COLORS[5], edgecolor=INK, linewidth=0.6)
    panel.set_yticks(range(1, len(values) + 1), [name or "(none)" for name in values])
    panel.invert_yaxis()
    panel.set_xlabel(label, fontsize=9, color=INK)
    quiet(panel, grid="x")
    return png_bytes(figure)
