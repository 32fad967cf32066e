"""Thin lines with a profile: distances to a polyline, and the outline that an annotator draws around it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from tiler.synthetic.noise import Dice

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Near:
    """What lies around a polyline."""

    window: tuple[slice, slice]
    """Rows and columns of the picture."""
    distance_px: Array
    """float32 (y, x) from the line."""
    along: Array
    """float32 (y, x): where on the line the nearest point is, 0 to 1."""


def near_line(points: Array, margin_px: float, height: int, width: int) -> Near | None:
    """Measure the distance to a polyline, around it.

    Args:
        points: float (point, 2), y and x in pixels; the middle of the first pixel is 0, 0.
        margin_px: how far around it.
        height: of the picture.
        width: of the picture.

    Returns:
        None where the line does not touch the picture.
    """
    low = np.maximum(np.floor(points.min(0) - margin_px), 0).astype(int)
    high = np.minimum(np.ceil(points.max(0) + margin_px) + 1, (height, width)).astype(int)
    if (high <= low).any():
        return None
    ys, xs = np.mgrid[low[0] : high[0], low[1] : high[1]].astype(np.float32)
    best, along = np.full(ys.shape, 1e9, np.float32), np.zeros(ys.shape, np.float32)
    count = len(points) - 1
    for number, (start, end) in enumerate(itertools.pairwise(points)):
        step = (end - start).astype(np.float32)
        t = ((ys - start[0]) * step[0] + (xs - start[1]) * step[1]) / max(float(step @ step), 1e-6)
        t = np.clip(t, 0, 1).astype(np.float32)
        squared = (ys - start[0] - t * step[0]) ** 2 + (xs - start[1] - t * step[1]) ** 2
        closer = squared < best
        best = np.where(closer, squared, best)
        along = np.where(closer, (number + t) / count, along)
    return Near((slice(low[0], high[0]), slice(low[1], high[1])), np.sqrt(best).astype(np.float32), along)


def coverage(distance_px: Array, width_px: float | Array) -> Array:
    """Return the share of each pixel that a line covers, float32; lines thinner than a pixel are faint."""
    half = np.maximum(np.asarray(width_px, np.float32), 1.0) / 2
    return np.clip(half + 0.5 - distance_px, 0, 1) * np.minimum(np.asarray(width_px, np.float32), 1.0)


def arc(dice: Dice, middle: Array, angle: float, length_px: float, bend: float, wobble_px: float, n: int = 18) -> Array:
    """Return a jittered arc: float64 (point, 2).

    Args:
        dice: what is left to chance.
        middle: y and x.
        angle: radians, from the x axis to the y axis.
        length_px: from end to end.
        bend: how far the middle stands off the chord, in lengths.
        wobble_px: of each point.
    """
    at = np.linspace(-0.5, 0.5, n)
    across = bend * length_px * (1 - 4 * at**2)
    across += wobble_px * np.array([dice.between(-1, 1) for _ in range(n)])
    forward = np.array([np.sin(angle), np.cos(angle)])
    aside = np.array([forward[1], -forward[0]])
    return middle + at[:, None] * length_px * forward + across[:, None] * aside


def outline(points: Array, width_px: float) -> Array:
    """Return the polygon around a polyline: float64 (corner, 2), y and x, rounded to a tenth of a pixel."""
    ahead = np.gradient(points, axis=0)
    ahead /= np.maximum(np.hypot(ahead[:, 0], ahead[:, 1]), 1e-6)[:, None]
    aside = np.stack([ahead[:, 1], -ahead[:, 0]], 1) * width_px / 2
    return np.round(np.concatenate([points + aside, (points - aside)[::-1]]), 1)
