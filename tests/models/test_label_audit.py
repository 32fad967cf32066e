import numpy as np
import pytest

from models.label_audit import audit


def labelled(seed: int, items: int = 600, dim: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Return embeddings, and a coverage that follows from them up to noise; half of the items have none."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(items, dim))
    rows[:, 0] *= 3
    coverage = np.clip(rows[:, 0] / 3 + 0.05 * random.normal(size=items), 0, 1)
    return rows, coverage


def test_planted_flips_are_recovered():
    """Of 30 flips among 600 at least 80 % are among the 30 most suspicious."""
    precision = []
    for seed in range(5):
        rows, coverage = labelled(seed)
        random = np.random.default_rng(seed)
        clear = np.flatnonzero((coverage < 0.1) | (coverage > 0.9))
        flipped = random.choice(clear, 30, replace=False)
        coverage[flipped] = 1 - coverage[flipped]
        precision.append(np.isin(audit(rows, coverage).order[:30], flipped).mean())
    assert np.mean(precision) > 0.8


def test_expected_is_the_mean_of_the_nearest_by_brute_force():
    rows, coverage = labelled(1, items=60)
    blocks = np.arange(60) // 4
    found = audit(rows, coverage, neighbours=5, blocks=blocks)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    for item in range(60):
        others = np.flatnonzero(blocks != blocks[item])
        near = others[np.argsort(-(unit[others] @ unit[item]))[:5]]
        assert found.expected[item] == pytest.approx(coverage[near].mean())


def test_what_saw_nothing_or_has_no_label_is_left_out():
    rows, coverage = labelled(1)
    rows[3], coverage[7] = 0, np.nan
    found = audit(rows, coverage)
    assert np.isnan(found.score[[3, 7]]).all()
    assert not np.isin([3, 7], found.order).any()
    assert len(found.order) == 598


def test_an_item_without_enough_neighbours_is_not_judged():
    rows, coverage = labelled(1, items=30)
    found = audit(rows, coverage, neighbours=5, blocks=np.where(np.arange(30) < 27, 0, 1))
    assert np.isnan(found.score[:27]).all()
    assert sorted(found.order.tolist()) == [27, 28, 29]


def test_bad_input_is_told():
    with pytest.raises(ValueError, match="4 labelled items saw something, and 10 neighbours"):
        audit(np.eye(4), np.zeros(4))
