import numpy as np
from sklearn.decomposition import PCA

from models import baseline_embeddings
from models.baseline_embeddings import pooled_pixels, principal_components, random_vectors, season_vectors


def cut(images, n):
    return lambda: (images[i : i + n] for i in range(0, len(images), n))


def test_pooled_pixels_are_area_means():
    images = np.random.default_rng(0).random((7, 3, 16, 24)).astype(np.float32)
    means = images.reshape(7, 3, 8, 2, 8, 3).mean((3, 5)).reshape(7, -1)
    np.testing.assert_allclose(pooled_pixels(cut(images, 3)), means - means.mean(0), atol=1e-6)


def test_principal_components_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    images = (rng.normal(size=(60, 5)) * [9, 5, 3, 2, 1]) @ rng.normal(size=(5, 3 * 12 * 10)) / 20
    images = images.reshape(60, 3, 12, 10).astype(np.float32)
    found = principal_components(cut(images, 13), 60, dimension=4)
    expected = PCA(4, svd_solver="full").fit_transform(images.reshape(60, -1).astype(np.float64))
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=2e-3)
    assert principal_components(cut(images, 13), 60, dimension=64).shape == (60, 5)  # there are no more


def test_a_sample_of_frames_gives_nearly_the_same_axes(monkeypatch):
    rng = np.random.default_rng(2)
    images = ((rng.normal(size=(400, 3)) * [9, 4, 2]) @ rng.normal(size=(3, 108))).reshape(400, 3, 6, 6)
    images = images.astype(np.float32)
    whole = principal_components(cut(images, 90), 400, 3)
    monkeypatch.setattr(baseline_embeddings, "SAMPLE_FRAMES", 100)
    some = principal_components(cut(images, 90), 400, 3)
    assert some.shape == (400, 3)
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (whole, some)]
    np.testing.assert_allclose(unit[0] @ unit[0].T, unit[1] @ unit[1].T, atol=0.25)


def test_random_vectors_are_functions_of_the_seed():
    a, b, c = (random_vectors(30, 8, seed) for seed in (1, 1, 2))
    assert (a == b).all()
    assert (a != c).any()
    assert a.dtype == np.float32


def test_the_season_knows_the_day_and_nothing_of_the_year():
    days = np.array(["2018-07-01", "2019-07-01", "2019-01-01", "2019-12-31"], "datetime64[s]")
    found = season_vectors(days)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
    alike = found @ found.T
    assert alike[0, 1] > 1 - 1e-6
    assert alike[2, 3] > 0.999  # the year is a circle
    assert alike[0, 2] < -0.99
