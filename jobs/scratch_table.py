"""The tables of the scratch document: what it reported beside what was measured, trivial answers, claims, goal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.scratch import ROWS
from jobs.scratch_judging import Judged
from jobs.text_table import TextTable
from models.image_verdict import ImageScores, choose_min_area_px, image_scores
from models.mask_scores import ImageCounts, collapse, iou_of_dice_loss, mask_scores

GOAL = 0.20
"""The document's goal: the IoU that a network must reach."""
MIN_RECALL = 0.95
"""Share of the photos with scratches that a reviewer must still be shown: chooses the least area of a yes."""


@dataclass(frozen=True)
class Trained:
    """How a row was trained here."""

    settings: str
    loss: str
    """Name of its loss."""


@dataclass(frozen=True)
class Measured:
    """What was measured of one network or rule."""

    name: str
    scores: Mapping[str, float]
    """`mask_scores` over the photos that judge."""
    by_source: Mapping[str, float]
    """IoU over the photos of each source."""
    collapsed: str
    """How, or ""."""
    verdict: ImageScores | None = None
    """Yes or no for each photo that judges; None for rules."""
    min_area_px: int = 1
    """From which area on it was a yes, chosen on the photos that validate."""

    @property
    def iou(self) -> float:
        """IoU over all pixels of all photos; 0 where there is nothing to find and nothing was found."""
        value = self.scores["iou"]
        return 0.0 if math.isnan(value) else value


@dataclass(frozen=True)
class Claim:
    """A fact of the document's table, and whether it was found."""

    claim: str
    found: bool | None
    """None where a network that it is about collapsed."""
    why: str

    @property
    def verdict(self) -> str:
        """Say it."""
        return {True: "found", False: "not found", None: "not judged"}[self.found]


def measured(name: str, images: Sequence[Judged], part: str, *, verdicts: bool) -> Measured:
    """Sum up what was found in images.

    Args:
        name: of the network or rule.
        images: those of the part that judges, and those that validate.
        part: that judges.
        verdicts: whether to answer yes or no for each photo too.
    """
    judging = [image for image in images if image.split == part]
    counts = [image.counts[name] for image in judging]
    sources = sorted({image.source for image in judging})
    by_source = {s: mask_scores([i.counts[name] for i in judging if i.source == s])["iou"] for s in sources}
    scores = mask_scores(counts)
    if not verdicts:
        return Measured(name, scores, by_source, collapse(scores))
    choosing = [image.counts[name] for image in images if image.split == "validation"]
    least_px = choose_min_area_px([c.found_px for c in choosing], [c.truth_px > 0 for c in choosing], MIN_RECALL)
    verdict = image_scores([c.found_px for c in counts], [c.truth_px > 0 for c in counts], least_px)
    return Measured(name, scores, by_source, collapse(scores), verdict, least_px)


def always_yes(images: Sequence[ImageCounts]) -> ImageScores:
    """Return what it is to show every photo to the reviewer."""
    return image_scores([1] * len(images), [i.truth_px > 0 for i in images], 1)


def best_row(found: Mapping[str, Measured]) -> str | None:
    """Return the document's row with the best IoU that has not collapsed; None where all have."""
    standing = [row.name for row in ROWS if row.iou is not None and not found[row.name].collapsed]
    return max(standing, key=lambda name: found[name].iou) if standing else None


