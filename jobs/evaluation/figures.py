"""Pictures of an evaluation: pure functions from its plain values to PNG bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jobs.figures import FAINT, INK, LINE_COLORS, new_figure, png_bytes, quiet

FOUND, PARTLY, MISSED = LINE_COLORS[2], LINE_COLORS[4], LINE_COLORS[1]


def reliability(calibration: Mapping[str, Any], title: str) -> bytes:
    """Draw the reliability diagram of one map, in bins of equal width and of equal mass, over how many pixels."""
    figure = new_figure(5.2, 5.6)
    panel, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    panel.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    for kind, color, marker, text in (
        ("equal_width", LINE_COLORS[0], "o", f"equal width, ECE {_number(calibration['ece'])}"),
        ("equal_mass", LINE_COLORS[1], "s", f"equal mass, ECE {_number(calibration['ece_equal_mass'])}"),
    ):
        known = [
            pair
            for pair in zip(calibration[kind]["confidence"], calibration[kind]["accuracy"], strict=True)
            if None not in pair
        ]
        x, y = ([pair[k] for pair in known] for k in (0, 1))
        panel.plot(x, y, color=color, marker=marker, markersize=4, linewidth=1.2, label=text)
    counts = np.array(calibration["equal_width"]["counts"])
    edges = np.linspace(0, 1, len(counts) + 1)
    below.bar(edges[:-1], counts, np.diff(edges), align="edge", color=LINE_COLORS[5], edgecolor="white", linewidth=0.4)
    if counts.any():
        below.set_yscale("log")
        below.minorticks_off()
        below.set_ylim(bottom=0.5)
    panel.set_xlim(0, 1)
    panel.set_ylim(0, 1)
    temperature = calibration["temperature"]
    note = "" if temperature is None else f"; temperature {temperature:.2f} would fit"
    panel.set_title(title + note, fontsize=10, color=INK, loc="left")
    panel.set_ylabel("share that is right", fontsize=9, color=INK)
    below.set_xlabel("probability", fontsize=9, color=INK)
    below.set_ylabel("pixels", fontsize=9, color=INK)
    panel.legend(frameon=False, fontsize=9, labelcolor=INK, loc="upper left")
    for axes in (panel, below):
        quiet(axes, grid="y")
    return png_bytes(figure)


def confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> bytes:
    """Draw a confusion matrix: of the pixels of each label, how many percent were mapped as what."""
    counts = np.array(matrix)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 2.2 + 0.9 * len(classes)
    figure = new_figure(side + 0.8, side)
    panel = figure.subplots()
    panel.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, col in np.ndindex(counts.shape):
        text = f"{100 * shares[row, col]:.1f} %\n{counts[row, col]:,}"
        color = "white" if shares[row, col] > 0.55 else INK
        panel.text(col, row, text, ha="center", va="center", fontsize=8, color=color)
    ticks = np.arange(len(classes))
    panel.set_xticks(ticks, classes, rotation=0 if len(classes) < 5 else 45)
    panel.set_yticks(ticks, classes)
    panel.set_xlabel("mapped", fontsize=9, color=INK)
    panel.set_ylabel("labelled", fontsize=9, color=INK)
    quiet(panel)
    return png_bytes(figure)


def score_bars(rows: Sequence[Mapping[str, Any]], column: str = "mIoU") -> bytes:
    """Draw one score of every row with its interval: members, ensemble and baselines beside each other."""
    figure = new_figure(7.6, 1.0 + 0.36 * len(rows))
    panel = figure.subplots()
    for place, row in enumerate(rows):
        value = row[column]
        if value is None:
            continue
        panel.barh(place, value, height=0.62, color=LINE_COLORS[0])
        low, high = row["intervals"][column]
        if low is not None:
            panel.plot([low, high], [place, place], color=INK, linewidth=1.4, marker="|", markersize=7)
        edge = value if high is None else max(value, high)
        panel.annotate(f"{value:.4f}", (edge, place), (5, 0), textcoords="offset points", va="center", fontsize=8)
    panel.set_yticks(range(len(rows)), [row["name"] for row in rows])
    panel.set_ylim(len(rows) - 0.4, -0.6)
    panel.set_xlim(0, 1.12)
    panel.set_xlabel(f"{column}, with its 95 % interval", fontsize=9, color=INK)
    quiet(panel, grid="x")
    return png_bytes(figure)


def size_bars(by_size: Sequence[Mapping[str, Any]]) -> bytes:
    """Draw how many labelled objects of each size were found, partly found and missed."""
    figure = new_figure(7.2, 3.4)
    panel = figure.subplots()
    places, bottom = np.arange(len(by_size)), np.zeros(len(by_size))
    for verdict, color in (("found", FOUND), ("partly", PARTLY), ("missed", MISSED)):
        heights = np.array([row[verdict] for row in by_size])
        panel.bar(places, heights, 0.66, bottom, color=color, label=verdict)
        bottom = bottom + heights
    for place, row in enumerate(by_size):
        if row["labelled"]:
            share = f"{100 * row['found'] / row['labelled']:.0f} % found"
            panel.annotate(share, (place, bottom[place]), (0, 4), textcoords="offset points", ha="center", fontsize=8)
    panel.set_xticks(places, [row["size"] for row in by_size])
    panel.set_ylim(0, max(1.0, 1.15 * float(bottom.max())))
    panel.set_ylabel("labelled objects", fontsize=9, color=INK)
    beside: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "ncols": 3}
    panel.legend(frameon=False, fontsize=9, labelcolor=INK, **beside)
    quiet(panel, grid="y")
    return png_bytes(figure)


def doubt(uncertainty: Mapping[str, Any]) -> bytes:
    """Draw the share of wrong pixels against each band of uncertainty, over how many pixels."""
    figure = new_figure(3.4 * len(uncertainty) + 0.8, 4.4)
    panels = figure.subplots(2, len(uncertainty), sharex="col", sharey="row", squeeze=False, height_ratios=(4, 1))
    for (panel, below), (name, told) in zip(panels.T, uncertainty.items(), strict=True):
        for kind, color, marker in (("equal_width", LINE_COLORS[0], "o"), ("equal_mass", LINE_COLORS[1], "s")):
            known = [(v, w) for v, w in zip(told[kind]["value"], told[kind]["wrong"], strict=True) if w is not None]
            x, y = ([pair[k] for pair in known] for k in (0, 1))
            panel.plot(x, y, color=color, marker=marker, markersize=4, linewidth=1.2, label=kind.replace("_", " "))
        panel.axhline(told["wrong_pixels"] / told["pixels"], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        panel.set_title(f"{name.replace('_', ' ')}\nAUROC {_number(told['auroc'])}", fontsize=10, color=INK, loc="left")
        places, pixels = told["equal_width"]["value"], told["equal_width"]["pixels"]
        shown = [(x, n) for x, n in zip(places, pixels, strict=True) if x is not None]
        below.vlines([x for x, _ in shown], 0.5, [n for _, n in shown], color=LINE_COLORS[5], linewidth=5)
        below.set_yscale("log")
        below.minorticks_off()
        below.set_ylim(bottom=0.5)
        below.set_xlabel(told["unit"], fontsize=9, color=INK)
        for axes in (panel, below):
            quiet(axes, grid="y")
    panels[0, 0].set_ylim(bottom=0)
    panels[0, 0].set_ylabel("share that is wrong", fontsize=9, color=INK)
    panels[1, 0].set_ylabel("pixels", fontsize=9, color=INK)
    panels[0, 0].legend(frameon=False, fontsize=9, labelcolor=INK, loc="best")
    return png_bytes(figure)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


PICTURES: dict[str, tuple[str, str, Callable[[Mapping[str, Any]], bytes]]] = {
    "scores": (
        "Scores with their intervals",
        "How far a score would move, had other ground been labelled.",
        lambda e: score_bars(e["rows"]),
    ),
    "reliability": (
        "Reliability",
        "On the diagonal a probability is right as often as it says.",
        lambda e: reliability(e["calibration"][e["principal"]], _title(e)),
    ),
    "confusion": (
        "Confusion",
        "Share of the labelled pixels of a class, and how many.",
        lambda e: confusion(e["confusion"], e["classes"]),
    ),
    "sizes": (
        "Objects by size",
        "Labelled objects by their area on the judged ground.",
        lambda e: size_bars(e["objects"]["by_size"]),
    ),
    "uncertainty": (
        "Where the map is unsure",
        "Share of wrong pixels by the value of each band of uncertainty; dashed: of all pixels.",
        lambda e: doubt(e["uncertainty"]),
    ),
}
"""File to title, caption and what draws it."""


def pictures_of(evaluation: Mapping[str, Any]) -> Mapping[str, tuple[str, str, Callable[[Mapping[str, Any]], bytes]]]:
    """Return those of `PICTURES` that an evaluation has numbers for."""
    return {name: one for name, one in PICTURES.items() if name != "uncertainty" or evaluation.get("uncertainty")}


def _title(evaluation: Mapping[str, Any]) -> str:
    return next(row["name"] for row in evaluation["rows"] if row["id"] == evaluation["principal"])


def pictures(evaluation: Mapping[str, Any]) -> dict[str, bytes]:
    """Draw every picture of an evaluation: file name without suffix to PNG."""
    return {name: draw(evaluation) for name, (_, _, draw) in pictures_of(evaluation).items()}
