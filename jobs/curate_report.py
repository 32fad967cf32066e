"""The report of curation: one page with pictures, and its verdicts as JSON."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from jobs import figures
from jobs.curate_desk import Desk
from jobs.curate_figures import by_class, class_counts, picture_of, sheet
from jobs.curate_sheets import read_cleaning, score_tables
from jobs.curate_versions import ACCOUNT, Version, read_version, version_numbers
from jobs.panels import sample_figures
from jobs.record import git_commit, versions
from jobs.report import Figure, ReportFacts, Table, render_report
from models.balance import TIMES, Imbalance, imbalance
from models.outliers import FLAG_Z, ClassLevel, class_levels

MOST_CLASSES = 40
"""More rows of a figure are not read."""
PAIRS, TOLD = 8, 12
MISSING_GOOD = 0.01
"""Up to this mean missing ratio the data quality is called good, as in the report of ingest."""


def write_report(desk: Desk) -> dict[str, Any]:
    """Write frame.csv, frame.parquet, curation.json and report.html below OUT/curation; return the verdicts."""
    frame, kept = desk.frame, desk.kept()
    seen = desk.looks.seen
    judged, after = imbalance(_counts(desk, seen)), imbalance(_counts(desk, seen & kept))
    levels = class_levels(frame.classes[seen].tolist(), frame["pixel"][seen])
    facts = _facts(desk, kept, (judged, after), levels)
    proposal, pictures = read_cleaning(desk)
    listed = [read_version(desk.planned.storage, number) for number in version_numbers(desk.planned.storage)]
    page = ReportFacts(
        title=f"Curation of {desk.store.sensor.name}",
        run_id=Path(desk.planned.config.out).name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        description="What the data set holds, what is odd in it, and what was left out. Nothing is deleted: every "
        "removal is a numbered list.",
        summary=[(label, facts[key]) for label, key in SUMMARY],
        warnings=[*facts["verdicts"].values(), *proposal.get("notes", [])],
        warnings_title="Before you train on it",
        figures=[
            *_distributions(desk, judged, after, levels),
            *sample_figures(desk.store, np.flatnonzero(kept & desk.looks.seen & ~np.isnan(desk.frame["coverage"]))),
            *_examples(desk, levels),
            *_duplicates(desk),
        ],
        figures_title="Distributions and pictures",
        changes=_account(desk, listed),
        classes=[_classes(judged, after, levels)],
        quality=[_lonely(desk, kept)],
        evaluation=score_tables(proposal),
        evaluation_figures=pictures,
        config_yaml=yaml.safe_dump(desk.planned.config.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
        provenance={"code": git_commit() or "unknown", **versions()},
    )
    desk.put("frame.csv", frame.to_csv())
    desk.put("frame.parquet", frame.to_parquet())
    desk.put("curation.json", json.dumps(facts, indent=1).encode())
    desk.put("report.html", render_report(page).encode())
    return facts


SUMMARY = (
    ("tiles", "tiles"),
    ("kept so far", "kept"),
    ("damaged", "damaged"),
    ("classes", "classes"),
    ("exact copies", "exact_copies"),
    ("exact and near copies", "copies"),
    ("mean missing ratio", "missing_ratio_mean"),
)


def _counts(desk: Desk, tiles: np.ndarray) -> dict[str, int]:
    """Return the tiles of each class among some (bool (n,)), empty classes too."""
    return dict.fromkeys(desk.class_names, 0) | dict(sorted(Counter(desk.frame.classes[tiles].tolist()).items()))


def _facts(
    desk: Desk, kept: np.ndarray, judges: tuple[Imbalance, Imbalance], levels: tuple[ClassLevel, ...]
) -> dict[str, Any]:
    judged, after = judges
    frame, seen = desk.frame, kept & desk.looks.seen
    missing = frame["missing_ratio"][seen].astype(float)
    mean = float(missing.mean()) if missing.size else None
    coverage = frame["coverage"][seen].astype(float)
    known = coverage[~np.isnan(coverage)]
    flagged = [one for one in levels if one.flagged]
    odd = ", ".join(f"{one.name or '(none)'} (mean pixel {one.mean:.4g}, z {one.z:+.1f})" for one in flagged)
    across = _straddling(desk, kept)
    single = sorted(name for name in desk.class_names if after.counts.get(name) == 1)
    quality = "unknown: no tile is kept"
    if mean is not None:
        verdict = "good" if mean <= MISSING_GOOD else "poor"
        quality = f"{verdict}: mean missing ratio {mean:.4%} (good up to {MISSING_GOOD:.0%})"
    return {
        "tiles": len(frame),
        "kept": int(kept.sum()),
        "damaged": int(frame["damaged"].sum()),
        "classes": len([name for name in judged.counts if name]),
        "exact_copies": _copies(frame["exact_group"]),
        "copies": _copies(frame["duplicate_group"]),
        "missing_ratio_mean": mean,
        "coverage_mean": float(known.mean()) if known.size else None,
        "coverage_standard_deviation": float(known.std()) if known.size else None,
        "counts": dict(judged.counts),
        "counts_kept": {name: after.counts.get(name, 0) for name in judged.counts},
        "over_full": list(judged.over_full),
        "target": judged.target,
        "flagged": [one.name for one in flagged],
        "versions": list(desk.applied),
        "verdicts": {
            "quality": f"quality {quality}",
            "balance": judged.verdict,
            **({} if kept.all() else {"balance_of_kept": f"of what is kept: {after.verdict}"}),
            **({"single": f"one tile, which cannot both train and judge: {', '.join(single)}"} if single else {}),
            "flagged": f"odd mean pixel: {odd}; only suspected, look at them" if flagged else "no class is flagged",
            "copies": f"{across} groups of copies lie on both sides of the split"
            if across
            else "no copy straddles the split",
        },
    }


def _copies(group: np.ndarray) -> int:
    """Return how many tiles are copies of an earlier one."""
    return len(group) - len(np.unique(group))


def _straddling(desk: Desk, kept: np.ndarray) -> int:
    pairs = set(zip(desk.frame["duplicate_group"][kept].tolist(), desk.frame["split"][kept].tolist(), strict=True))
    return sum(count > 1 for count in Counter(group for group, _ in pairs).values())


def _distributions(desk: Desk, judged: Imbalance, after: Imbalance, levels: tuple[ClassLevel, ...]) -> list[Figure]:
    frame, seen = desk.frame, desk.looks.seen
    largest = sorted(judged.counts, key=lambda name: -judged.counts[name])[:MOST_CLASSES]
    shown = [name for name in judged.counts if name in largest]
    middle = float(np.median([count for count in judged.counts.values() if count] or [0]))
    cut = f"The {MOST_CLASSES} largest of {len(judged.counts)} classes. " if len(shown) < len(judged.counts) else ""
    counts = {name: judged.counts[name] for name in shown}
    picture = class_counts(counts, after.counts, judged.over_full, TIMES * middle if len(counts) > 1 else None)
    out = [
        Figure(
            "Tiles by class",
            f"{cut}Pale: delivered; full: kept. Dashed: {TIMES:g} x median. {judged.verdict}.",
            picture,
        )
    ]
    flagged = [one.name for one in levels if one.flagged]
    for column, unit in (("width", "width, px"), ("height", "height, px"), ("pixel", "mean pixel, digital numbers")):
        values = {name: frame[column][seen & (frame.classes == name)].astype(float) for name in shown}
        text = f"In colour: |robust z| of the class above {FLAG_Z:g}." if column == "pixel" else "Before resizing."
        out.append(Figure(unit.split(",")[0].capitalize(), text, by_class(values, unit, flagged)))
    edges = np.linspace(0, 1, 51)
    for title, column in (("Missing ratio", "missing_ratio"), ("Label coverage", "coverage")):
        known = frame[column][seen & ~np.isnan(frame[column])]
        if known.size:
            drawn = figures.histogram(np.histogram(known, edges)[0], edges, label=title.lower(), of="tiles")
            out.append(Figure(title, f"Mean {known.mean():.4%}, deviation {known.std():.4%}.", drawn))
    return out


def _examples(desk: Desk, levels: tuple[ClassLevel, ...]) -> list[Figure]:
    """For each flagged class its tile nearest to the mean pixel of the other classes, and the one farthest from it."""
    flagged = [one for one in levels if one.flagged][:PAIRS]
    if not flagged:
        return []
    usual = float(np.median([one.mean for one in levels]))
    pictures, titles = [], []
    for one in flagged:
        mine = np.flatnonzero(desk.looks.seen & (desk.frame.classes == one.name))
        away = np.abs(desk.frame["pixel"][mine] - usual)
        for row in (int(mine[away.argmin()]), int(mine[away.argmax()])):
            pictures.append(picture_of(desk.store, row))
            titles.append(f"{one.name}: {desk.frame['pixel'][row]:.2f}")
    text = f"Of each class the tile nearest to and farthest from the usual mean pixel, {usual:.2f}; titles: its own."
    return [Figure("Flagged classes: example pairs", text, sheet(pictures, titles, 4))]


def _duplicates(desk: Desk) -> list[Figure]:
    group = desk.frame["duplicate_group"]
    names, sizes = np.unique(group, return_counts=True)
    pictures, titles = [], []
    for name in names[sizes > 1][:PAIRS]:
        for row in np.flatnonzero(group == name)[:2].tolist():
            pictures.append(picture_of(desk.store, row))
            titles.append(desk.ids[row])
    if not pictures:
        return []
    text = (
        f"The first {len(pictures) // 2} of {int((sizes > 1).sum())} groups of exact and near copies, two tiles each."
    )
    return [Figure("Copies side by side", text, sheet(pictures, titles, 4))]


def _classes(judged: Imbalance, after: Imbalance, levels: tuple[ClassLevel, ...]) -> Table:
    level = {one.name: one for one in levels}
    rows = [
        (
            name or "(none)",
            count,
            after.counts.get(name, 0),
            "over-full" if name in judged.over_full else "empty" if not count else "",
            level[name].mean if name in level else None,
            level[name].z if name in level else None,
            bool(name in level and level[name].flagged),
        )
        for name, count in judged.counts.items()
    ]
    header = ("class", "tiles", "kept", "verdict", "mean pixel", "robust z", "flagged")
    return Table(
        "Classes", "Readable tiles; where images have no class, strata of coverage and land cover.", header, rows
    )


def _lonely(desk: Desk, kept: np.ndarray) -> Table:
    frame, rows = desk.frame, []
    score = np.where(np.isnan(frame["outlier_score"]), -np.inf, frame["outlier_score"])
    for row in np.argsort(-score, kind="stable")[: min(TOLD, int(desk.looks.seen.sum()))].tolist():
        numbers = (float(frame[name][row]) for name in ("outlier_score", "pixel", "missing_ratio"))
        rows.append((desk.ids[row], str(frame.classes[row]), *numbers, bool(kept[row])))
    header = ("tile", "class", "outlier score", "mean pixel", "missing ratio", "kept")
    return Table("Lonely tiles", "Robust z of the distance to the fifth nearest tile.", header, rows)


def _account(desk: Desk, listed: list[Version]) -> list[Table]:
    """The closing account of what counts, and all versions that there are."""
    tables = []
    storage = desk.planned.storage.child("curation")
    if storage.exists(ACCOUNT):
        told = json.loads(storage.get(ACCOUNT))
        rows: list[tuple[object, ...]] = [("all tiles", None, None, None, told["start"])]
        rows += [
            (f"version {one['version']}, {one['verb']}", one["listed"], one["already"], one["removed"], one["left"])
            for one in told["versions"]
        ]
        header = ("step", "listed", "taken before", "removed", "left")
        tables.append(Table("Account", f"{told['kept']} of {told['start']} tiles are kept.", header, rows))
    if listed:
        rows = [
            (one.number, one.verb, len(one.removals), one.number in desk.applied, _common(one.removals[0].rule))
            for one in listed
        ]
        tables.append(
            Table(
                "Versions",
                "What counts is what was applied.",
                ("version", "made by", "tiles", "counts", "rule of the first"),
                rows,
            )
        )
    return tables


def _common(rule: str) -> str:
    return rule if len(rule) <= 80 else rule[:79] + "…"
