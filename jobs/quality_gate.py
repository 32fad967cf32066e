"""The gates of quality: how much the worst scene of a map misses, and whether a scene is of another sensor or scale."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jobs.gates import QualityFacts
from jobs.ingest import ingested
from jobs.plan import Run
from models.outliers import robust_scale
from tiler.scene_store import SceneStore

LEAST_SCENES = 5
"""With fewer scenes there is no usual level."""
LEAST_SPREAD = 0.05
"""Band means that differ by this share of their median are never odd: seasons do more."""


def measured_quality(run: Run) -> QualityFacts:
    """Measure the scenes of a run that are ingested, by the statistics that ingest took of all their pixels."""
    missing: dict[str, float] = {}
    levels: dict[str, list[float]] = {}
    for plan in ingested(run).scenes:
        quality = SceneStore(run.url("ingest", plan.name)).quality
        missing[plan.scene.id] = float(quality["missing_ratio"])
        means = [band["mean"] for band in quality["bands"]]
        if all(mean is not None for mean in means):
            levels[plan.scene.id] = [float(mean) for mean in means]
    return quality_facts(missing, levels)


def quality_facts(missing: Mapping[str, float], levels: Mapping[str, list[float]]) -> QualityFacts:
    """Say which scene misses most, and which one's band means lie farthest from those of the others.

    Args:
        missing: id to missing ratio.
        levels: id to the mean of each band, of scenes with valid pixels.

    Returns:
        The largest missing ratio; and the largest robust z of any band mean among the scenes, of which the deviation is
        at least 5 % of the median, None with fewer than five scenes.
    """
    if not missing:
        return QualityFacts(None, "no scene is ingested", None, "no scene is ingested")
    worst = max(missing, key=lambda name: missing[name])
    told = f"scene {worst} misses most, {missing[worst]:.1%}"
    if len(levels) < LEAST_SCENES:
        few = f"{len(levels)} scenes have valid pixels, and {LEAST_SCENES} are needed to tell which one is odd"
        return QualityFacts(missing[worst], told, None, few)
    means = np.array(list(levels.values()))
    middle = np.median(means, axis=0)
    away = np.abs(means - middle) / np.maximum(robust_scale(means), LEAST_SPREAD * np.abs(middle))
    row, band = np.unravel_index(int(away.argmax()), away.shape)
    name, score = list(levels)[row], float(away[row, band])
    found, usual = means[row, band], middle[band]
    odd = f"band {band + 1} of scene {name} has the mean {found:.4g}, usual is {usual:.4g}: z {score:.1f}"
    return QualityFacts(missing[worst], told, score, odd)
