"""Whether a layout of embeddings is a ring along which the year runs: a correlation of two angles."""

from __future__ import annotations

import numpy as np

from models.retrieval import YEAR_DAYS, day_of_year


def circular_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return the circular-circular correlation of two sets of angles (n,) in radians, in [-1, 1].

    Jammalamadaka and SenGupta, Topics in Circular Statistics (2001), section 8.2, in the form for angles that may be
    spread over the whole circle, where a mean direction means little: |mean exp(i(a - b))| - |mean exp(i(a + b))| over
    twice the root of the product of the mean squared sines about the mean directions. 1: one turns with the other;
    -1: it turns against it; 0 (up to 1 / sqrt(n)): neither. NaN: one of them never changes.
    """
    if first.shape != second.shape or first.ndim != 1 or len(first) < 3:
        raise ValueError(f"A correlation wants pairs of angles, three or more, got {first.shape} and {second.shape}.")
    with_it, against_it = (np.abs(np.exp(1j * (first + sign * second)).mean()) for sign in (-1, 1))
    spread = [np.square(np.sin(a - np.angle(np.exp(1j * a).mean()))).mean() for a in (first, second)]
    below = 2 * np.sqrt(spread[0] * spread[1])
    return float(np.clip((with_it - against_it) / below, -1, 1)) if below > 1e-12 else float("nan")


def ring_score(layout: np.ndarray, times: np.ndarray) -> float:
    """Return how well the angle around the centroid of a layout (n, 2) tells the day of the year, 0 to 1.

    times: datetime64 (n,). A layout has no handedness, so that a year that runs clockwise counts the same.
    """
    away = layout - layout.mean(0)
    angle = np.arctan2(away[:, 1], away[:, 0])
    return abs(circular_correlation(angle, 2 * np.pi * day_of_year(times) / YEAR_DAYS))
