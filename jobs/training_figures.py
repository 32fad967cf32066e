"""Pictures of a training: its numbers by epoch, as PNG bytes in the look of the report's other figures."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from jobs.figures import INK, LINE_COLORS, new_figure, png_bytes, quiet

OTHER_SCORES = ("dice", "macro_f1", "precision", "recall", "accuracy")
"""Scores of `models.metrics` beside the IoU."""


def learning_curves(histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> bytes:
    """PNG of every number in the histories (run name -> one mapping per epoch), one panel each.

    `epoch` is the horizontal axis (the place in the sequence where absent). `train_X` and `valid_X` share a panel,
    training dashed; a value that is missing or not finite leaves a gap.
    """
    rows = [row for history in histories.values() for row in history]
    keys = list(dict.fromkeys(key for row in rows for key, value in row.items() if _is_curve(key, value)))
    names = list(dict.fromkeys(_base(key) for key in keys)) or ["no values"]
    columns = min(3, len(names))
    lines = math.ceil(len(names) / columns)
    figure = new_figure(4.6 * columns + 0.4, 3.1 * lines + 0.4)
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    for panel, name in zip(panels, names, strict=False):
        panel.set_title(name.replace("_", " "), fontsize=11, color=INK, loc="left")
        panel.set_xlabel("epoch", fontsize=9, color=INK)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        for place, (run, history) in enumerate(histories.items()):
            color = LINE_COLORS[place % len(LINE_COLORS)]
            for key in (key for key in keys if _base(key) == name):
                _curve(panel, history, key, color, run)
        quiet(panel, grid="y")
    for panel in panels[len(names) :]:
        panel.set_visible(False)
    legend = {label: line for panel in panels for label, line in _labelled(panel)}
    if legend:
        figure.legend(
            legend.values(), legend.keys(), loc="outside lower left", ncols=4, frameon=False, fontsize=9, labelcolor=INK
        )
    return png_bytes(figure)


def _labelled(panel: Axes) -> list[tuple[str, Any]]:
    handles, labels = panel.get_legend_handles_labels()
    return list(zip(labels, handles, strict=True))


def _is_curve(key: str, value: object) -> bool:
    return key not in ("epoch", "step") and isinstance(value, int | float) and not isinstance(value, bool)


def _base(key: str) -> str:
    for prefix in ("train_", "valid_", "val_"):
        key = key.removeprefix(prefix)
    return key


def _curve(panel: Axes, history: Sequence[Mapping[str, Any]], key: str, color: str, run: str) -> None:
    dashed = key.startswith("train_")
    epochs = [row.get("epoch", place) for place, row in enumerate(history)]
    values = [float(row.get(key, math.nan)) for row in history]
    label = f"{run} (training)" if dashed else run
    style: dict[str, Any] = {"linestyle": (0, (3, 2)) if dashed else "-", "linewidth": 1.3 if dashed else 1.8}
    panel.plot(epochs, values, color=color, marker="o" if len(values) < 3 else None, label=label, **style)


def training_curves(history: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> bytes:
    """PNG of one training by epoch: loss, IoU, the other scores, learning rate; the kept epoch marked.

    history: rows with `epoch`, `training_loss`, `learning_rate` and scores (`models.metrics`); `best` marks an epoch
    that was the best so far. A score that is missing or not finite leaves a gap.
    classes: one name in the binary case, else one per class, the background first.
    """
    names = ("background", *classes) if len(classes) == 1 else tuple(classes)
    own = {"iou_bg": "background", "iou_fg": names[1]} if len(classes) == 1 else {}
    own |= {f"iou_{i}": name for i, name in enumerate(names)}
    ious = {key: f"IoU of {name}" for key, name in own.items()}
    contents: tuple[tuple[str, dict[str, str]], ...] = (
        ("Training loss", {"training_loss": "training loss"}),
        ("Intersection over union", {"mIoU": "mIoU", **ious}),
        ("Other scores", {key: key.replace("_", " ") for key in OTHER_SCORES}),
        ("Learning rate", {"learning_rate": "learning rate"}),
    )
    figure = new_figure(10.4, 6.4)
    kept = next((row["epoch"] for row in reversed(history) if row.get("best")), None)
    for panel, (title, keys) in zip(figure.subplots(2, 2).flat, contents, strict=True):
        _panel(panel, title, {key: text for key, text in keys.items() if any(key in row for row in history)}, history)
        if kept is not None:
            panel.axvline(kept, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
            panel.set_title(f"best: {kept}", fontsize=8, color=INK, loc="right")
    return png_bytes(figure)


def _panel(panel: Axes, title: str, keys: Mapping[str, str], history: Sequence[Mapping[str, Any]]) -> None:
    panel.set_title(title, fontsize=11, color=INK, loc="left")
    panel.set_xlabel("epoch", fontsize=9, color=INK)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for place, (key, label) in enumerate(keys.items()):
        values = [float(row.get(key, math.nan)) for row in history]
        style: dict[str, Any] = {"linewidth": 2.2 if place == 0 else 1.3, "marker": "o" if len(values) < 3 else None}
        color = LINE_COLORS[place % len(LINE_COLORS)]
        panel.plot([row["epoch"] for row in history], values, color=color, label=label, **style)
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    quiet(panel, grid="y")
    if len(keys) > 1:
        columns = 1 + (len(keys) - 1) // 8
        panel.legend(
            loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8, labelcolor=INK, ncols=columns
        )
