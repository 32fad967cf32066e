"""The table of the industrial document: what it reported beside what was measured, with baselines and definitions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jobs.evaluation.figures import score_bars
from jobs.evaluation.lineup import TTA
from jobs.industrial import MEMBERS, REPORTED, Reported
from jobs.lists import csv_of
from models.card import Card

COLUMNS = ("row", "channels", "feature", "reported", "mIoU", "low", "high", "one_view", "iou_fg", "iou_bg", "weights")
DEFINITIONS = {
    "reported": "mIoU in the document, as a share; it does not say how it averages, nor over which tiles",
    "mIoU": "mean of the IoU of background and of industry, over all labelled pixels of the validation tiles, those "
    "without imagery too; logits averaged over four views (networks)",
    "low, high": "95 % interval of it by bootstrap over tiles",
    "one_view": "the same with one view",
    "iou_fg, iou_bg": "IoU of industry, and of background",
    "weights": "where the encoder's and the decoder's weights began",
}


def measured_table(evaluation: Mapping[str, Any], cards: Mapping[str, Card], *, synthetic: bool) -> dict[str, Any]:
    """Lay out the evaluation of the document's networks.

    Args:
        evaluation: `evaluation.json` of the run that judges all of `MEMBERS`.
        cards: of each of them.
        synthetic: whether the tiles are those of the synthetic country.
    """
    found = {row["id"]: row for row in evaluation["rows"]}
    rows: list[dict[str, Any]] = []
    for reported in REPORTED:
        if len(reported.members) > 1:
            rows += [_network(_alone(reported, name, cards[name]), [name], found, cards) for name in reported.members]
        rows.append(_network(_shared(reported), reported.members, found, cards))
    title = f"ensemble of {len(MEMBERS)}"
    about = {"row": title, "channels": "5 and 6", "feature": "mean of logits", "reported": None}
    rows.append({**_measured(about, found[_with_views("ensemble", found)], found["ensemble"]), "weights": "-"})
    networks = {*(n + s for n in (*MEMBERS, "ensemble", "mean of members") for s in ("", TTA))}
    for name, row in found.items():
        if name not in networks:
            about = {"row": row["name"], "channels": "-", "feature": "baseline", "reported": None}
            rows.append({**_measured(about, row, row), "weights": "-"})
    ground = "the synthetic country: other numbers than the document's are expected" if synthetic else "the data set"
    return {
        "rows": rows,
        "columns": list(COLUMNS),
        "definitions": DEFINITIONS,
        "ground": f"{evaluation['pixels']:,} pixels of {evaluation['blocks']} validation tiles of {ground}",
        "note": "The document's first row names two networks and one score; here it is the mean of both. "
        "Its ensemble's score, and which networks it holds, are not in the text.",
    }


def _alone(reported: Reported, name: str, card: Card) -> dict[str, Any]:
    structure = {"unetplusplus": "U-Net++", "deeplabv3plus": "DeepLabV3+"}.get(card.architecture, name)
    return {"row": structure, "channels": reported.channels, "feature": reported.feature, "reported": None}


def _shared(reported: Reported) -> dict[str, Any]:
    row = reported.structure if len(reported.members) == 1 else f"{reported.structure}, mean"
    share = round(reported.miou_percent / 100, 4)
    return {"row": row, "channels": reported.channels, "feature": reported.feature, "reported": share}


def _network(
    about: dict[str, Any], members: Sequence[str], found: Mapping[str, Any], cards: Mapping[str, Card]
) -> dict[str, Any]:
    weights = ", ".join(dict.fromkeys(_begin(cards[name].weights) for name in members))
    if len(members) == 1:
        views, one = found[_with_views(members[0], found)], found[members[0]]
        return {**_measured(about, views, one), "weights": weights}
    views, one = (
        {c: float(np.mean([found[name][c] for name in names])) for c in ("mIoU", "iou_fg", "iou_bg")}
        for names in ([_with_views(m, found) for m in members], members)
    )
    return {**_measured(about, views, one), "weights": weights}


def _begin(weights: str) -> str:
    """Return where weights began without the folder that they happened to lie in."""
    scheme, _, what = weights.partition(":")
    return f"{scheme}:{what.rstrip('/').rsplit('/', 1)[-1]}" if scheme in ("file", "recipe") else weights


def _with_views(name: str, found: Mapping[str, Any]) -> str:
    return name + TTA if name + TTA in found else name


def _measured(about: dict[str, Any], row: Mapping[str, Any], one_view: Mapping[str, Any]) -> dict[str, Any]:
    low, high = row.get("intervals", {}).get("mIoU", (None, None))
    found = {"mIoU": row["mIoU"], "low": low, "high": high, "one_view": one_view["mIoU"]}
    return {**about, **found, "iou_fg": row["iou_fg"], "iou_bg": row["iou_bg"]}


def table_text(table: Mapping[str, Any]) -> str:
    """Return the table as plain text, its definitions below."""
    cells = [[_cell(row[column]) for column in table["columns"]] for row in table["rows"]]
    widths = [max(len(line[i]) for line in (table["columns"], *cells)) for i in range(len(table["columns"]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    head = "  ".join(text.ljust(width) for text, width in zip(table["columns"], widths, strict=True)).rstrip()
    told = [f"{name}: {text}." for name, text in table["definitions"].items()]
    return "\n".join(["", head, "-" * len(head), *lines, "", table["ground"] + ".", table["note"], *told])


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def table_files(table: Mapping[str, Any], evaluation: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files of a table by name."""
    return {
        "table.json": json.dumps(table, indent=1).encode(),
        "table.csv": csv_of([{column: row[column] for column in table["columns"]} for row in table["rows"]]),
        "table.txt": (table_text(table).lstrip() + "\n").encode(),
        "table.png": score_bars(evaluation["rows"]),
    }
