"""Which clustering to believe, and which of its clusters is suspect: rules that say their reason in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.clustering import ScoredClustering, same_division

DIGITS = 4
"""Scores that agree to so many digits are equal: noise must not decide."""


@dataclass(frozen=True)
class Choice:
    """A choice with its reason."""

    index: int
    reason: str


def choose_clustering(found: Sequence[ScoredClustering]) -> Choice:
    """Choose by ranks: high silhouette and low Davies-Bouldin, in the own and in the common space, count alike.

    The sum of the four ranks decides. Ties go to the higher silhouette in the common space, then to the lower index
    there, then to the one that was named first. Scores of own spaces alone would not do: they grow when a space has
    fewer dimensions.

    Raises:
        ValueError: there is none.
    """
    if not found:
        raise ValueError("no clustering to choose from; name a reducer")
    columns = [_numbers(one) for one in found]
    ranks = [_ranks([row[place] for row in columns]) for place in range(4)]
    totals = [sum(rank[index] for rank in ranks) for index in range(len(found))]
    order = sorted(range(len(found)), key=lambda index: (totals[index], *columns[index][2:], index))
    best = order[0]
    told = found[best]
    reason = (
        f"{told.clustering.reducer}: silhouette {told.own.silhouette:.4f} and Davies-Bouldin "
        f"{told.own.davies_bouldin:.4f} in its own space, {told.common.silhouette:.4f} and "
        f"{told.common.davies_bouldin:.4f} in the common one"
    )
    if len(found) == 1:
        return Choice(best, f"{reason}; there was no other")
    next_best = order[1]
    reason += f"; sum of ranks {totals[best]}, next is {found[next_best].clustering.reducer} with {totals[next_best]}"
    if totals[best] == totals[next_best]:
        same = same_division(told.clustering, found[next_best].clustering)
        by_common = columns[best][2:] != columns[next_best][2:]
        reason += " (a tie: " + ("the scores of the common space decide" if by_common else "the first named is taken")
        reason += ", and both put the same images together)" if same else ")"
    return Choice(best, reason)


def _numbers(one: ScoredClustering) -> tuple[float, ...]:
    """Return the four scores, the smaller the better."""
    pairs = [(-space.silhouette, space.davies_bouldin) for space in (one.own, one.common)]
    return tuple(round(value, DIGITS) for pair in pairs for value in pair)


def _ranks(values: Sequence[float]) -> list[int]:
    return [1 + sum(other < value for other in values) for value in values]


def suspect_cluster(statistics: np.ndarray, labels: np.ndarray, reference: np.ndarray, names: Sequence[str]) -> Choice:
    """Return the cluster whose images are least like those of a reference.

    The distance of a cluster is the mean over the statistics of Kolmogorov and Smirnov's: the largest difference of the
    two cumulative distributions, 0 to 1. It has no unit, so that a statistic that hardly varies cannot outweigh others.

    Args:
        statistics: float (n, s) of the clustered images, such as mean pixel and share of near-white pixels.
        labels: int (n,).
        reference: float (m, s): images that are not suspected. Without any, all clustered images are the reference: of
            two clusters the smaller one is then the farther.
        names: of the statistics.

    Returns:
        The cluster, and the reason with what was compared.
    """
    against = reference if len(reference) else statistics
    clusters = np.unique(labels)
    distances = np.array(
        [
            np.mean([_apart(statistics[labels == cluster, k], against[:, k]) for k in range(len(names))])
            for cluster in clusters
        ]
    )
    place = int(distances.argmax())
    medians = np.median(statistics[labels == clusters[place]], axis=0), np.median(against, axis=0)
    said = ", ".join(
        f"{name} {value:.4g} (elsewhere {usual:.4g})" for name, value, usual in zip(names, *medians, strict=True)
    )
    told = f"the {len(reference)} images of classes that are not suspected" if len(reference) else "all images"
    others = ", ".join(f"cluster {one} {away:.2f}" for one, away in zip(clusters, distances, strict=True))
    return Choice(
        int(clusters[place]),
        f"cluster {clusters[place]} is farther from {told}: median {said}; distances, 0 to 1: {others}",
    )


def _apart(some: np.ndarray, others: np.ndarray) -> float:
    """Return the largest difference of two cumulative distributions (Kolmogorov-Smirnov)."""
    at = np.concatenate([some, others])
    shares = [np.searchsorted(np.sort(values), at, side="right") / len(values) for values in (some, others)]
    return float(np.abs(shares[0] - shares[1]).max())
