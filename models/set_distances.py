"""Distances between two sets of embeddings, for many ways of choosing the sets at once.

Sets are masks over fixed rows, so each distance is a few matrix products for all of them: sums of rows for means and
covariances, one kernel matrix for the mean discrepancy, counts for the occupancy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

FRECHET, DISCREPANCY, OCCUPANCY = "frechet", "mmd", "psi"
DISTANCES = (FRECHET, DISCREPANCY, OCCUPANCY)
MEDIAN_ROWS = 2_000
"""Rows, at most, of which the median distance is taken."""
KERNEL_ROWS = 3_000
"""Rows of a region, at most, in the kernel matrix; of more, every second, third... counts."""


@dataclass(frozen=True)
class Space:
    """The coordinates in which distances are taken: learnt from the reference alone."""

    components: Any
    """scikit-learn's fitted PCA."""
    clusters: Any
    """scikit-learn's fitted k-means."""
    width: float
    """Of the kernel: the median distance between two rows of the reference (Gretton et al. 2012, section 8)."""

    @classmethod
    def fit(cls, embeddings: np.ndarray, components: int, clusters: int, seed: int) -> Space:
        """Learn it from the rows of a reference, float (n, dimension)."""
        from sklearn.cluster import KMeans
        from sklearn.decomposition import PCA

        rows = np.asarray(embeddings, np.float64)
        pca = PCA(min(components, *rows.shape), random_state=seed).fit(rows)
        inside = pca.transform(rows)
        kmeans = KMeans(min(clusters, len(np.unique(inside, axis=0))), init="k-means++", n_init=4, random_state=seed)
        some = inside[:: -(-len(inside) // MEDIAN_ROWS)]
        apart = squared_distances(some, some)[np.triu_indices(len(some), 1)]
        return cls(pca, kmeans.fit(inside), max(float(np.sqrt(np.median(apart))), 1e-12))


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return squared Euclidean distances, float64 (n, m), of rows (n, d) and (m, d)."""
    return np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * (a @ b.T), 0.0)


def distances(
    space: Space,
    reference: np.ndarray,
    run: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    third: np.ndarray,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return how far halves of a reference lie from each other, and from a run.

    Args:
        space: learnt from the whole reference.
        reference: float (n, dimension).
        run: float (m, dimension).
        first: bool (resamples, n).
        second: bool (resamples, n).
        third: bool (resamples, m).

    Returns:
        Name to float64 (resamples,): between first and second; between first and third.
    """
    rows, others = (space.components.transform(np.asarray(one, np.float64)) for one in (reference, run))
    within, across = {}, {}
    keep = max(2, min(rows.shape[1], int(min(first.sum(1).min(), second.sum(1).min(), third.sum(1).min())) // 4))
    halves = _moments(rows[:, :keep], first)
    within[FRECHET] = frechet(*halves, *_moments(rows[:, :keep], second))
    across[FRECHET] = frechet(*halves, *_moments(others[:, :keep], third))
    ours, theirs = (slice(None, None, -(-len(one) // KERNEL_ROWS)) for one in (rows, others))
    kernels = [
        np.exp(squared_distances(a, b) / (-2 * space.width**2))
        for a, b in ((rows[ours], rows[ours]), (others[theirs], others[theirs]), (rows[ours], others[theirs]))
    ]
    a, b, c = first[:, ours].astype(np.float64), second[:, ours].astype(np.float64), third[:, theirs].astype(np.float64)
    within[DISCREPANCY] = _discrepancy(kernels[0], kernels[0], kernels[0], a, b)
    across[DISCREPANCY] = _discrepancy(kernels[0], kernels[1], kernels[2], a, c)
    members, other_members = (_members(space, one) for one in (rows, others))
    counts = first @ members
    within[OCCUPANCY] = stability_index(counts, second @ members)
    across[OCCUPANCY] = stability_index(counts, third @ other_members)
    return within, across


def _moments(rows: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means (sets, d) and covariances (sets, d, d) of chosen rows."""
    weights = chosen / np.maximum(chosen.sum(1, keepdims=True), 1)
    means = weights @ rows
    outer = np.stack([(rows.T * w) @ rows for w in weights])
    return means, outer - means[:, :, None] * means[:, None, :]


def frechet(mean_a: np.ndarray, cov_a: np.ndarray, mean_b: np.ndarray, cov_b: np.ndarray) -> np.ndarray:
    """Return squared Frechet distances, float64 (n,), of normal distributions (Dowson and Landau 1982).

    |mean_a - mean_b|^2 + tr(cov_a + cov_b - 2 (cov_a cov_b)^(1/2)); means (n, d), covariances (n, d, d).
    """
    values, vectors = np.linalg.eigh(cov_a)
    root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]  # root root' = cov_a
    crossed = np.linalg.eigvalsh(root.transpose(0, 2, 1) @ cov_b @ root)
    traces = np.trace(cov_a, axis1=1, axis2=2) + np.trace(cov_b, axis1=1, axis2=2)
    apart = ((mean_a - mean_b) ** 2).sum(1)
    return np.asarray(apart + traces - 2 * np.sqrt(np.maximum(crossed, 0.0)).sum(1))


def _discrepancy(aa: np.ndarray, bb: np.ndarray, ab: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the unbiased squared maximum mean discrepancy of sets (Gretton et al. 2012, equation 3).

    Kernels of ones on the diagonals, which leave out a row with itself; a (sets, n) and b (sets, m) are 0 and 1.
    """
    m, n = a.sum(1), b.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        inner_a = (np.einsum("si,si->s", a @ aa, a) - m) / (m * (m - 1))
        inner_b = (np.einsum("si,si->s", b @ bb, b) - n) / (n * (n - 1))
        found = inner_a + inner_b - 2 * np.einsum("si,si->s", a @ ab, b) / (m * n)
    return np.asarray(np.nan_to_num(found))  # sets of one row have no distance


def mean_discrepancy(a: np.ndarray, b: np.ndarray, width: float) -> float:
    """Return the unbiased squared maximum mean discrepancy of rows (n, d) and (m, d), kernel exp(-|x-y|^2 / 2 w^2)."""
    aa, bb, ab = (np.exp(squared_distances(x, y) / (-2 * width**2)) for x, y in ((a, a), (b, b), (a, b)))
    return float(_discrepancy(aa, bb, ab, np.ones((1, len(a))), np.ones((1, len(b))))[0])


def _members(space: Space, rows: np.ndarray) -> np.ndarray:
    """Return which cluster each row is of, float64 (n, clusters) of 0 and 1."""
    labels = space.clusters.predict(np.ascontiguousarray(rows))
    return np.eye(space.clusters.n_clusters)[labels]


def stability_index(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the population stability index, float64 (n,): sum of (q - p) ln(q / p) over clusters.

    Args:
        expected: counts (n, clusters); half an item is added to each, so that an empty one has a logarithm.
        found: likewise.
    """
    p, q = expected + 0.5, found + 0.5
    p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
    return np.asarray(((q - p) * np.log(q / p)).sum(1))
