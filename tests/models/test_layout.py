import builtins

import numpy as np
import pytest

from models.layout import plane, reduced


def test_the_reduction_keeps_distances_of_flat_data_and_its_signs_are_fixed():
    rng = np.random.default_rng(0)
    flat = (rng.normal(size=(80, 3)) @ rng.normal(size=(3, 70))).astype(np.float32)
    found = reduced(flat)
    assert found.shape == (80, 50)
    np.testing.assert_allclose(
        np.linalg.norm(found[:, None] - found, axis=2), np.linalg.norm(flat[:, None] - flat, axis=2), atol=1e-3
    )
    np.testing.assert_array_equal(reduced(flat.copy()), found)


@pytest.mark.slow  # its libraries are compiled at the first call
def test_groups_lie_apart_and_the_seed_fixes_the_layout():
    rng = np.random.default_rng(1)
    middles = np.eye(3, 60).repeat(40, 0)
    rows = (middles + rng.normal(0, 0.02, middles.shape)).astype(np.float32)
    found = plane(rows, seed=4)
    group = np.arange(3).repeat(40)
    nearest = np.linalg.norm(found[:, None] - found, axis=2).argsort(1)[:, 1:6]
    assert (group[nearest] == group[:, None]).mean() > 0.98
    np.testing.assert_array_equal(plane(rows, seed=4), found)


def test_without_the_library_it_says_what_to_install(monkeypatch):
    original = builtins.__import__

    def without(name, *arguments):
        if name == "umap":
            raise ModuleNotFoundError("No module named 'umap'", name="umap")
        return original(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=r"sandan\[embeddings\]"):
        plane(np.random.default_rng(0).normal(size=(40, 5)))


def test_too_few_are_refused():
    with pytest.raises(ValueError, match="more than 15 embeddings, got 9"):
        plane(np.zeros((9, 4)))
