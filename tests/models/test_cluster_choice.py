"""The choice of a clustering and of its suspect cluster: rules with reasons."""

import numpy as np
import pytest

from models.cluster_choice import choose_clustering, suspect_cluster
from models.clustering import Clustering, ScoredClustering, Scores

ROWS = np.array([[0.0], [1.0], [9.0], [10.0], [0.5]])
LABELS = np.array([0, 0, 1, 1, 0])


def told(name: str, own: tuple[float, float], common: tuple[float, float]) -> ScoredClustering:
    centres = np.array([[0.5], [9.5]])
    return ScoredClustering(Clustering(name, ROWS, LABELS, centres), Scores(*own), Scores(*common))


def test_high_silhouette_and_low_davies_bouldin_are_chosen():
    found = [told("pca", (0.0048, 14.766), (0.1, 3.0)), told("random", (0.3829, 1.054), (0.3, 1.2))]
    chosen = choose_clustering(found)
    assert chosen.index == 1
    assert "random: silhouette 0.3829 and Davies-Bouldin 1.0540 in its own space" in chosen.reason
    assert "sum of ranks 4, next is pca with 8" in chosen.reason


def test_a_tie_goes_to_the_common_space_and_then_to_the_first():
    better_own, better_common = told("a", (0.6, 0.8), (0.1, 2.0)), told("b", (0.5, 0.9), (0.2, 1.9))
    chosen = choose_clustering([better_own, better_common])
    assert (chosen.index, "the scores of the common space decide" in chosen.reason) == (1, True)
    same = [told("random", (0.3829, 1.054), (0.2, 1.5)), told("autoencoder", (0.38290001, 1.054), (0.2, 1.5))]
    chosen = choose_clustering(same)
    assert chosen.index == 0
    assert "the first named is taken, and both put the same images together" in chosen.reason


def test_one_is_chosen_without_others_and_none_is_an_error():
    assert "there was no other" in choose_clustering([told("pca", (0.1, 2.0), (0.1, 2.0))]).reason
    with pytest.raises(ValueError, match="name a reducer"):
        choose_clustering([])


def test_the_cluster_unlike_the_reference_is_suspect_even_if_it_is_the_larger_one():
    labels = np.repeat([0, 1], [58, 42])
    statistics = np.column_stack([np.where(labels == 0, 60.0, 221.0), np.where(labels == 0, 0.0, 0.7)])
    reference = np.random.default_rng(0).normal([220, 0.7], [8, 0.05], (300, 2))
    found = suspect_cluster(statistics, labels, reference, ("mean pixel", "near-white share"))
    assert found.index == 0
    assert "median mean pixel 60 (elsewhere 2" in found.reason
    assert "300 images of classes that are not suspected" in found.reason


def test_without_a_reference_what_is_unlike_most_is_suspect():
    labels = np.repeat([0, 1], [90, 10])
    statistics = np.where(labels == 1, 9000.0, 400.0)[:, None] + np.arange(100)[:, None] % 7
    found = suspect_cluster(statistics, labels, np.empty((0, 1)), ("mean pixel",))
    assert (found.index, "farther from all images" in found.reason) == (1, True)


def test_a_statistic_that_hardly_varies_outweighs_nothing():
    """Drawings on grey paper: the near-white share is 0 but for some, whose cluster must not become the suspect."""
    random = np.random.default_rng(5)
    labels = np.repeat([0, 1], [68, 61])
    statistics = np.column_stack([np.where(labels == 0, random.normal(70, 15, 129), random.normal(219, 6, 129)),
                                  np.where(labels == 0, 0.0, random.choice([0.0, 0.2], 129))])  # fmt: skip
    reference = np.column_stack([random.normal(219, 6, 871), random.choice([0.0, 0.0005, 0.2], 871, p=[0.4, 0.2, 0.4])])
    assert suspect_cluster(statistics, labels, reference, ("mean pixel", "near-white share")).index == 0


def test_distances_are_those_of_scipy():
    from scipy.stats import ks_2samp

    random = np.random.default_rng(6)
    labels, statistics = random.integers(0, 2, 50), random.integers(0, 9, (50, 1)).astype(float)
    reference = random.integers(2, 12, (70, 1)).astype(float)
    found = suspect_cluster(statistics, labels, reference, ("x",))
    wanted = [ks_2samp(statistics[labels == one, 0], reference[:, 0]).statistic for one in (0, 1)]
    assert found.index == int(np.argmax(wanted))
    assert f"cluster 0 {wanted[0]:.2f}, cluster 1 {wanted[1]:.2f}" in found.reason
