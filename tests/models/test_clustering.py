"""Clusterings carry their own labels; scores equal scikit-learn's on the same features and labels."""

import numpy as np
import pytest
from sklearn.metrics import davies_bouldin_score, silhouette_score

from models.clustering import Clustering, clustered, same_division, scored, scores

RANDOM = np.random.default_rng(11)


def blobs(sizes=(40, 25), dimension=6, away=8.0) -> np.ndarray:
    parts = [RANDOM.normal(size=(size, dimension)) + away * place for place, size in enumerate(sizes)]
    return np.concatenate(parts)


def test_planted_clusters_are_found_and_the_largest_is_number_0():
    rows = blobs((12, 30, 21))
    found = clustered("pca", rows, 3, seed=2)
    assert found.sizes == (30, 21, 12)
    assert found.labels.tolist() == [2] * 12 + [0] * 30 + [1] * 21
    assert np.array_equal(found.labels, clustered("pca", rows, 3, seed=2).labels)
    first = found.typical(1, 4)
    distance = np.linalg.norm(rows - found.centres[1], axis=1)
    assert first.tolist() == np.argsort(np.where(found.labels == 1, distance, np.inf))[:4].tolist()


def test_scores_are_scikit_learns_on_the_same_features_and_labels():
    features, common = RANDOM.normal(size=(50, 4)), RANDOM.normal(size=(50, 9))
    found = scored(clustered("random", features, 2), common)
    labels = found.clustering.labels
    assert found.own.silhouette == pytest.approx(silhouette_score(features, labels))
    assert found.own.davies_bouldin == pytest.approx(davies_bouldin_score(features, labels))
    assert found.common.silhouette == pytest.approx(silhouette_score(common, labels))
    assert found.common.davies_bouldin == pytest.approx(davies_bouldin_score(common, labels))


def test_labels_of_another_clustering_are_refused():
    """The fault of the source document: one reducer's row showed another one's labels and scores."""
    one, other = (clustered(name, RANDOM.normal(size=(60, 5)), 2) for name in ("random", "autoencoder"))
    with pytest.raises(ValueError, match="belong to another clustering"):
        Clustering("autoencoder", other.features, one.labels, one.centres)
    with pytest.raises(ValueError, match="belong to another clustering"):
        Clustering("autoencoder", other.features, one.labels, other.centres)
    with pytest.raises(ValueError, match="59 labels for 60 rows"):
        Clustering("random", one.features, one.labels[:-1], one.centres)
    with pytest.raises(ValueError, match="holds 59 images"):
        scored(one, other.features[:-1])


def test_each_clustering_keeps_its_labels_whatever_the_order_they_are_made_in():
    spaces = {name: RANDOM.normal(size=(60, 5)) for name in ("random", "pca", "autoencoder")}
    common = RANDOM.normal(size=(60, 3))
    forth = {name: scored(clustered(name, spaces[name], 2), common) for name in spaces}
    back = {name: scored(clustered(name, spaces[name], 2), common) for name in reversed(spaces)}
    assert {name: one.own for name, one in forth.items()} == {name: one.own for name, one in back.items()}
    assert len({one.own for one in forth.values()}) == 3, "three spaces, three scores"
    assert not same_division(forth["random"].clustering, forth["autoencoder"].clustering)


def test_one_division_in_two_spaces_is_told_whatever_the_numbers():
    rows = blobs((20, 20))
    assert same_division(clustered("a", rows, 2, seed=1), clustered("b", -rows[:, ::-1], 2, seed=9))


def test_a_sampled_silhouette_is_near_the_exact_one_and_keeps_small_clusters():
    rows = blobs((900, 3), away=6.0)
    labels = np.repeat([0, 1], [900, 3])
    exact, some = scores(rows, labels), scores(rows, labels, sample=200, seed=4)
    assert some.silhouette == pytest.approx(exact.silhouette, abs=0.05)
    assert some.davies_bouldin == exact.davies_bouldin
    assert some == scores(rows, labels, sample=200, seed=4)


@pytest.mark.parametrize(
    ("rows", "clusters", "told"),
    [
        (np.zeros((1, 3)), 2, "2 clusters of 1 images"),
        (RANDOM.normal(size=(4, 3)), 5, "5 clusters of 4 images"),
        (RANDOM.normal(size=(4, 3)), 4, "4 clusters of 4 images"),
        (RANDOM.normal(size=(4, 3)), 1, "at least 2"),
        (np.ones((9, 3)), 2, "only 1 different rows"),
        (np.repeat(np.eye(2), 5, axis=0), 3, "only 2 different rows"),
        (np.array([[1.0], [np.nan], [2.0]]), 2, "NaN or infinity"),
    ],
)
def test_what_cannot_be_clustered_is_said(rows, clusters, told):
    with pytest.raises(ValueError, match=told):
        clustered("pca", rows, clusters)
