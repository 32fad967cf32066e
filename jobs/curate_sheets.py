"""What `sandan curate clean` leaves on disk, and how the report shows it: scores, clusters and a sheet of each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jobs.curate_clean import Cleaning, score_rows
from jobs.curate_desk import Desk
from jobs.curate_figures import picture_of, sheet
from jobs.lists import csv_bytes
from jobs.report import Figure, Table

SAMPLES = 16
"""Tiles of a cluster on its sheet: half of them nearest to its middle, half at random."""


def cleaning_files(desk: Desk, cleaning: Cleaning) -> dict[str, bytes]:
    """Return clusters.csv, scores.csv, clean.json and a sheet of each cluster of each reducer, by name."""
    files = {"scores.csv": _csv(score_rows(cleaning))}
    labels = {one.clustering.reducer: one.clustering.labels for one in cleaning.found}
    rows_of_clusters = [
        {"id": desk.ids[row], "label": str(desk.frame["label"][row])}
        | {name: int(label[place]) for name, label in labels.items()}
        for place, row in enumerate(cleaning.rows.tolist())
    ]
    files["clusters.csv"] = _csv(rows_of_clusters)
    random = np.random.default_rng(0)
    for one in cleaning.found:
        for cluster in range(len(one.clustering.sizes)):
            near = one.clustering.typical(cluster, SAMPLES // 2)
            rest = np.setdiff1d(np.flatnonzero(one.clustering.labels == cluster), near)
            drawn = random.permutation(rest)[: SAMPLES - len(near)]
            rows = cleaning.rows[np.concatenate([near, drawn])].tolist()
            picture = sheet([picture_of(desk.store, row) for row in rows], [desk.ids[row] for row in rows])
            files[f"{one.clustering.reducer}-{cluster}.png"] = picture
    told = {
        "classes": list(cleaning.classes),
        "tiles": len(cleaning.rows),
        "chosen": cleaning.best.clustering.reducer,
        "reason": cleaning.chosen.reason,
        "suspect": cleaning.suspect.index,
        "suspect_reason": cleaning.suspect.reason,
        "notes": cleaning.notes,
        "scores": score_rows(cleaning),
    }
    return files | {"clean.json": json.dumps(told, indent=1).encode()}


def _csv(rows: Sequence[Mapping[str, object]]) -> bytes:
    return csv_bytes(tuple(rows[0]), [tuple(row.values()) for row in rows])


def read_cleaning(desk: Desk) -> tuple[dict[str, Any], list[Figure]]:
    """Return what `clean` found last, with the sheets of the reducer that was chosen."""
    storage = desk.planned.storage.child("curation")
    if not storage.exists("clean/clean.json"):
        return {}, []
    told = json.loads(storage.get("clean/clean.json"))
    pictures = []
    for row in told["scores"]:
        for cluster, size in enumerate(row["sizes"].split("/")):
            name = f"clean/{row['reducer']}-{cluster}.png"
            if storage.exists(name):
                suspected = row["reducer"] == told["chosen"] and cluster == told["suspect"]
                text = f"{size} tiles; first row: nearest to its middle, then at random."
                title = f"{row['reducer']}, cluster {cluster}{' (suspect)' if suspected else ''}"
                pictures.append(Figure(title, text, storage.get(name)))
    return told, pictures


def score_tables(told: dict[str, Any]) -> list[Table]:
    """Return the table of reducers, as `clean.json` tells it."""
    if not told:
        return []
    of = ", ".join(told["classes"]) or "all"
    text = f"{told['tiles']} tiles of {of}. Chosen: {told['reason']}. Suspect: {told['suspect_reason']}."
    rows = [tuple(row.values()) for row in told["scores"]]
    header = ("reducer", "cluster sizes", "dimension", "silhouette", "Davies-Bouldin", "common silhouette",
              "common Davies-Bouldin", "chosen", "suspect cluster")  # fmt: skip
    return [Table("Clusters", text, header, rows)]
