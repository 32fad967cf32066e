from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models import search
from models.search import (
    NONE,
    Best,
    best_of,
    best_of_block,
    best_sequences,
    exact_scores,
    float32_error,
    merged,
    rocchio,
    rough_scores,
    unit_float16,
)


def vectors(count: int, dimension: int = 24, seed: int = 0, kinds: int | None = None) -> np.ndarray:
    """Return float16 (count, dimension) of length 1; of `kinds` different ones, where given, so that there are ties."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count if kinds is None else kinds, dimension))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    return rows if kinds is None else rows[random.integers(0, kinds, count)]


def oracle(rows: np.ndarray, query: np.ndarray, allowed: np.ndarray, k: int) -> tuple[list[float], list[int]]:
    """Rank with fractions of whole numbers: nothing is ever rounded."""
    whole = [[Fraction(float(v)) for v in row] for row in rows]
    wanted = [Fraction(float(v)) for v in query]
    scores = [sum(a * b for a, b in zip(row, wanted, strict=True)) for row in whole]
    order = sorted((i for i in range(len(rows)) if allowed[i]), key=lambda i: (-scores[i], i))[:k]
    return [float(scores[i]) for i in order], order


def same(a: Best, b: Best) -> None:
    np.testing.assert_array_equal(a.ids, b.ids)
    assert a.scores.tobytes() == b.scores.tobytes()


@given(st.integers(0, 60), st.integers(1, 12), st.integers(0, 10**6), st.integers(1, 20))
def test_the_best_are_those_of_exact_arithmetic(count, k, seed, kinds):
    rows, random = vectors(count, seed=seed, kinds=kinds), np.random.default_rng(seed)
    query, allowed = vectors(1, seed=seed + 1)[0], random.random(count) < 0.7
    (found,) = best_of_block(rows, query[None], allowed, k)
    scores, ids = oracle(rows, query, allowed, k)
    assert found.ids.tolist() == ids
    assert found.scores.tolist() == scores


@given(st.integers(1, 90), st.integers(1, 9), st.integers(0, 10**6), st.sampled_from([1, 2, 5, 7]))
def test_no_cut_and_no_order_shows(count, k, seed, shards):
    """Whatever the blocks, whoever scores them, in whatever order they come back: the same bits."""
    rows, random = vectors(count, seed=seed, kinds=9), np.random.default_rng(seed)
    queries, allowed = vectors(2, seed=seed + 1), random.random(count) < 0.8
    whole = best_of_block(rows, queries, allowed, k)
    edges = np.sort(random.integers(0, count + 1, shards - 1))
    cuts = list(zip([0, *edges], [*edges, count], strict=True))
    random.shuffle(cuts)
    parts = best_of(((rows[a:b], allowed[a:b], int(a)) for a, b in cuts), queries, k)
    for one, other in zip(whole, parts, strict=True):
        same(one, other)


def test_padding_changes_nothing():
    rows, query = vectors(100), vectors(1, seed=5)
    padded = np.concatenate([rows, np.zeros((37, 24), np.float16)])
    allowed = np.arange(137) < 100
    same(best_of_block(rows, query, np.ones(100, bool), 10)[0], best_of_block(padded, query, allowed, 10)[0])


def test_threads_and_strips_change_nothing(monkeypatch):
    rows, query = vectors(5000, 768), vectors(1, 768, seed=5)
    allowed, threads = np.ones(5000, bool), torch.get_num_threads()
    before = best_of_block(rows, query, allowed, 50)[0]
    monkeypatch.setattr(search, "STRIP_ROWS", 111)
    try:
        torch.set_num_threads(1)
        same(before, best_of_block(rows, query, allowed, 50)[0])
    finally:
        torch.set_num_threads(threads)


@given(st.integers(1, 768), st.integers(0, 10**6))
def test_float64_scores_are_exact_in_any_order(dimension, seed):
    rows, random = vectors(3, dimension, seed), np.random.default_rng(seed)
    query, order = vectors(1, dimension, seed + 1)[0], random.permutation(dimension)
    assert exact_scores(rows, query).tobytes() == exact_scores(rows[:, order], query[order]).tobytes()


@given(st.integers(1, 768), st.integers(0, 10**6))
def test_rough_scores_keep_their_bound(dimension, seed):
    rows = np.abs(vectors(50, dimension, seed))  # of one sign: sums grow, and with them their error
    queries = np.abs(vectors(2, dimension, seed + 1))
    exact = np.stack([exact_scores(rows, q) for q in queries], axis=1)
    assert np.abs(rough_scores(rows, queries) - exact).max() <= float32_error(dimension)


def test_near_ties_that_float32_cannot_tell_apart():
    """Rows that differ in their last bits only: float32 ranks them by chance, the answer may not."""
    row = vectors(1, 768)[0]
    rows = np.repeat(row[None], 400, axis=0)
    random = np.random.default_rng(0)
    at = random.integers(0, 768, 400)
    rows[np.arange(400), at] = np.nextafter(rows[np.arange(400), at], np.float16(0), dtype=np.float16)
    (found,) = best_of_block(rows, row[None], np.ones(400, bool), 5)
    exact = exact_scores(rows, row)
    assert found.ids.tolist() == np.lexsort((np.arange(400), -exact))[:5].tolist()


def test_equal_rows_go_by_id():
    rows = np.repeat(vectors(1), 30, axis=0)
    (found,) = best_of_block(rows, rows[:1], np.ones(30, bool), 4, first_id=1000)
    assert found.ids.tolist() == [1000, 1001, 1002, 1003]


def test_nothing_to_find():
    rows = vectors(5)
    assert len(best_of_block(rows, rows[:1], np.zeros(5, bool), 3)[0]) == 0
    assert merged([], 3) is NONE
    assert len(best_of([], rows[:2], 3)) == 2


@given(st.integers(3, 50), st.integers(1, 3), st.integers(0, 10**6))
def test_a_sequence_scores_the_mean_of_its_frames(count, length, seed):
    rows, queries = vectors(count, seed=seed, kinds=6), vectors(length, seed=seed + 1)
    ids = np.arange(count - length + 1)
    members = ids[:, None] + np.arange(length)
    found = best_sequences(rows, queries, members, ids + 7, 4)
    mean = np.stack([exact_scores(rows[members[:, j]], queries[j]) for j in range(length)]).sum(0) / length
    order = np.lexsort((ids, -mean))[:4]
    same(found, Best(mean[order], ids[order] + 7))


def test_a_sequence_of_one_is_a_search():
    rows, query = vectors(40), vectors(1, seed=3)
    ids = np.arange(40)
    same(best_sequences(rows, query, ids[:, None], ids, 6), best_of_block(rows, query, np.ones(40, bool), 6)[0])


def test_too_long_a_sequence():
    with pytest.raises(ValueError, match="at most 16"):
        best_sequences(vectors(40), vectors(17), np.zeros((1, 17), int), np.zeros(1, int), 3)


def test_rocchio_is_the_formula():
    positives, negatives = vectors(3), vectors(2, seed=9)
    found = rocchio(positives, negatives, 0.25).astype(float)
    expected = positives.astype(float).mean(0) - 0.25 * negatives.astype(float).mean(0)
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-3)
    np.testing.assert_array_equal(rocchio(positives[:1]), unit_float16(positives[0]))


def test_a_negative_pushes_away():
    rows = vectors(200)
    query, other = rocchio(rows[:1]), rows[1]
    assert exact_scores(other[None], rocchio(rows[:1], other[None])) < exact_scores(other[None], query)


def test_queries_without_direction():
    row = vectors(1)
    with pytest.raises(ValueError, match="no direction"):
        rocchio(row, row, 1.0)
    with pytest.raises(ValueError, match="--like"):
        rocchio(row[:0])