def results_table(found: Mapping[str, Measured], trained: Mapping[str, Trained], goal: float) -> TextTable:
    """Return the document's table: a line for each row, reported beside measured, the best in bold."""
    best = best_row(found)
    lines = []
    for row in ROWS:
        one, how = found[row.name], trained[row.name]
        loss = one.scores["bce_loss" if how.loss == "bce" else "dice_loss_whole"]
        notes = [row.note] if row.note else []
        notes += ["best performance"] if row.name == best else []
        notes += (
            [f"COLLAPSED: finds {one.collapsed}" if one.collapsed != "guess" else "COLLAPSED: no better than chance"]
            if one.collapsed
            else []
        )
        iou = f"**{one.iou:.4f}**" if row.name == best else f"{one.iou:.4f}"
        passed = "-" if not goal else "yes" if one.iou >= goal and not one.collapsed else "no"
        numbers = (_number(row.loss), f"{loss:.4f}", _number(row.iou), iou, _number(one.scores["iou_images"]))
        lines.append(
            (
                row.name,
                row.settings,
                how.settings,
                *numbers,
                _number(one.scores["iou_scratched"]),
                passed,
                "; ".join(notes),
            )
        )
    caption = (
        "IoU is over all pixels of all photos that judge; `IoU of photos` is its mean over photos, where nothing found "
        "in a photo without a scratch is 1, so that who never finds anything has the share of such photos; `of "
        "scratched` is the mean over photos with scratches. Loss: soft Dice of all pixels together with smooth 1, of "
        "rows with BCE the cross-entropy. The document does not say how it averages."
    )
    header = (
        *("row", "in the document", "trained here", "loss reported", "loss", "IoU reported", "IoU", "IoU of photos"),
        *("of scratched", f"IoU >= {goal:.2f}" if goal else "goal", "note"),
    )
    return TextTable("table", "Results: reported beside measured", caption, header, tuple(lines))


def baseline_table(rules: Sequence[Measured]) -> TextTable:
    """Return what needs no network."""
    lines = [
        (r.name, *(_number(r.scores[key]) for key in ("iou", "iou_images", "iou_scratched", "precision", "recall")))
        for r in rules
    ]
    caption = "On the same photos; each family of rules has the best of its settings on training photos."
    header = ("answer", "IoU", "IoU of photos", "of scratched", "precision", "recall")
    return TextTable("baselines", "Trivial answers", caption, header, tuple(lines))


def source_table(found: Mapping[str, Measured]) -> TextTable:
    """Return the IoU of every row on the photos of each source."""
    sources = sorted({source for one in found.values() for source in one.by_source})
    lines = [(row.name, *(_number(found[row.name].by_source[s]) for s in sources)) for row in ROWS]
    header = ("row", *(source or "all" for source in sources))
    return TextTable("sources", "IoU by source", "Row A has never seen the public photos.", header, tuple(lines))


def verdict_table(found: Mapping[str, Measured], trivial: ImageScores) -> TextTable:
    """Return how well each row sorts photos into scratched and not."""
    lines = [("show every photo", "-", *_verdict_cells(trivial))]
    for row in ROWS:
        one = found[row.name]
        assert one.verdict is not None
        lines.append((row.name, f"{one.min_area_px} px", *_verdict_cells(one.verdict)))
    caption = (
        "A photo is a yes from so many pixels of probability 0.5 on; the area is the largest that keeps a recall of "
        f"{MIN_RECALL:g} on the photos that validate. `spared` is the share of photos that a reviewer need not open."
    )
    header = ("row", "least area", "precision", "recall", "F1", "spared")
    return TextTable("verdicts", "Scratch, yes or no", caption, header, tuple(lines))


def dice_table(found: Mapping[str, Measured], trained: Mapping[str, Trained]) -> TextTable:
    """Return what IoU a Dice loss would be, beside what IoU there is, as reported and as measured."""
    lines = []
    for row in ROWS:
        if trained[row.name].loss == "bce":
            continue
        loss = found[row.name].scores["dice_loss_whole"]
        reported = (
            _number(row.loss),
            _number(None if row.loss is None else iou_of_dice_loss(row.loss)),
            _number(row.iou),
        )
        lines.append(
            (row.name, *reported, f"{loss:.4f}", f"{iou_of_dice_loss(loss):.4f}", f"{found[row.name].iou:.4f}")
        )
    caption = (
        "A mask with the Dice loss L has the IoU (1 - L) / (1 + L). The document's losses and IoUs do not fit so: "
        "they are averaged in other ways, or of other thresholds."
    )
    header = ("row", "loss reported", "implies", "IoU reported", "loss", "implies", "IoU")
    return TextTable("dice", "Loss and IoU", caption, header, tuple(lines))


