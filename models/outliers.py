"""Outliers: robust scores of numbers, classes whose level is odd, and images that lie far from all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.reducers import checked_rows

NORMAL = 1.4826
"""Standard deviations of a normal distribution in a median absolute deviation."""
FLAG_Z = 3.5
"""Robust z from which a value is odd (Iglewicz and Hoaglin 1993)."""
NEIGHBOURS = 5
FEW_CLASSES = 3
"""With fewer classes there is no usual level."""


def robust_scale(values: np.ndarray) -> np.ndarray:
    """Return the robust deviation of each column of float (n, s), above zero: 1.4826 times the median deviation.

    Where more than half of the values are equal, it is the mean absolute deviation in the same unit (times 1.2533),
    and 1 where all are equal: then differences count as they are.
    """
    away = np.abs(values - np.median(values, axis=0))
    scale, mean = NORMAL * np.median(away, axis=0), 1.2533 * away.mean(axis=0)
    scale = np.where(scale > 0, scale, mean)
    return np.asarray(np.where(scale > 0, scale, 1.0))


def robust_z(values: np.ndarray) -> np.ndarray:
    """Return how many robust deviations each value lies from the median, float64 (n,); NaN stays NaN."""
    out = np.full(len(values), np.nan)
    known = np.isfinite(values)
    if known.any():
        some = np.asarray(values, np.float64)[known]
        out[known] = (some - np.median(some)) / robust_scale(some[:, None])[0]
    return out


@dataclass(frozen=True)
class ClassLevel:
    """The level of a class beside that of the others."""

    name: str
    images: int
    mean: float
    z: float
    """Robust deviations from the median of the classes."""
    flagged: bool


def class_levels(labels: Sequence[str], values: np.ndarray, bound: float = FLAG_Z) -> tuple[ClassLevel, ...]:
    """Return the mean of a value over each class, and whether it is odd among the classes, low or high.

    A class that is odd is only suspected: its images may be dark by themselves.

    Args:
        labels: class of each image; "" has none.
        values: float (n,), such as the mean pixel; NaN does not count.
        bound: robust z from which a class is flagged.

    Returns:
        Sorted by name. Fewer than three classes have no usual level: none is flagged.
    """
    name_of, known = np.asarray(labels, dtype=str), np.isfinite(values)
    names = [str(name) for name in np.unique(name_of) if name and (known & (name_of == name)).any()]
    means = np.array([float(np.mean(values[known & (name_of == name)])) for name in names])
    z = robust_z(means) if len(names) >= FEW_CLASSES else np.zeros(len(names))
    return tuple(
        ClassLevel(name, int((name_of == name).sum()), float(mean), float(away), bool(abs(away) > bound))
        for name, mean, away in zip(names, means, z, strict=True)
    )


def outlier_scores(features: np.ndarray, neighbours: int = NEIGHBOURS) -> np.ndarray:
    """Return how lonely each image is: robust z of its distance to the k-th nearest other image, float64 (n,).

    Copies of an outlier hide it (its neighbours are near): look for duplicates first.

    Args:
        features: float (n, d), reduced.
        neighbours: k; fewer where there are fewer images.

    Returns:
        Zeros where fewer than three images are there to compare.
    """
    rows = checked_rows(features, "features")
    if len(rows) < 3:
        return np.zeros(len(rows))
    from sklearn.neighbors import NearestNeighbors

    count = min(neighbours, len(rows) - 1)
    search = NearestNeighbors(n_neighbors=count).fit(rows)  # without queries: a row is not its own neighbour
    return robust_z(search.kneighbors()[0][:, -1])
