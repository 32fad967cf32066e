"""Pictures of a report: pure functions from numpy arrays to PNG bytes.

Matplotlib's object interface only, no pyplot: nothing global changes, threads do not meet, no display is needed.
Missing pixels are never drawn as a value: they are transparent, and the hatched ground shows through.
"""

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

PROBABILITY_COLORS = "magma"  # perceptually uniform, safe for colour-blind readers, readable in grey
LINE_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito
INDUSTRIAL, GROUND, HATCH, INK, FAINT = "#e11d74", "#d9dbe0", "#a9adb8", "#1f2430", "#8b90a0"
MISSING_CLASS = 255
PANEL_PX = 900
"""Larger arrays are thinned by whole steps: a picture in a page has no more pixels to show."""


@dataclass(frozen=True)
class Extent:
    """Where a raster lies, in the coordinates of its CRS."""

    left: float
    bottom: float
    right: float
    top: float
    crs_name: str
    unit: str = "m"
    """`m` is shown as kilometres, anything else (such as `°`) as it is."""


def stretch(rgb: NDArray, valid: NDArray[np.bool_], percentiles: tuple[float, float] = (2, 98)) -> NDArray[np.uint8]:
    """Stretch (3, y, x) of any unit to (y, x, 3) uint8, each channel between its percentiles over `valid` (y, x).

    What is not valid becomes 0, which means nothing: draw it with `valid`. A constant channel becomes mid-grey.
    """
    if rgb.ndim != 3 or rgb.shape[0] != 3 or rgb.shape[1:] != valid.shape:
        raise ValueError(f"asked for (3, y, x) and (y, x), found {rgb.shape} and {valid.shape}; choose three channels")
    out = np.zeros((*valid.shape, 3), np.uint8)
    for channel, plane in enumerate(rgb.astype(np.float32)):
        known = valid & np.isfinite(plane)
        if known.any():
            low, high = np.percentile(plane[known], percentiles)
            share = (plane[known] - low) / (high - low) if high > low else np.full(known.sum(), 0.5)
            out[known, channel] = np.round(255 * np.clip(share, 0, 1)).astype(np.uint8)
    return out


def side_by_side(
    imagery: NDArray[np.uint8],
    probability: NDArray[np.floating],
    classes: NDArray[np.integer],
    valid: NDArray[np.bool_],
    extent: Extent,
    *,
    class_colors: Mapping[str, str] | None = None,
    threshold: float | None = None,
) -> bytes:
    """PNG of imagery, probability and class over the same ground.

    `imagery` (y, x, 3) as `stretch` returns it, `valid` (y, x) for it; `probability` (y, x) in [0, 1], NaN where
    missing; `classes` (y, x), 0 background, 255 missing, else a place in `class_colors` counted from 1: names of the
    classes but background, and their colours as #rrggbb.
    """
    class_colors = class_colors or {"class": INDUSTRIAL}
    shapes = [imagery.shape[:2], probability.shape, classes.shape, valid.shape]
    if len(set(shapes)) > 1:
        raise ValueError(f"asked for four arrays over the same ground, found {shapes}; read them over one window")
    strangers = classes[(classes > len(class_colors)) & (classes != MISSING_CLASS)]
    if strangers.size:
        raise ValueError(f"found class {strangers.max()}, named are {len(class_colors)}; give every class a colour")
    thin = (slice(None, None, max(1, math.ceil(max(valid.shape) / PANEL_PX))),) * 2
    seen, known = valid[thin], imagery[thin]
    figure, panels, drop = _panels(extent)
    probable = f"Probability of {next(iter(class_colors))}" if len(class_colors) == 1 else "Largest class probability"
    for panel, title in zip(panels, ("Imagery", probable, "Class"), strict=True):
        _ground(panel, title, extent)
    _draw(panels[0], np.dstack([known, np.where(seen, 255, 0).astype(np.uint8)]), extent)
    colors = matplotlib.colormaps[PROBABILITY_COLORS]
    shown = _draw(panels[1], np.ma.masked_invalid(probability[thin]), extent, cmap=colors, vmin=0, vmax=1)
    _draw(panels[2], _overlay(known, classes[thin], seen, list(class_colors.values())), extent)
    _color_bar(figure, panels[1], shown, drop, threshold)
    missing = Patch(facecolor=GROUND, edgecolor=HATCH, hatch="////", label="missing")
    _legend(panels[0], [missing], drop)
    _legend(panels[2], [*(Patch(facecolor=c, label=name) for name, c in class_colors.items()), missing], drop)
    return png_bytes(figure)


