"""The files of a reproduction of the illustration document: tables, pictures, and a page that shows them together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from jobs.curate_figures import picture_of, sheet
from jobs.curate_subject import Tiles
from jobs.figures import INK, new_figure, png_bytes, quiet
from jobs.illustrations_counts import EXAMPLE
from jobs.illustrations_table import as_json
from jobs.lists import csv_of
from jobs.report import Figure, ReportFacts, render_report
from jobs.text_table import TextTable
from jobs.training_figures import learning_curves

CURVES = ("training_loss", "cross_entropy", "accuracy", "macro_f1")


@dataclass(frozen=True)
class Results:
    """All that is told of a reproduction."""

    title: str
    notes: tuple[str, ...]
    tables: tuple[TextTable, ...]
    figures: Mapping[str, Figure]
    """By the name of its file."""
    seconds: Mapping[str, float]

    @property
    def text(self) -> str:
        """What a terminal shows."""
        captioned = [f"{table.plain()}\n{table.caption}\n" for table in self.tables]
        return "\n".join([self.title, "", *captioned, *(f"* {note}" for note in self.notes)])

    def write(self, out: Path) -> None:
        """Write every file below a folder; `table.json` last, because it says that the others belong to it."""
        for name, figure in self.figures.items():
            (out / f"{name}.png").write_bytes(figure.png)
        for table in self.tables:
            (out / f"{table.name}.csv").write_bytes(csv_of(table.records()))
        (out / "table.txt").write_text(self.text + "\n")
        (out / "report.html").write_text(self._page())
        told: dict[str, Any] = {"title": self.title, "notes": list(self.notes), "tables": as_json(self.tables)}
        told["seconds"] = {step: round(seconds, 1) for step, seconds in self.seconds.items()}
        (out / "table.json").write_text(json.dumps(told, indent=1))

    def _page(self) -> str:
        facts = ReportFacts(
            title=self.title,
            run_id="reproduce illustrations",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            warnings=self.notes,
            warnings_title="Before you trust these numbers",
            figures=list(self.figures.values()),
            figures_title="Pictures",
            evaluation=[table.on_page() for table in self.tables],
        )
        return render_report(facts)


def example_pair(store: Tiles, rows: np.ndarray, pixel: np.ndarray, photo: np.ndarray | None) -> Figure:
    """Return an illustration and a photo of the flagged classes, with means as near to the document's as there are.

    Args:
        store: the images.
        rows: int64 (n,): those of flagged classes.
        pixel: float (n,): their mean pixels.
        photo: bool (n,); None where nobody knows: then the brightest and the darkest are taken.
    """
    sides = (np.ones(len(rows), bool),) * 2 if photo is None or photo.all() or not photo.any() else (~photo, photo)
    wanted = EXAMPLE if photo is not None else (float(pixel.max()), float(pixel.min()))
    places = [
        int(np.where(side, np.abs(pixel - mean), np.inf).argmin()) for side, mean in zip(sides, wanted, strict=True)
    ]
    titles = [f"{name}: {pixel[place]:.2f}" for name, place in zip(("illustration", "photo"), places, strict=True)]
    picture = sheet([picture_of(store, int(rows[place])) for place in places], titles, 2)
    text = (
        f"Mean pixels of two images of the flagged classes. The document's pair has {EXAMPLE[0]} and {EXAMPLE[1]}: the "
        "ground of an illustration is white, 255."
    )
    return Figure("Why classes are flagged: an illustration and a photo", text, picture)


def confusion_picture(matrix: np.ndarray, names: Sequence[str]) -> bytes:
    """Draw a confusion matrix of many classes: how much of each label was answered as what, by colour."""
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    side = 2.0 + 0.28 * len(names)
    figure = new_figure(side + 1.0, side)
    panel = figure.subplots()
    shown = panel.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(shown, ax=panel, shrink=0.7).set_label("share of the label", fontsize=9, color=INK)
    ticks = np.arange(len(names))
    panel.set_xticks(ticks, names, rotation=90, fontsize=7)
    panel.set_yticks(ticks, names, fontsize=7)
    panel.set_xlabel("answered", fontsize=9, color=INK)
    panel.set_ylabel("labelled", fontsize=9, color=INK)
    quiet(panel)
    return png_bytes(figure)


def curves_picture(models: Mapping[str, Path]) -> bytes:
    """Draw loss and scores by epoch of some bundles: name to folder."""
    histories = {}
    for name, folder in models.items():
        rows = json.loads((folder / "history.json").read_text())
        histories[name] = [{key: row[key] for key in ("epoch", *CURVES) if key in row} for row in rows]
    return learning_curves(histories)


def cluster_sheets(folder: Path, rows: Sequence[Mapping[str, str]], reducers: Sequence[str]) -> dict[str, Figure]:
    """Return the sheets of the clusters of some reducers, as `sandan curate clean` drew them.

    Args:
        folder: where they lie.
        rows: of `scores.csv`.
        reducers: which.
    """
    figures = {}
    for row in rows:
        for cluster, size in enumerate(row["sizes"].split("/")) if row["reducer"] in reducers else ():
            name = f"{row['reducer']}-{cluster}"
            suspect = ", suspect" if cluster == int(row["suspect"]) else ""
            text = "First row: nearest to the middle of the cluster; then at random."
            title = f"{row['reducer']}: cluster {cluster} of {size} images{suspect}"
            figures[f"cluster-{name}"] = Figure(title, text, (folder / f"{name}.png").read_bytes())
    return figures
