"""The figures of the weather document: what methods find for four queries, and their embeddings in the plane."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from numpy.typing import NDArray

from jobs.figures import FAINT, INK, new_figure, png_bytes, quiet

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MONTH_COLORS = tuple(colorsys.hls_to_rgb((0.62 + month / 12) % 1, 0.45, 0.75) for month in range(12))
"""A closed circle of hues: December is next to January, as it is in the year."""


@dataclass(frozen=True)
class Panel:
    """An image with what stands above it."""

    image: NDArray[np.floating]
    """(C, h, w) in [0, 1]; the first three bands are shown as red, green and blue, one band as grey."""
    title: str


def composite(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return (h, w, 3) uint8 of an image (C, h, w) in [0, 1]: bands IR, SWIR, WV as red, green, blue."""
    bands = image[:3] if len(image) >= 3 else np.repeat(image[:1], 3, 0)
    return np.round(255 * np.clip(bands, 0, 1)).astype(np.uint8).transpose(1, 2, 0)


def contact_sheet(rows: Sequence[tuple[Panel, Mapping[str, Sequence[Panel]]]]) -> bytes:
    """PNG with a row for each query: the query, then what each method found for it, best first (Figure 1).

    Every row has the same methods with as many images each.
    """
    groups = {name: len(found) for name, found in rows[0][1].items()}
    if any({name: len(found) for name, found in row.items()} != groups for _, row in rows):
        raise ValueError("asked for the same methods and counts in every row; pass as many images for each")
    # a narrow empty column before each method keeps them apart
    widths = [1.0] + [w for count in groups.values() for w in (0.12, *([1.0] * count))]
    height, width = rows[0][0].image.shape[1:]
    figure = new_figure(1.35 * sum(widths), 1.35 * len(rows) * height / width + 0.5 + 0.24 * len(rows))
    grid = figure.subplots(len(rows), len(widths), squeeze=False, width_ratios=widths)
    for line, (query, found) in zip(grid, rows, strict=True):
        panels: list[Panel | None] = [query]
        for one in found.values():
            panels += [None, *one]
        for axes, panel in zip(line, panels, strict=True):
            _picture(axes, panel)
    place = 0
    for name, count in {"query": 1, **groups}.items():
        at = grid[0][place if name == "query" else place + 1]
        at.annotate(name, (0, 1.24), xycoords="axes fraction", fontsize=9, color=INK, weight="bold")
        place += count if name == "query" else count + 1
    return png_bytes(figure)


def _picture(axes: Axes, panel: Panel | None) -> None:
    quiet(axes)
    axes.set_xticks([])
    axes.set_yticks([])
    if panel is None:
        axes.set_visible(False)
        return
    axes.imshow(composite(panel.image), interpolation="nearest", aspect="equal")
    axes.set_title(panel.title, fontsize=6.5, color=FAINT, loc="left", pad=2)


def month_layouts(layouts: Mapping[str, NDArray[np.floating]], times: NDArray, notes: Mapping[str, str]) -> bytes:
    """PNG of layouts (n, 2) by method, each frame a dot in the colour of its month (Figure 2).

    times: datetime64 (n,); notes: method to a line under its title.
    """
    months = times.astype("datetime64[M]").astype(np.int64) % 12
    colors = np.array(MONTH_COLORS)[months]
    columns = min(3, len(layouts))
    lines = -(-len(layouts) // columns)
    figure = new_figure(4.0 * columns, 4.1 * lines + 0.5)
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    # drawn in an order of its own: the last month of the year must not cover the others
    order = np.random.default_rng(0).permutation(len(times))
    for panel, (name, layout) in zip(panels, layouts.items(), strict=False):
        size = float(np.clip(4000 / len(times), 0.6, 14))
        panel.scatter(*layout[order].T, s=size, c=colors[order], linewidths=0, rasterized=True)
        panel.set_title(name, fontsize=11, color=INK, loc="left", pad=16)
        panel.annotate(notes.get(name, ""), (0, 1.015), xycoords="axes fraction", fontsize=8, color=FAINT)
        panel.set_xticks([])
        panel.set_yticks([])
        panel.set_aspect("equal", adjustable="datalim")
        quiet(panel)
    for panel in panels[len(layouts) :]:
        panel.set_visible(False)
    seen = np.unique(months)
    handles = [Patch(facecolor=MONTH_COLORS[month], label=MONTHS[month]) for month in seen]
    figure.legend(
        handles=handles, loc="outside lower left", ncols=12, frameon=False, fontsize=8, labelcolor=INK, handlelength=1
    )
    return png_bytes(figure)
