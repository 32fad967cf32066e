"""From what was trained and removed to the tables and pictures of the illustration document."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jobs.curate_desk import Desk
from jobs.curate_versions import Version
from jobs.illustrations import CNN, UNCLEANED
from jobs.illustrations_counts import Counted
from jobs.illustrations_report import Results, cluster_sheets, confusion_picture, curves_picture, example_pair
from jobs.illustrations_scores import paired_differences, read_kinds
from jobs.illustrations_table import (
    classes_table,
    clusters_table,
    counts_table,
    differences_table,
    removal_table,
    scores_table,
)
from jobs.image_predictions import Answers
from jobs.report import Figure
from jobs.text_table import TextTable
from jobs.train_images import PlannedImages
from jobs.training_loop import HISTORY
from models.balance import imbalance

OWN, COMMON = "its test part, labels as delivered", "true illustrations that both hold back"
TITLES = {CNN: "network, cleaned", UNCLEANED: "network, not cleaned"}


@dataclass(frozen=True)
class Found:
    """What the steps of the reproduction left."""

    desk: Desk
    ground: str
    """What the images are."""
    balance: Version | None
    clean: Version | None
    folder: Path | None
    """Of the files of the version of cleaning."""
    truth: Path | None
    trained: Mapping[str, tuple[PlannedImages, Answers]]
    models: Mapping[str, Path]
    seconds: Mapping[str, float]


def results_of(found: Found) -> Results:
    """Lay out everything.

    Raises:
        ValueError: the table of truth lacks an image.
    """
    desk, names = found.desk, found.desk.store.class_names
    place = {name: row for row, name in enumerate(desk.ids)}
    photo = None if found.truth is None else read_kinds(found.truth, desk.ids)
    tables, figures, notes = [counts_table(counted(found))], dict[str, Figure](), _notes(found)
    if found.folder is not None:
        rows, clusters = _rows(found.folder / "scores.csv"), _rows(found.folder / "clusters.csv")
        some = np.array([place[one["id"]] for one in clusters])
        pixel = desk.frame["pixel"][some]
        known = None if photo is None else photo[some]
        tables.append(clusters_table(rows))
        if known is not None:
            tables.append(removal_table(rows, clusters, pixel, known))
        figures["pair"] = example_pair(desk.store, some, pixel, known)
        chosen = next(row["reducer"] for row in rows if row["chosen"] == "True")
        figures |= cluster_sheets(found.folder, rows, list(dict.fromkeys((chosen, "texture"))))
    illustration = None if photo is None else {one for one, bad in zip(desk.ids, photo, strict=True) if not bad}
    tables += _network_tables(found, names, illustration)
    matrix = found.trained[CNN][1].matrix(CNN, len(names))
    figures["confusion"] = Figure(
        "Confusion of the network on cleaned data", f"{OWN}; rows are labels.", confusion_picture(matrix, names)
    )
    models = {TITLES[name]: folder for name, folder in found.models.items()}
    figures["curves"] = Figure("Training", "Validation is not augmented.", curves_picture(models))
    title = f"The illustration document on {found.ground}, {len(desk.ids)} images"
    return Results(title, tuple(notes), tuple(tables), figures, found.seconds)


def counted(found: Found) -> Counted:
    """Return the counts of all steps."""
    desk, seen = found.desk, found.desk.looks.seen
    counts = dict.fromkeys(desk.store.class_names, 0) | dict(Counter(desk.frame["label"][seen].tolist()))
    judged = imbalance(counts)
    clustered = [] if found.folder is None else _rows(found.folder / "clusters.csv")
    planned = found.trained[CNN][0]
    removed = {one.id for version in (found.balance, found.clean) if version for one in version.removals}
    return Counted(
        counts=counts,
        over_full=judged.over_full,
        target=judged.target,
        balanced=len(found.balance.removals) if found.balance else 0,
        flagged=tuple(sorted({row["label"] for row in clustered})),
        clustered=len(clustered),
        cleaned=len(found.clean.removals) if found.clean else 0,
        kept=int((seen & ~np.isin(desk.ids, sorted(removed))).sum()),
        parts=Counter(planned.parts.values()),
    )


def _network_tables(found: Found, names: tuple[str, ...], illustration: set[str] | None) -> list[TextTable]:
    """Return scores of networks and rules; on common images too where the truth is known.

    Args:
        found: what was trained.
        names: of the classes.
        illustration: ids of true illustrations.
    """
    judged, number = [], len(names)
    for name, (_, one) in found.trained.items():
        judged.append((TITLES[name], OWN, one.matrix(name, number)))
    cleaned = found.trained[CNN][1]
    rules = [who for who in cleaned.answered if who != CNN]
    judged += [(who, "test part of the cleaned", cleaned.matrix(who, number)) for who in rules]
    if illustration is None or UNCLEANED not in found.trained:
        matrices = {TITLES[CNN]: cleaned.matrix(CNN, number)}
        return [scores_table(judged), classes_table(matrices, names)]
    other = found.trained[UNCLEANED][1]
    both = sorted(set(cleaned.ids) & set(other.ids) & illustration)
    chosen, theirs = (np.isin(one.ids, both) for one in (cleaned, other))
    matrices = {
        TITLES[CNN]: cleaned.matrix(CNN, number, chosen),
        TITLES[UNCLEANED]: other.matrix(UNCLEANED, number, theirs),
    }
    judged += [(who, COMMON, matrix) for who, matrix in matrices.items()]
    judged += [(who, COMMON, cleaned.matrix(who, number, chosen)) for who in rules]
    tables = [scores_table(judged), classes_table(matrices, names)]
    if len(both) > 1:
        mine = np.flatnonzero(chosen)[np.argsort(np.array(cleaned.ids)[chosen])]
        its = np.flatnonzero(theirs)[np.argsort(np.array(other.ids)[theirs])]
        pair = cleaned.answered[CNN][mine], other.answered[UNCLEANED][its]
        tables.append(differences_table(paired_differences(cleaned.labels[mine], *pair, number), len(both)))
    return tables


def _notes(found: Found) -> list[str]:
    """Return what a reader must know."""
    desk = found.desk
    group, split = desk.frame["duplicate_group"], found.trained[CNN][0].parts
    parts: dict[int, set[str]] = {}
    for row, name in enumerate(desk.ids):
        if name in split:
            parts.setdefault(int(group[row]), set()).add(split[name])
    straddling = sum("test" in some and len(some) > 1 for some in parts.values())
    notes = [
        f"The split is drawn by image, as the document's: {straddling} groups of copies lie on both sides of it.",
        "One training of each network: another seed gives other numbers.",
    ]
    for name, folder in found.models.items():
        accuracies = [row["accuracy"] for row in json.loads((folder / HISTORY).read_text())]
        if accuracies.index(max(accuracies)) == len(accuracies) - 1:
            notes.append(f"{TITLES[name]}: still learning, its best epoch is the last of {len(accuracies)}.")
    if found.clean is None:
        notes.append("No class was flagged, so nothing was cleaned and there is one network alone.")
    if found.ground.startswith("synthetic"):
        notes.append(
            "The images are synthetic: the numbers say what the method does on known truth, not what was reported."
        )
    return notes


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