def planes(named: Mapping[str, NDArray[np.floating]], extent: Extent) -> bytes:
    """PNG of up to three planes (y, x) over the same ground, NaN where missing, each with a bar of its own colours.

    Colours begin at 0 and end at the 99th percentile of what is known.
    """
    figure, panels, drop = _panels(extent)
    for panel, (title, values) in zip(panels, named.items(), strict=False):
        _ground(panel, title, extent)
        step = max(1, math.ceil(max(values.shape) / PANEL_PX))
        thin = np.ma.masked_invalid(values[::step, ::step])
        top = float(np.percentile(thin.compressed(), 99)) if thin.count() else 1.0
        shown = _draw(panel, thin, extent, cmap=matplotlib.colormaps["viridis"], vmin=0, vmax=top or 1.0)
        _color_bar(figure, panel, shown, drop, None)
    for panel in panels[len(named) :]:
        panel.remove()
    return png_bytes(figure)


def _panels(extent: Extent) -> tuple[Figure, list[Axes], float]:
    """Three panels beside each other, or above each other where the ground is much wider than tall.

    Also how far below a panel its legend hangs, as a share of the panel's height.
    """
    ratio = min(max((extent.top - extent.bottom) / (extent.right - extent.left), 0.15), 3.0)
    if ratio < 0.4:
        height_in = 8.7 * ratio
        figure = new_figure(9.5, 3 * (height_in + 1.6))
        panels = figure.subplots(3, 1)
    else:
        height_in = 3.7 * ratio
        figure = new_figure(12.0, height_in + 1.5)
        panels = figure.subplots(1, 3, sharey=True)
    return figure, list(panels), 0.6 / height_in


def _color_bar(figure: Figure, panel: Axes, shown: Any, drop: float, threshold: float | None) -> None:
    """Below the panel and part of it, so that the three panels keep one size."""
    place = panel.inset_axes((0.0, -1.2 * drop, 0.62, 0.22 * drop))
    bar = figure.colorbar(shown, cax=place, orientation="horizontal")
    bar.outline.set_visible(False)
    place.tick_params(labelsize=8, colors=FAINT, length=2)
    if threshold is not None:
        place.axvline(threshold, color="white", linewidth=1.5)
        text = f"the class from {threshold:g}"
        place.annotate(text, (1.03, 0.5), xycoords="axes fraction", va="center", fontsize=8, color=INK)


def _overlay(imagery: NDArray, classes: NDArray, valid: NDArray, colors: Sequence[str]) -> NDArray[np.uint8]:
    """Pale grey imagery with the pixels of each class in its colour, (y, x, 4); transparent where it is missing."""
    grey = imagery.astype(np.float32).mean(axis=2, keepdims=True)
    grey = np.where(valid[..., None], 150 + 0.4 * grey, 250)  # a map may know what this one scene did not see
    color = np.array([matplotlib.colors.to_rgb(c) for c in colors])[np.clip(classes, 1, len(colors)) - 1] * 255
    of_class = ((classes != 0) & (classes != MISSING_CLASS))[..., None]
    painted = np.where(of_class, 0.22 * grey + 0.78 * color, grey)
    alpha = np.where(classes == MISSING_CLASS, 0, 255)
    return np.dstack([np.clip(painted, 0, 255), alpha]).astype(np.uint8)


def _draw(panel: Axes, picture: NDArray, extent: Extent, **how: Any) -> Any:
    scale = 1000 if extent.unit == "m" else 1
    edges = (extent.left / scale, extent.right / scale, extent.bottom / scale, extent.top / scale)
    return panel.imshow(picture, extent=edges, interpolation="nearest", aspect="equal", **how)


def _ground(panel: Axes, title: str, extent: Extent) -> None:
    """The hatched ground that missing pixels let through, the title, and axes in map coordinates."""
    panel.patch.set(facecolor=GROUND, edgecolor=HATCH, hatch="////", linewidth=0)
    panel.set_anchor("NW")
    panel.set_title(title, fontsize=12, color=INK, loc="left", pad=8)
    unit = "km" if extent.unit == "m" else extent.unit
    panel.set_xlabel(f"{extent.crs_name}, {unit}", fontsize=8, color=FAINT)
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=5, min_n_ticks=2))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.7g}"))
    quiet(panel)


