"""Scoring: from logits and labels of one piece of ground to counts; counts of pieces add up to those of the whole.

The one place where pixels are compared. A map is scored cell by cell and a data set tile by tile with the same
function; what travels is whole numbers in plain lists, never pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jobs.evaluation.counts import Calibration, Counts, Table
from models.boundary import boundary_masks
from models.metrics import IGNORE


@dataclass(frozen=True)
class Ground:
    """The labels of a piece of ground, with what each pixel counts for."""

    truth: np.ndarray
    """uint8 (y, x): class index, `IGNORE` where a pixel does not count."""
    missing: np.ndarray
    """bool (y, x): where the imagery is missing. Such pixels are counted apart."""
    block_rows: np.ndarray
    """int64 (y,): the block of each row; blocks are what the bootstrap draws."""
    block_cols: np.ndarray
    """int64 (x,)."""
    regions: np.ndarray | None = None
    """int (y, x): region of each pixel, -1 for none."""
    inner: tuple[slice, slice] = (slice(None), slice(None))
    """What is counted; the rest is a margin in which boundaries look for partners."""


@dataclass(frozen=True)
class Rule:
    """How to count."""

    labels: int
    """Class indices that occur: 2 for one class beside background."""
    threshold: float = 0.5
    """Probability from which a pixel is of the class, where there is one class."""
    tolerance_px: float = 2.0
    """Of boundaries."""
    missing_counts: bool = False
    """Whether boundaries and calibration take pixels with missing imagery; confusions are counted both ways."""


def classes_of(logits: np.ndarray, threshold: float) -> np.ndarray:
    """Return uint8 (y, x) of logits (K, y, x): the class index, `IGNORE` where a logit is NaN.

    One class (K = 1): 1 where the probability reaches the threshold. Several: the largest logit, the first of equals.
    """
    seen = ~np.isnan(logits).any(axis=0)
    if len(logits) == 1:
        with np.errstate(invalid="ignore"):
            found = (logits[0] >= np.float32(np.log(threshold / (1 - threshold)))).astype(np.uint8)
    else:
        found = np.nan_to_num(logits, nan=-np.inf).argmax(axis=0).astype(np.uint8)
    return np.where(seen, found, np.uint8(IGNORE))


def count(ground: Ground, logits: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray], rule: Rule) -> Counts:
    """Compare maps with the labels of a piece of ground.

    Args:
        ground: the labels, with a margin of `rule.tolerance_px + 1` where neighbours exist.
        logits: map name to float32 (K, y, x); NaN is counted as background, among the pixels with missing imagery.
        others: map name to class index (y, x): maps without probabilities.
        rule: how to count.

    Raises:
        ValueError: a label that is neither below `rule.labels` nor `IGNORE`.
    """
    truth, missing = ground.truth[ground.inner], ground.missing[ground.inner]
    known = truth != IGNORE
    if known.any() and int(truth[known].max()) >= rule.labels:
        raise ValueError(
            f"labels must be below {rule.labels} or {IGNORE}, found {truth[known].max()}; check the codes of the labels"
        )
    rows, row_of = np.unique(ground.block_rows[ground.inner[0]], return_inverse=True)
    cols, col_of = np.unique(ground.block_cols[ground.inner[1]], return_inverse=True)
    block = row_of[:, None] * len(cols) + col_of[None, :]
    regions = np.full(truth.shape, -1) if ground.regions is None else ground.regions[ground.inner]
    codes, region = np.unique(regions[known], return_inverse=True)
    judged = np.where(ground.missing & (not rule.missing_counts), np.uint8(IGNORE), ground.truth)
    predictions = {name: classes_of(values, rule.threshold) for name, values in logits.items()} | dict(others)
    by_block, by_region, borders, calibration = [], [], [], {}
    for found in predictions.values():
        told = found[ground.inner][known]
        answer = np.where(told == IGNORE, 0, told).astype(np.int64)
        pair = (missing[known] * rule.labels + truth[known]) * rule.labels + answer  # stratum, label, prediction
        by_block.append(_tally(block[known], pair, len(rows) * len(cols), 2 * rule.labels**2))
        by_region.append(_tally(region, pair, len(codes), 2 * rule.labels**2))
        borders.append(_borders(judged, found, block, ground.inner, rule, len(rows) * len(cols)))
    for name, values in logits.items():
        seen = np.where(np.isnan(values).any(axis=0), np.uint8(IGNORE), judged)[ground.inner]
        calibration[name] = Calibration.of(values[(slice(None), *ground.inner)], seen)
    keys = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)
    blocks = np.concatenate([_by_stratum(by_block), np.concatenate(borders, axis=1)], axis=1)
    inside = codes >= 0
    return Counts(
        tuple(predictions),
        rule.labels,
        _kept(keys, blocks),
        _kept(codes[inside, None], _by_stratum(by_region)[inside]),
        calibration,
    )


def _tally(place: np.ndarray, code: np.ndarray, places: int, codes: int) -> np.ndarray:
    """Count pairs: int64 (places, codes)."""
    return np.bincount(place * codes + code, minlength=places * codes).reshape(places, codes)


def _by_stratum(counts: Sequence[np.ndarray]) -> np.ndarray:
    """Put the counts (place, stratum and pair) of several maps side by side: (place, stratum, map, pair), flat."""
    stacked = np.stack(counts, axis=1)
    places, maps, width = stacked.shape
    return stacked.reshape(places, maps, 2, width // 2).swapaxes(1, 2).reshape(places, maps * width)


def _borders(
    truth: np.ndarray, found: np.ndarray, block: np.ndarray, inner: tuple[slice, slice], rule: Rule, blocks: int
) -> np.ndarray:
    """Count boundary pixels by block: int64 (block, (label - 1) * 4)."""
    columns = [
        np.bincount(block[mask[inner]], minlength=blocks)
        for label in range(1, rule.labels)
        for mask in boundary_masks(truth, found, rule.tolerance_px, label)
    ]
    return np.stack(columns, axis=1)


def _kept(keys: np.ndarray, values: np.ndarray) -> Table:
    some = values.any(axis=1)
    return Table(keys[some].astype(np.int64), values[some].astype(np.int64))
