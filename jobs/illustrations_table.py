"""The tables of the illustration document: what it reports beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jobs.illustrations_counts import CLUSTERS, COLUMNS, MEAN_F1, TRUE_MEAN_F1, Counted, counts_rows
from jobs.illustrations_scores import Removed, oracle_f1, removed_of, threshold_removals
from jobs.text_table import TextTable
from models.bootstrap import Interval
from models.classification_scores import class_rows, classification_scores, collapse

NOTHING = "-"


def counts_table(found: Counted) -> TextTable:
    """Return every count at every step."""
    caption = (
        "The document's totals do not close: its rule leaves 14,564 images, less 1,905 photos 12,659, yet 15,932 were "
        "divided. No whole number of images a class gives 15,932 after a removal of 1,905."
    )
    return TextTable("counts", "Counts", caption, COLUMNS, tuple(counts_rows(found)))


def clusters_table(rows: Sequence[Mapping[str, str]]) -> TextTable:
    """Return the reducers: sizes, silhouette and Davies-Bouldin as reported, and as measured in two spaces.

    Args:
        rows: of `scores.csv`, as `sandan curate clean` writes it.
    """
    caption = (
        "Reported: sizes, silhouette, Davies-Bouldin. The document's autoencoder row equals its random row in every "
        "digit, and both print another variable than the row of PCA: its autoencoder is unknown. Own: in the space "
        "that was clustered. Common: principal components of standardised small pictures."
    )
    header = ("reducer", "reported", "sizes", "own silhouette", "own DB", "common silhouette", "common DB", "chosen")
    names = ("silhouette", "davies_bouldin", "common_silhouette", "common_davies_bouldin")
    cells = []
    for row in rows:
        reported = CLUSTERS[row["reducer"]].text if row["reducer"] in CLUSTERS else NOTHING
        numbers = [f"{float(row[name]):.4f}" for name in names]
        cells.append((row["reducer"], reported, row["sizes"], *numbers, "yes" if row["chosen"] == "True" else ""))
    return TextTable("clusters", "Reducers and clusters", caption, header, tuple(cells))


def removal_table(
    rows: Sequence[Mapping[str, str]], clusters: Sequence[Mapping[str, str]], pixel: np.ndarray, photo: np.ndarray
) -> TextTable:
    """Return what the suspect cluster of each reducer removes beside what is planted, and beside trivial rules.

    Args:
        rows: of `scores.csv`.
        clusters: of `clusters.csv`: the images that were clustered.
        pixel: float (n,): their mean pixels.
        photo: bool (n,): which of them are photos.
    """
    found: list[tuple[str, Removed]] = []
    for row in rows:
        labels = np.array([int(one[row["reducer"]]) for one in clusters])
        mark = " (chosen)" if row["chosen"] == "True" else ""
        found.append((f"{row['reducer']}{mark}", removed_of(labels == int(row["suspect"]), photo)))
    found += threshold_removals(pixel, photo).items()
    cells = [
        (
            name,
            str(one.removed),
            *(f"{value:.3f}" for value in (one.precision, one.recall, one.f1)),
            f"{one.lost} ({one.lost_share:.1%})",
        )
        for name, one in found
    ]
    best = f"{oracle_f1(pixel, photo):.3f}"
    cells.append(("best threshold of the mean pixel (knows the truth)", NOTHING, NOTHING, NOTHING, best, NOTHING))
    caption = (
        f"Of {len(photo)} images that were clustered {int(photo.sum())} are photos. Each reducer's suspect cluster is "
        "taken by the rule, without the truth; lost: illustrations that are removed."
    )
    header = ("removed", "images", "precision", "recall", "F1", "lost")
    return TextTable("removal", "Removal of photos", caption, header, tuple(cells))


SCORES = ("macro_f1", "micro_f1", "weighted_f1", "balanced_accuracy", "kappa", "predicted_entropy")


def scores_table(judged: Sequence[tuple[str, str, np.ndarray]]) -> TextTable:
    """Return scores of whole networks and of trivial rules.

    Args:
        judged: who, on what, and the confusion matrix (K, K).
    """
    reported = (f"{MEAN_F1} as printed, {TRUE_MEAN_F1} of its 20 values", *[NOTHING] * (len(SCORES) - 1), NOTHING)
    cells: list[tuple[str, ...]] = [("the document's network", "its test part", "3187", *reported)]
    for who, on, matrix in judged:
        scores = classification_scores(matrix)
        fallen = collapse(matrix)
        verdict = "COLLAPSED" if fallen.collapsed else "no"
        cells.append((who, on, str(int(matrix.sum())), *(f"{scores[name]:.3f}" for name in SCORES), verdict))
    caption = (
        "macro_f1: mean over classes, the document's mean; micro_f1: accuracy; entropy of answers in bits. 0.135 is "
        "what one that always answers one class could have as accuracy; the mean of the 20 printed values is 0.033."
    )
    header = ("who", "judged on", "images", *SCORES, "collapsed")
    return TextTable("scores", "F1 of whole images", caption, header, tuple(cells))


def classes_table(matrices: Mapping[str, np.ndarray], names: Sequence[str]) -> TextTable:
    """Return the F1 of each class by several networks on the same images.

    Args:
        matrices: who to confusion matrix (K, K); all of the same images.
        names: of the classes.
    """
    rows = {who: class_rows(matrix, names) for who, matrix in matrices.items()}
    supports = [int(row["support"]) for row in next(iter(rows.values()))]
    cells: list[tuple[str, ...]] = [
        (name, str(supports[place]), *(f"{float(rows[who][place]['f1']):.3f}" for who in rows))
        for place, name in enumerate(names)
    ]
    scores = {who: classification_scores(matrix) for who, matrix in matrices.items()}
    for short, key in (("macro", "macro_f1"), ("micro", "micro_f1"), ("weighted", "weighted_f1")):
        cells.append((short, str(sum(supports)), *(f"{scores[who][key]:.3f}" for who in rows)))
    caption = "F1 of each class on the same images. Of the document's twenty values only the mean is known here, 0.033."
    return TextTable("classes", "F1 by class", caption, ("class", "images", *rows), tuple(cells))


def differences_table(found: Mapping[str, Interval], images: int) -> TextTable:
    """Return by how much cleaning helped, with intervals."""
    cells = tuple((name, f"{one.value:+.3f}", f"{one.low:+.3f}", f"{one.high:+.3f}") for name, one in found.items())
    caption = (
        f"Network on cleaned data minus network on uncleaned data, on {images} true illustrations that both hold back; "
        "95 % intervals by bootstrap over images. They are of one training each: where weights begin can matter more "
        "than cleaning, so repeat with other seeds before you believe a difference."
    )
    header = ("score", "difference", "low", "high")
    return TextTable("differences", "Does cleaning help?", caption, header, cells)


def as_json(tables: Sequence[TextTable]) -> dict[str, Any]:
    """Return the tables by name, as plain rows."""
    return {table.name: table.records() for table in tables}
