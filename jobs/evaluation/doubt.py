"""Does the map err where it says that it is unsure? The share of wrong pixels against each band of uncertainty.

What is collected is histograms of whole numbers, as for calibration: a value takes the part of a confidence there, and
being wrong that of being right. One number sums a band up: the chance that of a wrong and a right pixel, drawn at
random, the wrong one has the larger value (area under the ROC curve; Hanley and McNeil 1982, ties count half). 0.5 is
a band that knows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jobs.evaluation.counts import dense, sparse
from models.calibration import FINE_BINS, Curve, Reliability
from models.metrics import IGNORE
from tiler.doubt import doubts_of
from tiler.grids import Box
from tiler.map_store import DOUBTS, MapStore
from tiler.product_specs import UNCERTAINTY

BINS = 10
MOST_LOGITS = 16.0
"""Disagreements are counted up to here; what is larger counts as this."""


def count_doubt(store: MapStore, box: Box, truth: np.ndarray, found: np.ndarray) -> dict[str, Any]:
    """Count judged pixels by each band, and how many are wrong; disagreement where several scenes saw the pixel.

    Args:
        store: a map with uncertainty.
        box: absolute map pixels.
        truth: uint8 (y, x), `IGNORE` where nobody judges.
        found: uint8 (y, x): what the map says, `IGNORE` where nothing.
    """
    bands = doubts_of(*(store.read(name, box) for name in DOUBTS))
    judged = (truth != IGNORE) & (found != IGNORE)
    several = judged & (store.read("count", box) > 1)
    told = {}
    for name, values in zip(UNCERTAINTY.bands, bands, strict=True):
        seen = several if name == "disagreement" else judged
        share = np.clip(values[seen] / most(name, len(store.classes)), 0, 1)
        counted = Reliability.of(share, found[seen] != truth[seen])
        told[name] = {part: sparse(getattr(counted, part)) for part in PARTS}
    return told


PARTS = ("counts", "correct", "confidence")


def most(band: str, classes: int) -> float:
    """Return the largest value of a band that is told apart: log of the number of classes in nats, or of logits."""
    return MOST_LOGITS if band == "disagreement" else float(np.log(max(2, classes)))


def doubt_of(records: Sequence[Mapping[str, Any]], classes: int) -> dict[str, Any]:
    """Return what the cells counted, in sum, by band: two curves and one number, plain values; empty of no record.

    Args:
        records: of `count_doubt`.
        classes: that have a logit each.
    """
    out = {}
    for name, unit in zip(UNCERTAINTY.bands, UNCERTAINTY.band_units, strict=True):
        whole = [Reliability(*(dense(record[name][part], FINE_BINS) for part in PARTS)) for record in records]
        if not whole or not (counted := sum(whole[1:], whole[0])).counts.any():
            continue
        out[name] = {
            "unit": unit,
            "pixels": int(counted.counts.sum()),
            "wrong_pixels": int(counted.correct.sum()),
            "auroc": auroc(counted),
            "equal_width": _curve(counted.curve(BINS, "width"), most(name, classes)),
            "equal_mass": _curve(counted.curve(BINS, "mass"), most(name, classes)),
        }
    return out


def _curve(curve: Curve, scale: float) -> dict[str, list]:
    columns = {"value": curve.confidence * scale, "pixels": curve.counts, "wrong": curve.accuracy}
    return {name: values.tolist() for name, values in columns.items()}


def auroc(counted: Reliability) -> float:
    """Return how often a wrong pixel has a larger value than a right one; NaN where all are right, or wrong."""
    wrong, right = counted.correct.astype(float), (counted.counts - counted.correct).astype(float)
    pairs = wrong.sum() * right.sum()
    below = np.cumsum(right) - right
    return float((wrong * (below + right / 2)).sum() / pairs) if pairs else float("nan")


def doubt_rows(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the curves of an evaluation as rows of a table: those of equal mass, without empty bins."""
    rows = []
    for name, told in evaluation.get("uncertainty", {}).items():
        columns = told["equal_mass"]
        for value, pixels, wrong in zip(columns["value"], columns["pixels"], columns["wrong"], strict=True):
            if pixels:
                rows.append({"band": name, "mean_value": value, "unit": told["unit"], "pixels": pixels, "wrong": wrong})
    return rows
