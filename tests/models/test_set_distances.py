import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.set_distances import (
    DISTANCES,
    Space,
    distances,
    frechet,
    mean_discrepancy,
    squared_distances,
    stability_index,
)


def normal(seed: int, rows: int, dim: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, dim))


def test_frechet_of_diagonal_normals_is_what_the_formula_says():
    mean_a, mean_b = np.array([[1.0, 2.0]]), np.array([[4.0, -2.0]])
    a, b = np.diag([4.0, 9.0])[None], np.diag([1.0, 16.0])[None]
    assert frechet(mean_a, a, mean_b, b) == pytest.approx([25 + (2 - 1) ** 2 + (3 - 4) ** 2])


def test_frechet_of_any_two_is_that_of_scipy_s_root():
    from scipy.linalg import sqrtm

    rows = normal(1, 40), 2 * normal(2, 30) @ normal(3, 5) + 1
    (mean_a, a), (mean_b, b) = ((r.mean(0), np.cov(r.T)) for r in rows)
    expected = ((mean_a - mean_b) ** 2).sum() + np.trace(a + b - 2 * np.real(sqrtm(a @ b)))
    assert frechet(mean_a[None], a[None], mean_b[None], b[None]) == pytest.approx([expected])
    assert frechet(mean_a[None], a[None], mean_a[None], a[None]) == pytest.approx([0], abs=1e-9)


def test_mean_discrepancy_is_the_sum_over_pairs():
    a, b, width = normal(1, 7), normal(2, 4) + 0.5, 1.7

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.exp(-((x - y) ** 2).sum() / (2 * width**2)))

    inner = [
        sum(kernel(x, y) for i, x in enumerate(r) for j, y in enumerate(r) if i != j) / (len(r) * (len(r) - 1))
        for r in (a, b)
    ]
    crossed = sum(kernel(x, y) for x in a for y in b) / (len(a) * len(b))
    assert mean_discrepancy(a, b, width) == pytest.approx(inner[0] + inner[1] - 2 * crossed)


def test_mean_discrepancy_has_no_bias():
    """The unbiased one is zero on the average, so it is negative half of the time."""
    found = [mean_discrepancy(normal(s, 20), normal(s + 1000, 25), 2.0) for s in range(300)]
    assert abs(np.mean(found)) < 4 * np.std(found) / 300**0.5
    assert min(found) < 0


def test_stability_index_is_zero_for_equal_shares_and_symmetric():
    p, q = np.array([[10.0, 20, 30]]), np.array([[30.0, 20, 10]])
    assert stability_index(p, p) == pytest.approx([0])
    assert stability_index(p, q) == pytest.approx(stability_index(q, p))
    shares = (p + 0.5) / 61.5, (q + 0.5) / 61.5
    assert stability_index(p, q) == pytest.approx([((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum()])
    assert np.isfinite(stability_index(np.array([[0.0, 60]]), np.array([[60.0, 0]]))).all()


@given(st.integers(0, 1000))
def test_squared_distances_are_those_of_the_rows(seed):
    a, b = normal(seed, 4), normal(seed + 1, 3)
    np.testing.assert_allclose(squared_distances(a, b), ((a[:, None] - b[None]) ** 2).sum(-1), atol=1e-9)


def test_halves_at_once_are_halves_one_by_one():
    """Masks over fixed rows give what the rows themselves give, for each of many halvings."""
    rows, others = normal(1, 60, 12), normal(2, 45, 12) + 0.7
    random = np.random.default_rng(3)
    first = random.random((5, 60)) < 0.5
    third = random.random((5, 45)) < 0.6
    space = Space.fit(rows, 4, 3, seed=0)
    within, across = distances(space, rows, others, first, ~first, third)
    assert set(within) == set(across) == set(DISTANCES)
    a, b, c = (space.components.transform(x) for x in (rows, rows, others))
    for i in range(5):
        for found, y in ((within, b[~first[i]]), (across, c[third[i]])):
            x = a[first[i]]
            assert found["mmd"][i] == pytest.approx(mean_discrepancy(x, y, space.width))
            moments = [m for r in (x, y) for m in (r.mean(0)[None], np.cov(r.T, bias=True)[None])]
            assert found["frechet"][i] == pytest.approx(frechet(*moments)[0])
            counts = [np.bincount(space.clusters.predict(r), minlength=3)[None].astype(float) for r in (x, y)]
            assert found["psi"][i] == pytest.approx(stability_index(*counts)[0])
