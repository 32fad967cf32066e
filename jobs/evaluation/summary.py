"""An evaluation: counts of all pieces of ground turned into scores with intervals, as plain values without NaN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.evaluation.counts import Calibration, Counts
from models.bootstrap import Interval, block_bootstrap
from models.boundary import boundary_scores
from models.calibration import Curve, binary_temperature
from models.metrics import all_positive, class_scores, class_table, scores

COLUMNS = ("mIoU", "iou_fg", "iou_bg", "precision", "recall", "dice", "accuracy")
BINS = 15
LEVEL = 0.95
SEED = 20250


@dataclass(frozen=True)
class Subject:
    """What is judged and how its table is laid out."""

    classes: tuple[str, ...]
    """Names of the class indices, background first."""
    principal: str
    """The map that figures and objects are about."""
    missing_counts: bool
    """Whether pixels with missing imagery count in `rows`; both ways are in `missing`."""
    groups: Mapping[str, Sequence[str]]
    """Rows that are the mean of the scores of other rows."""
    differences: Sequence[tuple[str, str, str]]
    """Title, and the two rows of which the second is subtracted from the first."""
    titles: Mapping[str, str]
    """What a map is called in the table, where not by its name."""
    first: Sequence[str] = ()
    """Rows that lead the table, in this order; the others follow as they were counted."""
    images: bool = False
    """Whether each block is an image of its own, so that there are scores per image."""
    resamples: int = 1000

    @property
    def binary(self) -> bool:
        """Whether there is one class beside background."""
        return len(self.classes) == 2

    @property
    def columns(self) -> tuple[str, ...]:
        """Scores that a row holds and that have intervals."""
        if self.binary:
            return (*COLUMNS, "boundary_f1")
        return ("mIoU", "macro_f1", "accuracy", "boundary_f1", *(f"iou_{i}" for i in range(len(self.classes))))


def evaluation_of(counts: Counts, subject: Subject) -> dict[str, Any]:
    """Turn counts into the evaluation.

    Raises:
        ValueError: nothing was counted.
    """
    judged = counts.confusion.sum(1) if subject.missing_counts else counts.confusion[:, 0]
    some = judged.any(axis=(1, 2, 3))  # blocks that hold nothing but missing imagery are no observation
    if not some.any():
        raise ValueError("no labelled pixel counts; check `labels`, the split and `evaluate.where`")
    strata = counts.confusion
    names = [*counts.names, "all background", *(["all positive"] if subject.binary else [])]
    chosen = _with_baselines(judged[some], subject)
    outlines = _without_outline(counts.boundary[some], len(names))
    found = _intervals(chosen, outlines, names, subject)
    confusions = dict(zip(names, chosen.sum(0), strict=True))
    borders = dict(zip(names, outlines.sum(0), strict=True))
    calibration = {name: _calibration(c) for name, c in counts.calibration.items()}
    order = dict.fromkeys([*subject.first, *subject.groups, *names])
    rows = [_row(name, found, subject) for name in order]
    columns = [*subject.columns, "ece", *(["iou_fg_imagewise"] if subject.images and subject.binary else [])]
    for row in rows:
        row["ece"] = calibration[row["id"]]["ece"] if row["id"] in calibration else None
        if "iou_fg_imagewise" in columns:
            at = [names.index(n) for n in subject.groups.get(row["id"], [row["id"]])]
            row["iou_fg_imagewise"] = float(np.mean([_imagewise(chosen[:, i]) for i in at]))
    total = int(confusions[subject.principal].sum())
    return plain(
        {
            "principal": subject.principal,
            "classes": list(subject.classes),
            "columns": columns,
            "rows": rows,
            "differences": [_difference(d, found, subject) for d in subject.differences],
            "missing": _both_ways(strata, names, subject),
            "by_class": [
                row for name in counts.names for row in _by_class(name, confusions[name], borders[name], subject)
            ],
            "confusion": confusions[subject.principal].tolist(),
            "calibration": calibration,
            "pixels": total,
            "missing_pixels": int(strata[:, 1, 0].sum()),
            "share_of_classes": (confusions[subject.principal].sum(1) / total).tolist(),
            "blocks": len(chosen),
        }
    )


def _with_baselines(confusion: np.ndarray, subject: Subject) -> np.ndarray:
    """Add what needs no map: int64 (block, map + 1 or 2, label, prediction)."""
    labelled = confusion[:, :1].sum(axis=3)
    background = np.zeros_like(confusion[:, :1])
    background[..., 0] = labelled
    if not subject.binary:
        return np.concatenate([confusion, background], axis=1)
    positive = np.stack([all_positive(c) for c in background[:, 0]])[:, None]
    return np.concatenate([confusion, background, positive], axis=1)


def _without_outline(boundary: np.ndarray, names: int) -> np.ndarray:
    """Add maps that draw no outline: int64 (block, names, label - 1, 4)."""
    empty = np.zeros((len(boundary), names - boundary.shape[1], *boundary.shape[2:]), np.int64)
    empty[..., 3] = boundary[:, :1, :, 3]
    return np.concatenate([boundary, empty], axis=1)


def _scores(confusion: np.ndarray, boundary: np.ndarray, subject: Subject) -> dict[str, float]:
    """Return the scores of one map: confusion (label, prediction) and boundary (label - 1, 4)."""
    found = scores(confusion) if subject.binary else class_scores(confusion)
    outlines = np.array([boundary_scores(b)["boundary_f1"] for b in boundary])
    defined = outlines[np.isfinite(outlines)]
    return {**found, "boundary_f1": float(defined.mean()) if defined.size else float("nan")}


def _intervals(
    confusion: np.ndarray, boundary: np.ndarray, names: Sequence[str], subject: Subject
) -> dict[str, Interval]:
    """Return value and interval of every score, as `map/column`, of the groups and of the differences too."""
    pairs = confusion[0, 0].size
    flat = np.concatenate([a.reshape(*a.shape[:2], -1) for a in (confusion, boundary)], axis=2)

    def statistic(sums: np.ndarray) -> dict[str, float]:
        by_map = {}
        for name, row in zip(names, sums, strict=True):
            by_map[name] = _scores(
                row[:pairs].reshape(confusion.shape[2:]), row[pairs:].reshape(boundary.shape[2:]), subject
            )
        for title, members in subject.groups.items():
            by_map[title] = {c: float(np.mean([by_map[m][c] for m in members])) for c in subject.columns}
        found = {f"{name}/{c}": by_map[name][c] for name in by_map for c in subject.columns}
        for title, one, other in subject.differences:
            found |= {f"{title}/{c}": by_map[one][c] - by_map[other][c] for c in subject.columns}
        return found

    if len(flat) < 2:  # one block says nothing about how blocks differ
        nan = float("nan")
        return {key: Interval(value, nan, nan) for key, value in statistic(flat.sum(0)).items()}
    return block_bootstrap(flat, statistic, subject.resamples, LEVEL, SEED)


def _row(name: str, found: Mapping[str, Interval], subject: Subject) -> dict[str, Any]:
    cells = {c: found[f"{name}/{c}"] for c in subject.columns}
    return {
        "name": subject.titles.get(name, name),
        "id": name,
        **{c: interval.value for c, interval in cells.items()},
        "intervals": {c: [interval.low, interval.high] for c, interval in cells.items()},
    }


def _difference(told: tuple[str, str, str], found: Mapping[str, Interval], subject: Subject) -> dict[str, Any]:
    title, one, other = told
    return {**_row(title, found, subject), "first": one, "second": other}


def _both_ways(strata: np.ndarray, names: Sequence[str], subject: Subject) -> list[dict[str, Any]]:
    """Score every map with pixels of missing imagery left out, and with them counted."""
    out = []
    for ignore, confusion in ((True, strata[:, 0]), (False, strata.sum(1))):
        summed = _with_baselines(confusion.sum(0, keepdims=True), subject)[0]
        for name, matrix in zip(names, summed, strict=True):
            found = scores(matrix) if subject.binary else class_scores(matrix)
            shown = {c: found[c] for c in subject.columns if c in found}
            out.append({"name": subject.titles.get(name, name), "id": name, "ignore_missing": ignore, **shown})
    return out


def _by_class(name: str, confusion: np.ndarray, boundary: np.ndarray, subject: Subject) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [dict(row) for row in class_table(confusion, subject.classes)]
    for row, outline in zip(rows, [None, *boundary], strict=True):
        row["boundary_f1"] = None if outline is None else boundary_scores(outline)["boundary_f1"]
    return [{"name": subject.titles.get(name, name), **row} for row in rows]


def _imagewise(confusion: np.ndarray) -> float:
    """Return the mean foreground IoU over images of int64 (image, 2, 2); nothing to find and nothing found is 1."""
    hit, union = confusion[:, 1, 1], confusion[:, 1].sum(1) + confusion[:, 0, 1]
    return float(np.where(union == 0, 1.0, hit / np.maximum(union, 1)).mean())


def _calibration(found: Calibration) -> dict[str, Any]:
    width, mass = (found.reliability.curve(BINS, kind) for kind in ("width", "mass"))
    told: dict[str, Any] = {"ece": width.error, "ece_equal_mass": mass.error}
    told |= {"equal_width": _curve(width), "equal_mass": _curve(mass)}
    try:
        logits = found.logits
        told["temperature"] = binary_temperature(logits) if isinstance(logits, np.ndarray) else logits.temperature()
    except ValueError as error:
        told |= {"temperature": None, "temperature_note": str(error)}
    return told


def _curve(curve: Curve) -> dict[str, list]:
    lists = {name: getattr(curve, name).tolist() for name in ("counts", "confidence", "accuracy")}
    return lists


def region_rows(counts: Counts, names: Sequence[str], subject: Subject) -> list[dict[str, Any]]:
    """Return one row of scores of the principal map per region, in the order of the regions' names."""
    at = counts.names.index(subject.principal)
    strata = counts.region_confusion[:, :, at]
    out = []
    for (region,), matrix in zip(counts.regions.keys.tolist(), strata, strict=True):
        confusion = matrix.sum(0) if subject.missing_counts else matrix[0]
        found = scores(confusion) if subject.binary else class_scores(confusion)
        shown = {c: found[c] for c in subject.columns if c in found}
        out.append({"region": names[region], "pixels": int(confusion.sum()), **shown})
    return plain(out)


def plain(value: Any) -> Any:
    """Return a value as JSON knows it: an undefined score (0/0, NaN) is None."""
    if isinstance(value, Mapping):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and value != value else value
