import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import retrieval
from models.retrieval import (
    chance,
    cosine,
    day_of_year,
    excluded,
    hits,
    ndcg,
    nearest,
    neighbours,
    ranks_of,
    recall,
    season_error_days,
    state_gain,
    successors,
)

START = np.datetime64("2019-02-10T00:00:00", "s")


def clock(n, gaps=()):
    """Times every 3 h from a winter day, those in `gaps` absent."""
    steps = np.array([i for i in range(n + len(gaps)) if i not in gaps])
    return START + steps * np.timedelta64(3, "h")


def plain_neighbours(rows, q, times, hours, k):
    """The definition, in plain words."""
    unit = [r / np.sqrt((r.astype(np.float64) ** 2).sum()) for r in rows]
    near = [
        (-float(unit[q] @ unit[g]), g)
        for g in range(len(rows))
        if g != q and (hours == 0 or abs(float((times[g] - times[q]) / np.timedelta64(1, "h"))) > hours)
    ]
    return [g for _, g in sorted(near)[:k]]


@pytest.mark.parametrize("hours", [0, 24, 72])
def test_neighbours_are_those_of_the_plain_loop(hours, monkeypatch):
    monkeypatch.setattr(retrieval, "QUERIES_AT_ONCE", 7)
    rng = np.random.default_rng(1)
    rows, times = rng.normal(size=(90, 5)).astype(np.float32), clock(90, gaps=(3, 4, 50))
    queries = np.array([0, 5, 17, 40, 41, 42, 60, 70, 88, 89])
    found = neighbours(cosine(rows), queries, times, hours, 12)
    assert found.tolist() == [plain_neighbours(rows, q, times, hours, 12) for q in queries]


def test_equal_frames_come_in_the_order_of_their_places():
    similarity = np.array([[1.0, 5, 2, 5, 5, 1]])
    barred = np.zeros((1, 6), bool)
    assert nearest(similarity, barred, 5).tolist() == [[1, 3, 4, 2, 0]]
    barred[0, 1] = True
    assert nearest(similarity, barred, 3).tolist() == [[3, 4, 2]]


def test_frames_that_saw_too_little_come_last():
    rows = np.array([[1, 0], [0, 0], [-1, 0], [0, 1]], np.float32)
    assert neighbours(cosine(rows), np.array([0]), clock(4), 0, 3).tolist() == [[3, 2, 1]]


def test_too_small_a_gallery_is_refused():
    with pytest.raises(ValueError, match="Asked for the 3 nearest of 2 frames"):
        neighbours(cosine(np.eye(3, dtype=np.float32)), np.array([0]), clock(3), 0, 3)
    with pytest.raises(ValueError, match="NaN"):
        nearest(np.array([[0.0, np.nan]]), np.zeros((1, 2), bool), 1)


def test_the_excluded_are_self_and_what_is_near_in_time():
    times = clock(60, gaps=(25,))
    out = excluded(np.array([20]), times, 24)[0]
    away_h = np.abs((times - times[20]) / np.timedelta64(1, "h"))
    assert (out == (away_h <= 24)).all()
    assert out.sum() == 16  # 8 steps on either side and itself, one of them absent
    assert excluded(np.array([20]), times, 0)[0].nonzero()[0].tolist() == [20]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(12, 40), st.integers(1, 10))
def test_recall_is_one_where_the_embedding_orders_as_the_metric_does(seed, n, k):
    """And it does not matter how embeddings are turned, scaled, or in which order queries are asked."""
    rng = np.random.default_rng(seed)
    rows, times = rng.normal(size=(n, 6)).astype(np.float32), clock(n)
    queries = rng.permutation(n)[: n // 2]
    truth = neighbours(cosine(rows), queries, times, 0, k)
    turned = rows @ np.linalg.qr(rng.normal(size=(6, 6)))[0].astype(np.float32) * 3
    assert recall(truth, neighbours(cosine(turned), queries, times, 0, k)).mean() > 0.99
    shuffled = rng.permutation(len(queries))
    assert (recall(truth[shuffled], truth[shuffled][:, ::-1]) == 1).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 9))
