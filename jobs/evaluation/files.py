"""The files of an evaluation: JSON for programs, CSV for spreadsheets, figures for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cluster.storage import Storage
from jobs.evaluation.doubt import doubt_rows
from jobs.evaluation.figures import pictures, pictures_of
from jobs.evaluation.objects import ObjectRow, by_size, object_columns, tally
from jobs.lists import csv_of
from jobs.report import Figure, Table

FOLDER = "evaluation"


def write_evaluation(
    storage: Storage,
    evaluation: Mapping[str, Any],
    objects: Sequence[ObjectRow],
    regions: Sequence[str],
    parts: Sequence[Mapping[str, Any]],
) -> None:
    """Write everything below `OUT/evaluation/`.

    Args:
        storage: the run's folder.
        evaluation: plain values, objects and words among them.
        objects: every object.
        regions: names of the regions.
        parts: what to say of each part that objects begin in, as columns of `objects.csv`.
    """
    files = {
        "evaluation.csv": score_rows(evaluation),
        "classes.csv": evaluation["by_class"],
        "missing.csv": evaluation["missing"],
        "sizes.csv": evaluation["objects"]["by_size"],
        "regions.csv": evaluation["regions"],
        "uncertainty.csv": doubt_rows(evaluation),
        "objects.csv": [object_columns(o, regions, parts[o.part]) for o in objects],
    }
    for name, rows in files.items():
        storage.put(f"{FOLDER}/{name}", csv_of(rows))
    for name, picture in pictures(evaluation).items():
        storage.put(f"{FOLDER}/figures/{name}.png", picture)
    # Last, because its presence says that the files beside it belong to it.
    storage.put(f"{FOLDER}/evaluation.json", json.dumps(evaluation, indent=1, allow_nan=False).encode())


def with_objects(evaluation: Mapping[str, Any], objects: Sequence[ObjectRow], regions: Sequence[str]) -> dict[str, Any]:
    """Return an evaluation with the counts of its objects: in all, by size and by region."""
    edges_ha = evaluation["settings"]["size_edges_ha"]
    told = {"total": tally(objects), "by_size": by_size(objects, edges_ha)}
    scores = {row["region"]: row for row in evaluation["regions"]}
    rows = []
    for index, name in enumerate(regions):
        here = [o for o in objects if o.region == index]
        if name in scores or here:
            rows.append({"region": name, **scores.get(name, {}), **tally(here)})
    return {**evaluation, "objects": told, "regions": rows}


def score_rows(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the table with low and high of every interval as columns of their own."""
    out = []
    for row in (*evaluation["rows"], *evaluation["differences"]):
        cells: dict[str, Any] = {"name": row["name"]}
        for column in evaluation["columns"]:
            cells[column] = row.get(column)
            if column in row["intervals"]:
                cells[f"{column}_low"], cells[f"{column}_high"] = row["intervals"][column]
        out.append(cells)
    return out


def read_evaluation(storage: Storage, map_key: str, threshold: float) -> dict[str, Any] | None:
    """Return the evaluation of a map, None where there is none of this map at this threshold."""
    name = f"{FOLDER}/evaluation.json"
    if not storage.exists(name):
        return None
    found = json.loads(storage.get(name))
    return found if (found.get("map"), found.get("threshold")) == (map_key, threshold) else None


def evaluation_tables(evaluation: Mapping[str, Any]) -> list[Table]:
    """Return the tables of an evaluation as a report shows them."""
    columns = evaluation["columns"]
    rows = [(r["name"], *(r[c] for c in columns), _interval(r)) for r in evaluation["rows"]]
    title = "Held-back blocks" if evaluation["settings"]["where"] == "held_back" else "All labelled ground"
    out = [Table(title, evaluation["definition"], ("map", *columns, "mIoU 95 %"), rows)]
    words = "; ".join(f"{column}: {text}" for column, text in evaluation["definitions"].items())
    out.append(_table("By class", f"Columns: {words}.", evaluation["by_class"]))
    out.append(_table("With and without missing pixels", "Missing pixels count as background.", evaluation["missing"]))
    out.append(_table("Objects by size", "Labelled and mapped objects.", evaluation["objects"]["by_size"]))
    doubts = [{"band": name, **_summary(told)} for name, told in evaluation.get("uncertainty", {}).items()]
    out.append(_table("Where the map is unsure", DOUBT_CAPTION, doubts))
    if evaluation["regions"]:
        out.append(_table("Regions", "An object belongs to the region that holds most of it.", evaluation["regions"]))
    return [t for t in out if t.rows]


DOUBT_CAPTION = (
    "Wrong pixels among the tenth with the smallest and with the largest values of a band (as near as bins allow). "
    "AUROC: how often a wrong pixel has a larger value than a right one; 0.5 is a band that knows nothing. "
    "Disagreement is of pixels that several scenes saw."
)


def _summary(told: Mapping[str, Any]) -> dict[str, Any]:
    wrong = [share for share in told["equal_mass"]["wrong"] if share is not None]
    ends = {"wrong where smallest": wrong[0], "wrong where largest": wrong[-1]}
    return {"pixels": told["pixels"], "wrong": told["wrong_pixels"] / told["pixels"], **ends, "AUROC": told["auroc"]}


def _interval(row: Mapping[str, Any]) -> str | None:
    low, high = row["intervals"]["mIoU"]
    return None if low is None else f"{low:.4f} – {high:.4f}"


def _table(title: str, caption: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    names = [n for n in dict.fromkeys(name for row in rows for name in row) if n != "id"]
    header = [n.replace("_", " ") if n not in ("iou_fg", "iou_bg") else n for n in names]
    return Table(title, caption, header, [[row.get(n) for n in names] for row in rows])


def evaluation_pictures(storage: Storage, evaluation: Mapping[str, Any]) -> list[Figure]:
    """Return the figures of an evaluation as a report shows them."""
    out = []
    for name, (title, caption, _) in pictures_of(evaluation).items():
        key = f"{FOLDER}/figures/{name}.png"
        if storage.exists(key):
            out.append(Figure(title, caption, storage.get(key)))
    return out
