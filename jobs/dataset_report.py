"""The report on a data set: what is kept and what is dropped, distributions, verdicts, sample panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from jobs import figures
from jobs.config import RunConfig
from jobs.panels import sample_figures
from jobs.record import git_commit, versions
from jobs.report import Figure, ReportFacts, Table, render_report
from tiler.tile_store import SPLITS, TileStore

MISSING_GOOD = 0.01
"""Up to this mean missing ratio of the kept tiles the data quality is called good."""
IMBALANCE = 0.1
"""A class that covers less than this share of the labelled pixels is called rare."""


def verdicts(missing: np.ndarray, coverage: np.ndarray) -> dict[str, str]:
    """Judge the kept tiles.

    Args:
        missing: missing ratio of each.
        coverage: share of labelled pixels that are of the class, of each; NaN where nothing is labelled.
    """
    mean_missing = float(missing.mean()) if missing.size else float("nan")
    known = coverage[~np.isnan(coverage)]
    quality = "good" if mean_missing <= MISSING_GOOD else "poor"
    found = {"quality": f"{quality}: mean missing ratio {mean_missing:.4%} (good up to {MISSING_GOOD:.0%})"}
    if not known.size:
        return found | {"balance": "no pixel is labelled"}
    share = float(known.mean())
    rare = min(share, 1 - share)
    balance = "no class imbalance" if rare >= IMBALANCE else "class imbalance"
    told = f"{balance}: the rarer class covers {rare:.{1 if rare >= 0.001 else 4}%} (imbalance below {IMBALANCE:.0%})"
    return found | {"balance": told}


def class_rows(store: TileStore, kept: np.ndarray) -> list[dict[str, Any]]:
    """Return how many images each class of whole images has: in all, kept, and of the kept ones in each split."""
    labels = np.array([tile["label"] for tile in store.tiles])
    splits = np.array([tile["split"] for tile in store.tiles])
    rows = []
    for name in (*store.class_names, *([""] if store.class_names and (labels == "").any() else [])):
        good = np.intersect1d(np.flatnonzero(labels == name), kept)
        parts = {split: int((splits[good] == split).sum()) for split in SPLITS}
        rows.append({"class": name or "(none)", "images": int((labels == name).sum()), "kept": int(good.size), **parts})
    return rows


def dataset_report(
    store: TileStore,
    limit: float,
    damaged: Mapping[str, str],
    unmatched: Sequence[tuple[str, str]],
    config: RunConfig,
    notes: Sequence[str] = (),
) -> tuple[dict[str, Any], str]:
    """Gather the facts of an ingested data set and render them.

    Args:
        store: of the data set.
        limit: largest missing ratio of a tile that is kept.
        damaged: tile to what is wrong with it.
        unmatched: path of a file that is in no tile, and why.
        config: the run.
        notes: what else must be known before it trains.

    Returns:
        Plain values for `quality.json`, and the page.
    """
    kept = store.kept(limit)
    missing, coverage = store.facts("missing_ratio").astype(float), store.facts("coverage").astype(float)
    estimate = store.facts("missing_ratio_3_patches").astype(float)
    mean, deviation = store.scaling(kept) if kept.size else (np.array([]), np.array([]))
    known = coverage[kept][~np.isnan(coverage[kept])]
    facts: dict[str, Any] = {
        "tiles": len(store.tiles),
        "kept": int(kept.size),
        "damaged": len(damaged),
        "over_limit": len(store.tiles) - int(kept.size) - len(damaged),
        "unmatched": len(unmatched),
        "missing_limit": limit,
        "missing_ratio_mean": float(missing[kept].mean()) if kept.size else None,
        "missing_estimate_bias": float((estimate - missing).mean()),
        "coverage_mean": float(known.mean()) if known.size else None,
        "coverage_standard_deviation": float(known.std()) if known.size else None,
        "bands": [
            {"name": n, "mean": float(m), "standard_deviation": float(s)}
            for n, m, s in zip(store.sensor.bands, mean, deviation, strict=False)
        ],
        "verdicts": verdicts(missing[kept], coverage[kept]),
        "classes": class_rows(store, kept),
        "positive_share": _positive_share(store, kept),
    }
    page = ReportFacts(
        title=f"Data set {store.sensor.name}",
        run_id=Path(config.out).name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        description="Tiles over the limit are dropped before any statistic is taken.",
        summary=[(label, facts[key]) for label, key in SUMMARY],
        warnings=[*facts["verdicts"].values(), *notes, *(f"{tile}: {error}" for tile, error in damaged.items())],
        warnings_title="Before you train on it",
        figures_title="Distributions and samples",
        figures=_figures(store, kept, missing, coverage, limit),
        quality=[_splits(store, kept, missing, coverage), *_classes(facts), _bands(facts)],
        config_yaml=yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
        provenance={"code": git_commit() or "unknown", **versions()},
    )
    return facts, render_report(page)


SUMMARY = (
    ("tiles", "tiles"),
    ("kept", "kept"),
    ("over the missing limit", "over_limit"),
    ("damaged", "damaged"),
    ("files without a partner", "unmatched"),
    ("mean missing ratio", "missing_ratio_mean"),
    ("mean coverage", "coverage_mean"),
    ("labelled pixels that are of a class", "positive_share"),
)


def _figures(
    store: TileStore, kept: np.ndarray, missing: np.ndarray, coverage: np.ndarray, limit: float
) -> list[Figure]:
    out = []
    edges = np.linspace(0, 1, 51)
    for title, values, threshold in (("Missing ratio", missing, limit), ("Label coverage", coverage[kept], None)):
        counts = np.histogram(values[~np.isnan(values)], edges)[0]
        picture = figures.histogram(counts, edges, label=title.lower(), threshold=threshold, of="tiles")
        out.append(Figure(title, "All tiles." if threshold is not None else "Kept tiles.", picture))
    return out + sample_figures(store, kept)


def _splits(store: TileStore, kept: np.ndarray, missing: np.ndarray, coverage: np.ndarray) -> Table:
    rows = []
    splits = np.array([t["split"] for t in store.tiles])
    for split in sorted(set(splits.tolist())):
        mine = np.flatnonzero(splits == split)
        good = np.intersect1d(mine, kept)
        known = coverage[good][~np.isnan(coverage[good])]
        rows.append(
            (
                split or "(nobody said)",
                int(mine.size),
                int(good.size),
                float(missing[good].mean()) if good.size else None,
                float(known.mean()) if known.size else None,
                float(known.std()) if known.size else None,
            )
        )
    header = ("split", "tiles", "kept", "mean missing ratio", "mean coverage", "standard deviation of coverage")
    return Table("Splits", "As delivered, or as the run divides.", header, rows)


def _positive_share(store: TileStore, kept: np.ndarray) -> float | None:
    """Return the share of labelled pixels that are not background."""
    counts = store.facts("class_counts")[kept].sum(axis=0)
    return float(counts[1:].sum() / counts.sum()) if counts.sum() else None


def _classes(facts: Mapping[str, Any]) -> list[Table]:
    rows = [tuple(row.values()) for row in facts["classes"]]
    header = ("class", "images", "kept", *SPLITS)
    return [Table("Classes", "Of whole images; splits count what is kept.", header, rows)] if rows else []


def _bands(facts: Mapping[str, Any]) -> Table:
    rows = [(b["name"], b["mean"], b["standard_deviation"]) for b in facts["bands"]]
    return Table("Bands", "Digital numbers of the valid pixels of kept tiles.", ("band", "mean", "deviation"), rows)
