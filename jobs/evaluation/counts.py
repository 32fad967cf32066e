"""Counts: what scoring finds on a piece of ground, as whole numbers that add up in any order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.calibration import FINE_BINS, LOGIT_BINS, Reliability, SlopeGrid, logit_histogram
from models.metrics import IGNORE


@dataclass(frozen=True)
class Table:
    """Counts by key; tables add up."""

    keys: np.ndarray
    """int64 (n, d), sorted, each once."""
    values: np.ndarray
    """int64 (n, width); no row is all zero."""

    @staticmethod
    def total(tables: Sequence[Table]) -> Table:
        """Add tables up."""
        keys, values = (np.concatenate([getattr(t, name) for t in tables]) for name in ("keys", "values"))
        unique, place = np.unique(keys, axis=0, return_inverse=True)
        sums = np.zeros((len(unique), values.shape[1]), np.int64)
        np.add.at(sums, place.reshape(-1), values)
        return Table(unique, sums)


@dataclass(frozen=True)
class Calibration:
    """What the probabilities of one map are worth."""

    reliability: Reliability
    logits: np.ndarray | SlopeGrid
    """`logit_histogram` of one class, `SlopeGrid` of several."""

    @staticmethod
    def of(logits: np.ndarray, truth: np.ndarray) -> Calibration:
        """Count pixels: logits (K, y, x) float, truth (y, x) with `IGNORE` wherever a logit is NaN."""
        seen = truth != IGNORE
        values, known = logits[:, seen].astype(np.float64), truth[seen]
        if len(logits) == 1:
            sure = 0.5 * (1 + np.tanh(0.5 * values[0]))
            return Calibration(Reliability.of(sure, known == 1), logit_histogram(values[0], known))
        weights = np.exp(values - values.max(axis=0)) if known.size else values
        sure = weights.max(axis=0, initial=0.0) / weights.sum(axis=0)
        right = values.argmax(axis=0) == known
        return Calibration(Reliability.of(np.clip(sure, 0, 1), right), SlopeGrid.of(values.T, known))

    def __add__(self, other: Calibration) -> Calibration:
        return Calibration(self.reliability + other.reliability, self.logits + other.logits)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        found = {name: sparse(getattr(self.reliability, name)) for name in ("counts", "correct", "confidence")}
        if isinstance(self.logits, SlopeGrid):
            grid = self.logits
            return found | {"slopes": [grid.slopes.tolist(), grid.curvatures.tolist(), grid.count]}
        return found | {"logits": sparse(self.logits.reshape(-1))}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Calibration:
        """Undo `to_json`."""
        parts = (dense(values[name], FINE_BINS) for name in ("counts", "correct", "confidence"))
        if "slopes" in values:
            slopes, curvatures, count = values["slopes"]
            return Calibration(Reliability(*parts), SlopeGrid(np.array(slopes), np.array(curvatures), count))
        return Calibration(Reliability(*parts), dense(values["logits"], 2 * LOGIT_BINS).reshape(2, LOGIT_BINS))


def sparse(values: np.ndarray) -> list[list[int]]:
    """Return a histogram as plain values: where it is not 0, and what it is there."""
    places = np.flatnonzero(values)
    return [places.tolist(), values[places].tolist()]


def dense(values: Sequence[Sequence[int]], size: int) -> np.ndarray:
    """Undo `sparse`: int64 (size,)."""
    out = np.zeros(size, np.int64)
    out[np.array(values[0], np.int64)] = values[1]
    return out


@dataclass(frozen=True)
class Counts:
    """Everything that is counted about some maps of the same ground; adds up with +."""

    names: tuple[str, ...]
    """The maps."""
    labels: int
    blocks: Table
    """By block: confusions, then boundaries, flat."""
    regions: Table
    """By region: confusions, flat."""
    calibration: dict[str, Calibration] = field(default_factory=dict)
    """Of the maps that have logits."""

    @property
    def confusion(self) -> np.ndarray:
        """int64 (block, 2, map, label, prediction); the second axis is imagery present, missing."""
        return self._confusion(self.blocks)

    @property
    def region_confusion(self) -> np.ndarray:
        """int64 (region, 2, map, label, prediction)."""
        return self._confusion(self.regions)

    def _confusion(self, table: Table) -> np.ndarray:
        size = 2 * len(self.names) * self.labels**2
        return table.values[:, :size].reshape(-1, 2, len(self.names), self.labels, self.labels)

    @property
    def boundary(self) -> np.ndarray:
        """int64 (block, map, label - 1, 4): `models.boundary` counts of every label but background."""
        size = 4 * len(self.names) * (self.labels - 1)
        return self.blocks.values[:, -size:].reshape(-1, len(self.names), self.labels - 1, 4)

    @staticmethod
    def total(counts: Iterable[Counts]) -> Counts:
        """Add up any number of pieces, at least one, in any order."""
        pieces = list(counts)
        first = pieces[0]
        sums = dict(first.calibration)
        for piece in pieces[1:]:
            for name, found in piece.calibration.items():
                sums[name] = sums[name] + found if name in sums else found
        blocks, regions = Table.total([p.blocks for p in pieces]), Table.total([p.regions for p in pieces])
        return Counts(first.names, first.labels, blocks, regions, sums)

    def __add__(self, other: Counts) -> Counts:
        return Counts.total([self, other])

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "names": list(self.names),
            "labels": self.labels,
            "blocks": [self.blocks.keys.tolist(), self.blocks.values.tolist()],
            "regions": [self.regions.keys.tolist(), self.regions.values.tolist()],
            "calibration": {name: found.to_json() for name, found in self.calibration.items()},
        }

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Counts:
        """Undo `to_json`."""
        names, labels = tuple(values["names"]), int(values["labels"])
        confusions = 2 * len(names) * labels**2
        widths = {"blocks": (2, confusions + 4 * len(names) * (labels - 1)), "regions": (1, confusions)}
        tables = {
            kind: Table(*(np.array(v, np.int64).reshape(-1, w) for v, w in zip(values[kind], width, strict=True)))
            for kind, width in widths.items()
        }
        calibration = {name: Calibration.from_json(found) for name, found in values["calibration"].items()}
        return Counts(names, labels, tables["blocks"], tables["regions"], calibration)
