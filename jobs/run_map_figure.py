"""The work of a run as a picture: what was done, and what failed, was quarantined or skipped, on the ground."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from jobs.figures import FAINT, INK, new_figure, png_bytes, quiet
from jobs.map_page.xyz import outline_of
from jobs.run_map import DONE, FAILED, PENDING, QUARANTINED_WINDOW, SKIPPED, RunMap, StageMap

COLORS: Mapping[str, tuple[str, str]] = {
    DONE: ("#99d8c7", "done"),
    PENDING: ("#ffffff", "not done"),
    FAILED: ("#d40000", "failed"),
    SKIPPED: ("#d9dbe0", "skipped: outside of the area"),
    QUARANTINED_WINDOW: ("#7b00b4", "quarantined window"),
}
"""State to its colour and its name."""


def run_map_picture(seen: RunMap) -> bytes | None:
    """Return a PNG with a panel for each stage; None where there is nothing to draw, or too much."""
    over = [one for one in seen.stages if QUARANTINED_WINDOW in one.states]
    stages = [one for one in seen.stages if one.work and one not in over]
    if not stages:
        return None
    rings = [_rings(one) for one in stages]
    (west, south), (east, north) = (
        getattr(np, how)([getattr(ring, how)(axis=0) for part in rings for ring in part], axis=0)
        for how in ("min", "max")
    )
    stretch = 1 / max(0.05, math.cos(math.radians((south + north) / 2)))
    ratio = min(max((north - south) * stretch / (east - west), 0.3), 3.0)
    figure = new_figure(12.0, 12.0 / 3.3 * ratio + 1.4)
    panels = figure.subplots(1, len(stages), sharex=True, sharey=True, squeeze=False)[0]
    for panel, stage, part in zip(panels, stages, rings, strict=True):
        _draw(panel, stage, part)
        for windows in over if stage.stage == "infer" else ():
            _draw(panel, windows, _rings(windows))
        failed = f", {stage.count(FAILED)} failed" if FAILED in stage.states else ""
        done = f"{stage.count(DONE)} of {len(stage.states) - stage.count(SKIPPED)} done"
        panel.set_title(f"{stage.stage}: {done}{failed}", fontsize=11, color=INK, loc="left")
        panel.set_xlim(west, east)
        panel.set_ylim(south, north)
        panel.set_aspect(stretch)
        panel.set_xlabel("degrees", fontsize=8, color=FAINT)
        panel.xaxis.set_major_locator(MaxNLocator(nbins=4, min_n_ticks=2))
        quiet(panel)
    found = {letter for one in (*stages, *over) for letter in one.states}
    handles = [
        Patch(facecolor=color, edgecolor=FAINT, label=name) for key, (color, name) in COLORS.items() if key in found
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), frameon=False, fontsize=9)
    return png_bytes(figure)


def _rings(stage: StageMap) -> list[np.ndarray]:
    return [np.array(outline_of(one.grid, one.box, 3)) for one in stage.work]


def _draw(panel: Axes, stage: StageMap, rings: list[np.ndarray]) -> None:
    colors = [COLORS[letter][0] for letter in stage.states]
    width = 0.6 if len(rings) < 2000 else 0.1
    panel.add_collection(PolyCollection(rings, facecolors=colors, edgecolors=FAINT, linewidths=width))
