"""An evaluation in words: what every column means, and the table as plain text. Needs no network, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.config import EvaluateConfig

COLUMN_TEXTS = {
    "mIoU": "mean of the IoU of all classes, background among them (of those that occur)",
    "iou_fg": "TP / (TP + FP + FN) of the class",
    "iou_bg": "the same of background",
    "precision": "share of the pixels mapped as the class that are labelled so",
    "recall": "share of the pixels labelled as the class that are mapped so",
    "dice": "F1 of the class, the harmonic mean of precision and recall",
    "macro_f1": "mean of the F1 of all classes",
    "accuracy": "share of all pixels that are right",
    "boundary_f1": "F1 of outline pixels, right within {tolerance:g} px of an outline of the other side",
    "ece": "expected calibration error of the probabilities in 15 bins of equal width",
    "iou_fg_imagewise": "mean over images of iou_fg, 1 where there is nothing to find and nothing is found",
}


def definitions(evaluation: Mapping[str, Any], settings: EvaluateConfig) -> dict[str, str]:
    """Return the meaning of every column of an evaluation."""
    found = {}
    for column in evaluation["columns"]:
        text = COLUMN_TEXTS.get(column)
        if text is None:
            text = f"IoU of {evaluation['classes'][int(column.removeprefix('iou_'))]}"
        found[column] = text.format(tolerance=settings.boundary_tolerance_px)
    return found


def map_definition(evaluation: Mapping[str, Any], settings: EvaluateConfig) -> str:
    """Return what the scores of a map are about."""
    where = {
        "held_back": "of blocks that no network was trained on",
        "all": "wherever the scenes are labelled (no network may have been trained on them)",
    }[settings.where]
    ground = (
        " With held-back blocks an object is the part of it that lies in them." if settings.where == "held_back" else ""
    )
    rules = (
        " NDVI rule: low <= NDVI < high; logistic regression: of bands and NDVI of single pixels; both fitted to the "
        f"{'training blocks' if settings.where == 'held_back' else 'same scenes, which favours them'}."
        if any("NDVI rule" in row["id"] for row in evaluation["rows"])
        else ""
    )
    return (
        f"On the stitched map, over labelled pixels {where} ({_extent(evaluation)}). "
        f"{_resampling(evaluation, settings, f'blocks of {settings.block_px} map pixels')}"
        f" Pixels that the map does not know are left out; `missing` also tells the scores that count them as "
        f"background.{rules} {_objects(settings)}{ground}"
    )


def tiles_definition(evaluation: Mapping[str, Any], settings: EvaluateConfig) -> str:
    """Return what the scores of a data set are about."""
    return (
        f"Over all labelled pixels of the tiles ({_extent(evaluation)}). "
        f"{_resampling(evaluation, settings, 'tiles')} Pixels with missing imagery count; `missing` also tells the "
        "scores without them. Mean of members: of their scores, not of their logits; the ensemble averages logits. "
        "NDVI rule: low <= NDVI < high; logistic regression: of bands and NDVI of single pixels; both fitted to "
        f"training tiles. {_objects(settings)} Objects end at the border of their tile."
    )


def _extent(evaluation: Mapping[str, Any]) -> str:
    shares = zip(evaluation["classes"][1:], evaluation["share_of_classes"][1:], strict=True)
    told = ", ".join(f"{share:.1%} {name}" for name, share in shares)
    return f"{evaluation['pixels']:,} pixels, {told}"


def _resampling(evaluation: Mapping[str, Any], settings: EvaluateConfig, blocks: str) -> str:
    return (
        f"Intervals: 95 %, percentiles of {settings.resamples} draws of the {evaluation['blocks']:,} {blocks} "
        "with replacement."
    )


def _objects(settings: EvaluateConfig) -> str:
    return (
        "Objects are pixels of one class that touch at sides or corners. Of a labelled object, found: at least "
        f"{settings.found_from:.0%} of it is mapped; missed: less than {settings.part_from:.0%}; split: two mapped "
        f"objects or more cover {settings.part_from:.0%} of it each. Of a mapped object, false: less than "
        f"{settings.part_from:.0%} of it is labelled; merged: it covers {settings.part_from:.0%} each of two labelled "
        "ones or more."
    )


def cell_text(value: float | None, digits: int = 4) -> str:
    """Return a score as text, a dash for an undefined one."""
    return "–" if value is None else f"{value:.{digits}f}"


def table(evaluation: Mapping[str, Any]) -> str:
    """Return the evaluation as plain text: scores, the interval of mIoU, differences, objects, what it all means."""
    rows, columns = evaluation["rows"], evaluation["columns"]
    width = max(len(r["name"]) for r in (*rows, *evaluation["differences"]))
    widths = {c: max(11, len(c) + 2) for c in columns}
    head = "".join(f"{c:>{widths[c]}}" for c in columns)
    lines = [" " * width + head + "     mIoU 95 %"]
    for row in (*rows, *evaluation["differences"]):
        cells = "".join(f"{cell_text(row.get(c)):>{widths[c]}}" for c in columns)
        low, high = row["intervals"]["mIoU"]
        interval = "" if low is None else f"     {low:.4f} to {high:.4f}"
        lines.append(f"{row['name']:{width}}{cells}{interval}")
    total = evaluation["objects"]["total"]
    lines.append(
        f"objects: {total['labelled']} labelled, of these {total['found']} found, {total['partly']} partly, "
        f"{total['missed']} missed, {total['split']} split; {total['mapped']} mapped, of these {total['false']} false, "
        f"{total['merged']} merged"
    )
    return "\n".join([*lines, evaluation["definition"]])
