import numpy as np
import pytest

from models.active import label_queue


def kinds(seed: int, each: int, middles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    which = np.repeat(np.arange(len(middles)), each)
    return middles[which] + 0.15 * random.normal(size=(len(which), middles.shape[1])), which


MIDDLES = np.random.default_rng(0).normal(size=(12, 20))


def test_the_queue_holds_what_looks_like_the_errors():
    free, kind = kinds(1, 50, MIDDLES)
    errors, of = kinds(2, 6, MIDDLES[[3, 8]])
    queue = label_queue(errors, free, 20)
    assert set(kind[queue.items].tolist()) == {3, 8}
    assert len(set(queue.items.tolist())) == 20
    assert [(3, 8)[of[e]] for e in queue.error] == kind[queue.items].tolist()
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (free, errors)]
    np.testing.assert_allclose(queue.cosine, (unit[0][queue.items] @ unit[1].T).max(1), atol=1e-6)


def test_it_is_more_spread_out_than_the_nearest():
    """Near copies of an error and a few others: the nearest are all copies, the queue has the others too."""
    random = np.random.default_rng(1)
    error = random.normal(size=(1, 20))
    copies = error + 0.001 * random.normal(size=(8, 20))
    others = error + 0.4 * random.normal(size=(16, 20))
    queue = label_queue(error, np.concatenate([copies, others]), 8)
    assert (queue.items >= 8).sum() >= 5


def test_every_error_has_its_turn():
    free, kind = kinds(1, 30, MIDDLES)
    errors = np.concatenate([np.repeat(MIDDLES[:1], 500, axis=0), MIDDLES[5:6]])
    assert 5 in kind[label_queue(errors, free, 10).items]


def test_what_saw_nothing_is_never_asked_for_and_the_queue_may_be_short():
    free, _ = kinds(1, 2, MIDDLES)
    free[::2] = 0
    queue = label_queue(MIDDLES[:2], free, 100)
    assert sorted(queue.items.tolist()) == list(range(1, 24, 2))
    copies = label_queue(MIDDLES[:1], np.repeat(MIDDLES[:1], 6, axis=0), 4)
    assert len(set(copies.items.tolist())) == 4


def test_it_is_one_for_one_seed(monkeypatch):
    free, _ = kinds(1, 30, MIDDLES)
    errors, _ = kinds(2, 9, MIDDLES[:3])
    first = label_queue(errors, free, 10, seed=4).items
    assert not np.array_equal(first, label_queue(errors, free, 10, seed=5).items)
    monkeypatch.setattr("models.active.BLOCK_ROWS", 4)
    np.testing.assert_array_equal(first, label_queue(errors, free, 10, seed=4).items)


def test_bad_input_is_told():
    with pytest.raises(ValueError, match="got 0 errors and 12 items"):
        label_queue(np.empty((0, 20)), MIDDLES, 3)
    with pytest.raises(ValueError, match="got 12 errors and 0 items"):
        label_queue(MIDDLES, np.zeros((4, 20)), 3)
