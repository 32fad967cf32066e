"""What a few numbers of an image say of its class: answers that every network of whole images has to beat."""

from __future__ import annotations

import numpy as np

from models.reducers import checked_rows


def nearest_centroid(train: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return the class whose mean is nearest, int64 (m,); numbers are standardised by what trains.

    Args:
        train: float (n, d).
        labels: int (n,).
        asked: float (m, d).
    """
    known, some = _scaled(train, asked)
    classes = np.unique(labels)
    centres = np.stack([known[labels == one].mean(axis=0) for one in classes])
    return np.asarray(classes[((some[:, None] - centres[None]) ** 2).sum(2).argmin(1)])


def logistic_regression(train: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return the answers of a multinomial logistic regression on standardised numbers, int64 (m,); see above."""
    from sklearn.linear_model import LogisticRegression

    known, some = _scaled(train, asked)
    return np.asarray(LogisticRegression(max_iter=2000).fit(known, labels).predict(some))


def otsu_threshold(values: np.ndarray) -> float:
    """Return the threshold that divides numbers with the largest variance between both sides (Otsu 1979).

    It is exact: every middle between two neighbouring values is tried. Values that are all equal are below it.

    Args:
        values: float (n,), finite.
    """
    ranked = np.sort(np.asarray(values, np.float64))
    below = np.arange(1, len(ranked))
    sums = np.cumsum(ranked)
    low, high = sums[:-1] / below, (sums[-1] - sums[:-1]) / (len(ranked) - below)
    spread = np.where(ranked[1:] > ranked[:-1], below * (len(ranked) - below) * (high - low) ** 2, -1.0)
    if not spread.size or spread.max() < 0:
        return float(ranked[-1]) + 1.0
    place = int(spread.argmax())
    return float(ranked[place] + ranked[place + 1]) / 2


def best_threshold_f1(values: np.ndarray, truth: np.ndarray) -> float:
    """Return the F1 of the best of all thresholds, on either side: it knows the truth, so that no threshold is better.

    Args:
        values: float (n,).
        truth: bool (n,).
    """
    return max(_best_below(values, truth), _best_below(-values, truth))


def _best_below(values: np.ndarray, truth: np.ndarray) -> float:
    order = np.argsort(values, kind="stable")
    ranked, hits = values[order], np.cumsum(truth[order])
    ends = np.append(ranked[1:] > ranked[:-1], True)  # equal values cannot be told apart
    f1 = 2 * hits / np.maximum(np.arange(1, len(values) + 1) + truth.sum(), 1)
    return float(f1[ends].max())


def _scaled(train: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known, some = checked_rows(train, "train"), checked_rows(asked, "asked")
    spread = known.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    return (known - known.mean(axis=0)) / scale, (some - known.mean(axis=0)) / scale