def _legend(panel: Axes, handles: list[Patch], drop: float) -> None:
    where: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0, -0.92 * drop), "borderaxespad": 0.0}
    columns = len(handles) if len(handles) <= 3 else 2  # more would be wider than the panel
    panel.legend(handles=handles, ncols=columns, frameon=False, fontsize=9, labelcolor=INK, **where)


def histogram(
    counts: NDArray, edges: NDArray, *, label: str, threshold: float | None = None, of: str = "pixels"
) -> bytes:
    """PNG of how many pixels have which value: `counts` (n,), `edges` (n + 1,); the count axis is logarithmic.

    `of` says what is counted, if not pixels.

    Missing pixels belong in no bin. `threshold` is marked where given, with the share of pixels above it.
    """
    if len(edges) != len(counts) + 1:
        raise ValueError(f"asked for one edge more than counts, found {len(edges)} and {len(counts)}; pass both whole")
    figure = new_figure(7.2, 3.2)
    panel = figure.subplots()
    middle = (np.asarray(edges[:-1]) + np.asarray(edges[1:])) / 2
    span = float(edges[-1] - edges[0])
    colors = matplotlib.colormaps[PROBABILITY_COLORS](0.1 + 0.75 * (middle - edges[0]) / span)
    panel.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=colors, edgecolor="white", linewidth=0.4)
    if np.any(np.asarray(counts) > 0):
        panel.set_yscale("log")
        panel.minorticks_off()
        panel.set_ylim(bottom=0.5)
    if threshold is not None:
        above = float(np.sum(np.asarray(counts)[middle >= threshold])) / max(1.0, float(np.sum(counts)))
        panel.axvline(threshold, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        text = f" {100 * above:.3g} % above {threshold:g}"
        panel.annotate(text, (threshold, 0.97), xycoords=("data", "axes fraction"), va="top", fontsize=9, color=INK)
    panel.set_xlim(edges[0], edges[-1])
    panel.set_xlabel(label, fontsize=9, color=INK)
    panel.set_ylabel(of, fontsize=9, color=INK)
    quiet(panel, grid="y")
    return png_bytes(figure)


def timing_bar(seconds: Mapping[str, float]) -> bytes:
    """PNG with one bar per stage, in the order given; values in seconds of wall time."""
    figure = new_figure(7.2, 0.9 + 0.42 * max(1, len(seconds)))
    panel = figure.subplots()
    total_s = sum(seconds.values())
    bars = panel.barh(list(seconds), list(seconds.values()), height=0.62, color=LINE_COLORS[0])
    texts = [f"{value:,.3g} s  ({100 * value / total_s if total_s else 0:.0f} %)" for value in seconds.values()]
    panel.bar_label(bars, texts, padding=5, fontsize=9, color=INK)
    panel.invert_yaxis()
    panel.set_xlim(0, 1.3 * max([*seconds.values(), 1e-9]))
    panel.set_xlabel("wall time, s", fontsize=9, color=INK)
    quiet(panel, grid="x")
    return png_bytes(figure)


def new_figure(width_in: float, height_in: float) -> Figure:
    """A figure of the report's look, apart from pyplot's global state."""
    return Figure(figsize=(width_in, height_in), dpi=110, layout="constrained", facecolor="white")


def quiet(panel: Axes, grid: Literal["x", "y"] | None = None) -> None:
    """Axes that stay behind the data."""
    panel.tick_params(labelsize=8, colors=FAINT, length=2)
    for side in ("top", "right", "left", "bottom"):
        panel.spines[side].set_visible(False)
    if grid is not None:
        panel.grid(axis=grid, color="#e6e8ee", linewidth=0.8)
        panel.set_axisbelow(True)


def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG; the same figure always gives the same bytes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A name in a script that the font lacks shows as boxes; the page repeats it as text.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        FigureCanvasAgg(figure)
        figure.savefig(buffer, format="png", bbox_inches="tight", pad_inches=0.1, metadata={"Software": None})
    return buffer.getvalue()
