"""Clusterings of images by k-means++, with scores that cannot be those of another clustering.

The labels of a clustering are made here, from its own features, and stay with them: whoever pairs features with the
labels of another clustering is refused. Silhouette (Rousseeuw 1987) and the index of Davies and Bouldin (1979) are
taken in the clustering's own space, and in one space that is common to all, where alone they can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.reducers import checked_rows

SAMPLE = 10_000
"""Rows beyond which the silhouette is that of a sample: it needs all distances between rows."""
RESTARTS = 10


@dataclass(frozen=True, eq=False)
class Clustering:
    """Images in clusters; number 0 is the largest one."""

    reducer: str
    """What made the features."""
    features: np.ndarray
    """float64 (n, d)."""
    labels: np.ndarray
    """int64 (n,): the cluster of each, 0 to k - 1."""
    centres: np.ndarray
    """float64 (k, d)."""

    def __post_init__(self) -> None:
        """Refuse labels that were made from other features: each must name the nearest centre."""
        if len(self.labels) != len(self.features):
            raise ValueError(f"{self.reducer}: {len(self.labels)} labels for {len(self.features)} rows of features")
        distances = _distances(self.features, self.centres)
        own = distances[np.arange(len(self.labels)), self.labels]
        slack = 1e-6 * max(1.0, float(distances.max()))
        strangers = int((own > distances.min(axis=1) + slack).sum())
        if strangers:
            raise ValueError(
                f"{self.reducer}: {strangers} of {len(self.labels)} labels do not name the nearest centre: they belong "
                "to another clustering"
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Images in each cluster."""
        return tuple(np.bincount(self.labels, minlength=len(self.centres)).tolist())

    def typical(self, cluster: int, count: int) -> np.ndarray:
        """Return the members nearest to the middle of their cluster, nearest first, int64 (<= count,)."""
        members = np.flatnonzero(self.labels == cluster)
        order = np.argsort(_distances(self.features[members], self.centres[cluster : cluster + 1])[:, 0], kind="stable")
        return np.asarray(members[order[:count]])


def clustered(reducer: str, features: np.ndarray, clusters: int = 2, seed: int = 0) -> Clustering:
    """Cluster rows by k-means from k-means++ seeds (Arthur and Vassilvitskii 2007), the best of ten starts.

    Args:
        reducer: name of what made the features.
        features: float (n, d).
        clusters: at least 2, fewer than n.
        seed: of the starts.

    Raises:
        ValueError: more clusters than rows or than different rows, fewer than two, or values that are not finite.
    """
    from sklearn.cluster import KMeans

    rows = checked_rows(features, reducer)
    if clusters < 2:
        raise ValueError(f"{reducer}: {clusters} clusters are no division; ask for at least 2")
    if clusters >= len(rows):
        raise ValueError(
            f"{reducer}: {clusters} clusters of {len(rows)} images: scores need more images than clusters; ask for "
            "fewer clusters, or name more classes"
        )
    different = len(np.unique(rows, axis=0))
    if different < clusters:
        raise ValueError(
            f"{reducer}: {len(rows)} images have only {different} different rows of features, {clusters} clusters "
            "cannot be told apart; ask for fewer clusters, or remove duplicates first (sandan curate filter)"
        )
    found = KMeans(clusters, init="k-means++", n_init=RESTARTS, random_state=seed).fit(rows)
    centres = np.asarray(found.cluster_centers_, np.float64)
    labels = _distances(rows, centres).argmin(axis=1)
    order = np.argsort(-np.bincount(labels, minlength=clusters), kind="stable")
    return Clustering(reducer, rows, np.argsort(order)[labels], centres[order])


@dataclass(frozen=True)
class Scores:
    """How well clusters are apart in one space."""

    silhouette: float
    """-1 to 1: high where images are nearer to their own cluster than to the next."""
    davies_bouldin: float
    """From 0: low where clusters are small for their distance."""


@dataclass(frozen=True)
class ScoredClustering:
    """A clustering with its scores in its own space and in the common one."""

    clustering: Clustering
    own: Scores
    common: Scores


def scores(features: np.ndarray, labels: np.ndarray, sample: int = SAMPLE, seed: int = 0) -> Scores:
    """Return the scores of labels in a space; the silhouette is exact up to `sample` rows.

    Beyond it is the mean over a random sample, in which every cluster keeps two members at least where it has them.

    Args:
        features: float (n, d).
        labels: int (n,), of two to n - 1 clusters.
        sample: rows.
        seed: of the sample.
    """
    from sklearn.metrics import davies_bouldin_score, silhouette_score

    rows = _sampled(labels, sample, seed)
    return Scores(float(silhouette_score(features[rows], labels[rows])), float(davies_bouldin_score(features, labels)))


def scored(clustering: Clustering, common: np.ndarray, sample: int = SAMPLE, seed: int = 0) -> ScoredClustering:
    """Score a clustering by its own labels in its own and in a common space.

    Args:
        clustering: whose labels count.
        common: float (n, any) of the same images.
        sample: see `scores`.
        seed: see `scores`.

    Raises:
        ValueError: the common space holds another number of images.
    """
    if len(common) != len(clustering.labels):
        raise ValueError(
            f"{clustering.reducer}: the common space holds {len(common)} images, the clustering "
            f"{len(clustering.labels)}; give both the same"
        )
    own = scores(clustering.features, clustering.labels, sample, seed)
    return ScoredClustering(clustering, own, scores(common, clustering.labels, sample, seed))


def same_division(one: Clustering, other: Clustering) -> bool:
    """Whether two clusterings put the same images together, whatever the clusters are numbered."""
    pairs = np.unique(np.stack([one.labels, other.labels]), axis=1).shape[1]
    return bool(pairs == len(np.unique(one.labels)) == len(np.unique(other.labels)))


def _sampled(labels: np.ndarray, sample: int, seed: int) -> np.ndarray:
    if len(labels) <= sample:
        return np.arange(len(labels))
    order = np.random.default_rng(seed).permutation(len(labels))
    few = [order[labels[order] == cluster][:2] for cluster in np.unique(labels)]
    return np.unique(np.concatenate([*few, order[:sample]]))


def _distances(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the distance of every row from every centre, float64 (n, k)."""
    return np.stack([np.linalg.norm(rows - centre, axis=1) for centre in centres], axis=1)