def test_recall_is_the_share_of_common_members_in_any_order(seed, k):
    rng = np.random.default_rng(seed)
    truth, found = (np.stack([rng.permutation(20)[:k] for _ in range(5)]) for _ in range(2))
    expected = [len(set(a) & set(b)) / k for a, b in zip(truth.tolist(), found.tolist(), strict=True)]
    assert recall(truth, found).tolist() == expected
    assert recall(truth, rng.permuted(found, axis=1)).tolist() == expected


def test_random_embeddings_recall_what_chance_says():
    rng = np.random.default_rng(0)
    times, queries = clock(800), np.arange(0, 800, 2)
    truth, found = (neighbours(cosine(rng.normal(size=(800, 8))), queries, times, 24, 100) for _ in range(2))
    barred = excluded(queries, times, 24).sum(1).mean()
    assert recall(truth, found).mean() == pytest.approx(chance(800, 100, barred), abs=0.005)
    assert chance(50, 100) == 1


def test_ndcg_is_that_of_the_plain_loop_and_one_for_the_best_order():
    rng = np.random.default_rng(2)
    times, queries, gains = clock(40), np.array([3, 20, 39]), rng.random((40, 40)) ** 2
    gain = lambda q: gains[q]  # noqa: E731
    found = neighbours(lambda q: rng.random((len(q), 40)), queries, times, 24, 10)
    expected = []
    for row, q in enumerate(queries):
        allowed = [g for g in range(40) if abs(g - q) > 8]
        best = sorted((gains[q, g] for g in allowed), reverse=True)[:10]
        expected.append(
            sum(gains[q, g] / np.log2(r + 2) for r, g in enumerate(found[row]))
            / sum(v / np.log2(r + 2) for r, v in enumerate(best))
        )
    np.testing.assert_allclose(ndcg(gain, found, queries, times, 24), expected)
    best = neighbours(gain, queries, times, 24, 10)
    np.testing.assert_allclose(ndcg(gain, best, queries, times, 24), 1)


def test_hits_are_shares_of_the_found():
    kinds = np.array([-1, 2, 2, 3, -1])
    assert hits(np.array([2, 3]), kinds, np.array([[1, 2, 0], [1, 3, 4]])).tolist() == [2 / 3, 1 / 3]


def test_the_season_is_a_circle():
    times = np.array(["2019-01-05", "2018-12-30", "2016-07-06"], "datetime64[s]")
    error = season_error_days(times, times[:1], np.array([[1], [2]])[:1])
    assert error == pytest.approx([6.2425])
    assert season_error_days(times, times[:1], np.array([[2]])) == pytest.approx([182.6], abs=1.0)
    assert day_of_year(np.array(["2020-03-01T12"], "datetime64[s]")) == pytest.approx([60.5])


def test_the_rank_of_the_next_frame():
    times = clock(5, gaps=(2,))  # 0, 3, 9, 12, 15 h
    rows = np.array([[1, 0], [0.9, 0.1], [0, 1], [1, 0.01], [0, 1]], np.float32)
    later = successors(times, np.zeros(5, int))
    assert later.tolist() == [1, -1, 3, 4, -1]
    ranks = ranks_of(cosine(rows), np.arange(5), later)
    assert ranks[[0, 2, 3]].tolist() == [2, 3, 4]
    assert np.isnan(ranks[[1, 4]]).all()


def test_the_next_frame_is_one_of_the_same_series():
    times, series = np.repeat(clock(4), 2), np.tile([0, 1], 4)
    assert successors(times, series).tolist() == [2, 3, 4, 5, 6, 7, -1, -1]
    assert successors(times, series, 6).tolist() == [4, 5, 6, 7, -1, -1, -1, -1]


def test_a_line_in_time_has_continuity_one():
    angle = np.linspace(0, 3, 300)
    similarity = cosine(np.stack([np.cos(angle), np.sin(angle)], 1))
    assert np.nanmedian(ranks_of(similarity, np.arange(300), successors(clock(300), np.zeros(300, int)))) <= 2


def test_the_same_state_is_nearest():
    states = 1000 + np.random.default_rng(3).normal(size=(50, 4))
    gain = state_gain(states)(np.arange(20, 50))
    expected = np.exp(-np.square(states[20:, None] - states[None]).sum(2))
    np.testing.assert_allclose(gain, expected, atol=1e-5)
    np.testing.assert_allclose(gain[:, 20:].diagonal(), 1, atol=1e-5)
