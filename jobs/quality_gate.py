"""The gates of quality: how much the worst scene misses, whether one is of another sensor or scale, and outliers."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from cluster.engine import Engine
from jobs.curate_frame import lonely
from jobs.curate_windows import WindowSubject
from jobs.gates import QualityFacts
from jobs.gates_config import QualityGates
from jobs.ingest import ingest, ingested
from jobs.plan import Run
from jobs.runner import report_failures
from models.outliers import robust_scale
from tiler.scene_store import SceneStore

LEAST_SCENES = 5
"""With fewer scenes there is no usual level."""
LEAST_SPREAD = 0.05
"""Band means that differ by this share of their median are never odd: seasons do more."""


def measured_quality(run: Run, gates: QualityGates, engine: Engine) -> QualityFacts:
    """Ingest the scenes of a run that are not yet, and measure them by the statistics of all their pixels.

    Scenes that cannot be read are named, and not measured. Outliers are looked for where they are asked for.
    """
    report_failures(ingest(run, engine))
    missing: dict[str, float] = {}
    levels: dict[str, list[float]] = {}
    for plan in ingested(run).scenes:
        quality = SceneStore(run.url("ingest", plan.name)).quality
        missing[plan.scene.id] = float(quality["missing_ratio"])
        means = [band["mean"] for band in quality["bands"]]
        if all(mean is not None for mean in means):
            levels[plan.scene.id] = [float(mean) for mean in means]
    outliers = None
    if gates.max_outliers is not None and missing:
        subject = WindowSubject(run)
        subject.look(engine)
        windows, looks = subject.opened()
        scores = lonely(looks).tolist()
        outliers = outlier_facts(dict(zip((t["id"] for t in windows.tiles), scores, strict=True)), gates.outlier_z)
    return quality_facts(missing, levels, outliers=outliers)


def outlier_facts(scores: Mapping[str, float], bound: float) -> tuple[float | None, str]:
    """Return the share of windows (or tiles) whose outlier score is above a bound, and a sentence.

    Args:
        scores: name to outlier score; NaN is not judged.
        bound: of the score.
    """
    known = {name: score for name, score in scores.items() if not math.isnan(score)}
    if not known:
        return None, "no window has a valid pixel"
    share = sum(score > bound for score in known.values()) / len(known)
    worst = max(known, key=lambda name: known[name])
    told = f"{share:.1%} of {len(known)} windows are like no other (outlier score above {bound:g})"
    return share, f"{told}, the loneliest is {worst} ({known[worst]:.1f})"


def quality_facts(
    missing: Mapping[str, float],
    levels: Mapping[str, list[float]],
    what: str = "scene",
    outliers: tuple[float | None, str] | None = None,
) -> QualityFacts:
    """Say which scene misses most, and which one's band means lie farthest from those of the others.

    Args:
        missing: id to missing ratio.
        levels: id to the mean of each band, of scenes with valid pixels.
        what: a scene is called.
        outliers: of `outlier_facts`.

    Returns:
        The largest missing ratio; and the largest robust z of any band mean among the scenes, of which the deviation is
        at least 5 % of the median, None with fewer than five scenes.
    """
    more = () if outliers is None else outliers
    if not missing:
        return QualityFacts(None, f"no {what} is ingested", None, f"no {what} is ingested", *more)
    worst = max(missing, key=lambda name: missing[name])
    told = f"{what} {worst} misses most, {missing[worst]:.1%}"
    if len(levels) < LEAST_SCENES:
        few = f"{len(levels)} {what}s have valid pixels, and {LEAST_SCENES} are needed to tell which one is odd"
        return QualityFacts(missing[worst], told, None, few, *more)
    means = np.array(list(levels.values()))
    middle = np.median(means, axis=0)
    away = np.abs(means - middle) / np.maximum(robust_scale(means), LEAST_SPREAD * np.abs(middle))
    row, band = np.unravel_index(int(away.argmax()), away.shape)
    name, score = list(levels)[row], float(away[row, band])
    found, usual = means[row, band], middle[band]
    odd = f"band {band + 1} of {what} {name} has the mean {found:.4g}, usual is {usual:.4g}: z {score:.1f}"
    return QualityFacts(missing[worst], told, score, odd, *more)
