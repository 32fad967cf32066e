"""Balance of classes: which are over-full, and which of their images to leave out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

TIMES = 3.0
"""A class of more than so many times the median count is over-full."""


@dataclass(frozen=True)
class Imbalance:
    """How even the classes are."""

    counts: Mapping[str, int]
    """Class to images, every class, also empty ones."""
    over_full: tuple[str, ...]
    target: int | None
    """Images that an over-full class keeps: the mean count of the other classes, rounded; None where none is."""
    verdict: str
    """A sentence."""


def imbalance(counts: Mapping[str, int], times: float = TIMES) -> Imbalance:
    """Judge the counts of classes: over-full are those with more than `times` the median count.

    Args:
        counts: class to images; empty classes do not count into the median nor the mean, but are named.
        times: above 1.

    Raises:
        ValueError: `times` is not above 1.
    """
    if not times > 1:
        raise ValueError(f"over-full from {times:g} times the median: a number above 1 is needed")
    filled = {name: count for name, count in counts.items() if count}
    empty = sorted(counts.keys() - filled)
    told = f"; without any image: {', '.join(empty)}" if empty else ""
    if len(filled) < 2:
        return Imbalance(counts, (), None, f"{len(filled)} class with images: nothing to balance{told}")
    middle = float(np.median(list(filled.values())))
    over = tuple(sorted(name for name, count in filled.items() if count > times * middle))
    spread = f"{min(filled.values())} to {max(filled.values())} images a class, median {middle:g}"
    if not over:
        return Imbalance(counts, (), None, f"no class imbalance: {spread}; none has more than {times:g} x median{told}")
    rest = [count for name, count in filled.items() if name not in over]
    target = max(1, round(sum(rest) / len(rest)))
    names = ", ".join(f"{name} ({filled[name]})" for name in over)
    return Imbalance(
        counts,
        over,
        target,
        f"class imbalance: {names} have more than {times:g} x median ({spread}); the other {len(rest)} classes have "
        f"{sum(rest)} images, {target} on average{told}",
    )


def undersampled(labels: Sequence[str], judged: Imbalance, seed: int = 0) -> np.ndarray:
    """Return which images to leave out so that over-full classes keep `judged.target`, int64, sorted.

    Other classes are untouched. What a class loses depends on its name, its images in order, and the seed alone.

    Args:
        labels: class of each image.
        judged: of the counts of these labels.
        seed: of the draw.
    """
    name_of = np.asarray(labels, dtype=str)
    removed = [np.empty(0, np.int64)]
    for name in judged.over_full:
        members = np.flatnonzero(name_of == name)
        assert judged.target is not None
        if len(members) > judged.target:
            random = np.random.default_rng([seed, *name.encode()])
            removed.append(random.permutation(members)[judged.target :])
    return np.sort(np.concatenate(removed))
