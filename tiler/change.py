"""Change between two maps: what was gained and lost, and which of it is more than the networks' doubt.

    d     = l_after - l_before                                    of the log-odds of the class
    s     = sqrt(spread_before^2 + spread_after^2)                spread: of the logits over networks and views
    sure  where the class differs and |d| > max(z * s, least)

A spread says how far networks and views disagree, not how far all of them err together: `least` keeps a place that
wavers about the threshold from counting as a change.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiler.classes import NO_CLASS, Color
from tiler.cog import CogSpec

NAMES = ("background", "stable", "gained", "lost", "perhaps gained", "perhaps lost")
"""What the values of a change raster mean, from 0 on; 255 is what not both maps saw."""
BACKGROUND, STABLE, GAINED, LOST, PERHAPS_GAINED, PERHAPS_LOST = range(len(NAMES))
COLORS: dict[int, Color] = {
    BACKGROUND: (228, 228, 224, 255),
    STABLE: (120, 120, 128, 255),
    GAINED: (190, 24, 93, 255),
    LOST: (0, 114, 178, 255),
    PERHAPS_GAINED: (240, 170, 200, 255),
    PERHAPS_LOST: (150, 200, 230, 255),
}
MOST_SIGNIFICANT = 99.0
"""Where nothing is in doubt."""
CHANGE = CogSpec(
    "change",
    "uint8",
    NO_CLASS,
    "mode",
    COLORS,
    "Change between two maps: " + ", ".join(f"{value} {name}" for value, name in enumerate(NAMES)),
    tags={f"CLASS_{value}": name for value, name in enumerate(NAMES)},
)
DIFFERENCE = CogSpec(
    "difference",
    "float32",
    float("nan"),
    "average",
    description="Difference of the log-odds of the class, after less before, and its size in combined spreads",
    bands=("difference", "significance"),
)


@dataclass(frozen=True)
class Doubt:
    """From where on a change counts as sure."""

    z: float = 2.0
    """Combined spreads."""
    least: float = 1.0
    """Of the difference of log-odds."""


@dataclass(frozen=True)
class Seen:
    """What one map says of a place; all arrays (y, x)."""

    logit: np.ndarray
    """Log-odds of the class, NaN where nobody saw it."""
    spread: np.ndarray
    inside: np.ndarray
    """bool: of the class."""


@dataclass(frozen=True)
class Change:
    """How two maps differ; all arrays (y, x)."""

    kind: np.ndarray
    """uint8: one of `NAMES`, or 255."""
    difference: np.ndarray
    """float32, NaN where not both maps saw it."""
    significance: np.ndarray
    """float32: the size of the difference in combined spreads."""


def log_odds(logits: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the log-odds of any class against background, and their spread, both (y, x).

    Args:
        logits: (class, y, x); one class beside background, or several, the first being background: then the log-odds
            of the most probable other one against it.
        spread: the same.
    """
    if len(logits) == 1:
        return logits[0], spread[0]
    best = np.where(np.isnan(logits[1:]), -np.inf, logits[1:]).argmax(axis=0)[None] + 1
    ahead, its_spread = (np.take_along_axis(layer, best, 0)[0] for layer in (logits, spread))
    return ahead - logits[0], np.hypot(its_spread, spread[0])


def change_of(before: Seen, after: Seen, doubt: Doubt) -> Change:
    """Compare two maps of the same place."""
    difference = (after.logit - before.logit).astype(np.float32)
    combined = np.hypot(before.spread, after.spread).astype(np.float32)
    unseen = np.isnan(difference)
    size = np.where(unseen, 0, np.abs(difference))
    sure = size > np.maximum(doubt.z * np.where(unseen, 0, combined), doubt.least)
    kind = np.select(
        [unseen, before.inside & after.inside, ~before.inside & ~after.inside, after.inside],
        [NO_CLASS, STABLE, BACKGROUND, np.where(sure, GAINED, PERHAPS_GAINED)],
        np.where(sure, LOST, PERHAPS_LOST),
    ).astype(np.uint8)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        significance = np.minimum(np.where(size > 0, size / combined, 0), MOST_SIGNIFICANT).astype(np.float32)
    significance[unseen] = np.nan
    return Change(kind, difference, significance)