def count_table(rows: Sequence[Mapping[str, Any]]) -> TextTable:
    """Return the photos of each source and part, and how rare scratches are."""
    lines = [
        (
            *(str(row[key]) for key in ("source", "part", "photos", "with scratches")),
            "-" if math.isnan(row["scratched pixels"]) else f"{row['scratched pixels']:.3%}",
        )
        for row in rows
    ]
    caption = "Scratched pixels: share of all labelled pixels. A network that finds nothing is right about all others."
    header = ("source", "part", "photos", "with scratches", "scratched pixels")
    return TextTable("counts", "Photos", caption, header, tuple(lines))


def claims(found: Mapping[str, Measured], sources: Sequence[str]) -> list[Claim]:
    """Judge the facts of the document's table on what was measured; the last alone is asked for, at equal rates."""
    order = sorted((row.name for row in ROWS if row.iou is not None), key=lambda name: -found[name].iou)
    long = ("A", "B", "C", "D", "E", "F")
    worst = min(long, key=lambda name: found[name].iou)
    told = ", ".join(f"{name} {found[name].iou:.4f}" for name in order)
    return [
        _claim(found, "B", "A", "the second source helps (B above A)")
        if len(sources) > 1
        else Claim("the second source helps (B above A)", None, "there is one source only"),
        Claim("warm restarts at 1e-4 are best (F)", order[0] == "F", told),
        Claim("gray, RMSprop and cosine are second (E)", order[1] == "E", told),
        Claim("DeepLabV3 with BCE is worst of the long runs (C)", worst == "C", f"{worst} is: {found[worst].iou:.4f}"),
        _claim(found, "B", "D", "light removal is below plain colour (D below B)"),
        _claim(found, "H", "G", "U-Net 3+ is above U-Net, as the document has them (H above G, at other rates)"),
        _claim(found, "H", "G-1e-3", "U-Net 3+ is above U-Net at equal rate and epochs (H above G-1e-3)"),
    ]


def _claim(found: Mapping[str, Measured], above: str, below: str, text: str) -> Claim:
    high, low = found[above], found[below]
    why = f"{above} {high.iou:.4f}, {below} {low.iou:.4f}"
    if high.collapsed and low.collapsed:
        return Claim(text, None, f"{why}: both collapsed")
    return Claim(text, high.iou > low.iou, why)


def failed_gates(found: Mapping[str, Measured], judged: Sequence[Claim], goal: float) -> list[str]:
    """Return what was asked for and not reached; nothing is asked where the goal is 0.

    The document itself reaches its goal with two rows of eight: the best row has to.
    """
    if not goal:
        return []
    best, out = best_row(found), []
    if best is None:
        out.append(f"every row collapsed; an IoU of {goal:.2f} is asked")
    elif found[best].iou < goal:
        out.append(f"the best row, {best}, has an IoU of {found[best].iou:.4f}; {goal:.2f} is asked")
    last = judged[-1]
    if last.found is not True:
        out.append(f"{last.claim}: {last.verdict} ({last.why})")
    return out


def trained_text(recipe: Mapping[str, Any], images: int) -> str:
    """Return how a recipe trains, in the document's words."""
    network, train = recipe["network"], recipe["train"]
    schedule = train.get("schedule", "CosineAnnealingLR")
    named = schedule["name"] if isinstance(schedule, Mapping) else schedule
    width = f" of width {network['width']}" if network.get("width") else ""
    encoder = f" on {network['encoder']}" if network.get("encoder") else ""
    kinds = {"unet_classic": "U-Net", "unet3plus": "U-Net 3+", "deeplabv3": "DeepLabV3"}
    optimizer = train.get("optimizer", "AdamW")
    parts = [
        f"{kinds[network['architecture']]}{width}{encoder}",
        f"{train['epochs']} x {images} tiles",
        f"b {train['batch']}",
        f"{train['learning_rate']:g}",
        optimizer if isinstance(optimizer, str) else optimizer["name"],
        *([] if named == "none" else [named]),
        *(["BCE"] if train["loss"] == "bce" else []),
    ]
    return ", ".join(parts)


def _verdict_cells(scores: ImageScores) -> tuple[str, ...]:
    return tuple(_number(value) for value in (scores.precision, scores.recall, scores.f1, scores.spared))


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.4f}"
