import numpy as np
import pytest

from models.bootstrap import Interval, block_bootstrap, block_means
from models.metrics import scores


def blocks(seed, n=40):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 400, (n, 2, 2))
    counts[:, 0, 0] *= 8
    return counts


def test_it_is_the_loop_over_drawn_blocks():
    counts = blocks(1)
    found = block_bootstrap(counts, scores, resamples=200, level=0.9, seed=5)
    rng = np.random.default_rng(5)
    drawn = [scores(counts[rng.integers(40, size=40)].sum(0)) for _ in range(200)]
    for name, value in scores(counts.sum(0)).items():
        expected = np.percentile([d[name] for d in drawn], [5, 95])
        assert (found[name].low, found[name].high) == pytest.approx(tuple(expected))
        assert found[name].value == value


def test_equal_blocks_leave_no_doubt():
    counts = np.repeat([[[50, 10], [5, 35]]], 12, axis=0)
    for interval in block_bootstrap(counts, scores, resamples=50).values():
        assert interval.low == interval.value == interval.high


def test_the_interval_of_a_mean_has_its_width_and_holds_the_truth():
    """A mean of n independent numbers: half width 1.96 sd / sqrt(n), truth inside in 95 % of the worlds."""
    rng, inside, widths = np.random.default_rng(0), 0, []
    for world in range(100):
        values = np.rint(rng.normal(5000, 1000, 80)).astype(int)
        counts = np.stack([values, np.ones(80, int)], 1)
        found = block_bootstrap(counts, lambda c: {"mean": c[0] / c[1]}, resamples=300, seed=world)["mean"]
        inside += found.low <= 5000 <= found.high
        widths.append(found.high - found.low)
    assert 88 <= inside <= 99
    assert np.mean(widths) == pytest.approx(2 * 1.96 * 1000 / np.sqrt(80), rel=0.08)


def test_paired_differences_know_that_the_ground_is_the_same():
    first = blocks(2)
    second = first.copy()
    second[:, 1, 1] += second[:, 1, 0] // 10  # a little better everywhere
    second[:, 1, 0] -= second[:, 1, 0] // 10
    pair = np.stack([first, second], 1)

    def gain(counts):
        return {"gain": scores(counts[1])["mIoU"] - scores(counts[0])["mIoU"]}

    interval = block_bootstrap(pair, gain, resamples=300)["gain"]
    assert 0 < interval.low < interval.value < interval.high
    alone = block_bootstrap(first, scores, resamples=300)["mIoU"]
    assert interval.high - interval.low < 0.3 * (alone.high - alone.low)


def test_undefined_resamples_are_left_out():
    counts = np.zeros((6, 2, 2), int)
    counts[:, 0, 0] = 100
    counts[0, 1, 1] = 10  # the only block with foreground: absent from a third of the resamples
    found = block_bootstrap(counts, scores, resamples=200)
    assert found["recall"] == Interval(1.0, 1.0, 1.0)
    nothing = block_bootstrap(np.zeros((3, 2, 2), int), scores, resamples=5)["mIoU"]
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()


def test_too_little_ground_is_refused():
    with pytest.raises(ValueError, match="got 1 blocks"):
        block_bootstrap(blocks(1, n=1), scores)
    with pytest.raises(ValueError, match="level 1"):
        block_bootstrap(blocks(1), scores, level=1.0)


def test_means_of_blocks_are_those_of_the_loop_and_leave_out_what_is_unknown():
    rng = np.random.default_rng(3)
    values, ids = rng.normal(size=(50, 2)), np.repeat(np.arange(10) * 7, 5)
    values[3, 1] = np.nan
    found = block_means(values, ids, resamples=300, seed=1)
    assert [f.value for f in found] == pytest.approx(np.nanmean(values, 0))
    draws = np.random.default_rng(1)
    rows = [np.concatenate([np.flatnonzero(ids == 7 * b) for b in draws.integers(10, size=10)]) for _ in range(300)]
    for column, interval in enumerate(found):
        expected = np.percentile([np.nanmean(values[r, column]) for r in rows], [2.5, 97.5])
        assert (interval.low, interval.high) == pytest.approx(tuple(expected))


def test_alike_neighbours_widen_the_interval():
    """Numbers that repeat within a block are as many observations as there are blocks."""
    middle = np.random.default_rng(4).normal(size=40)
    values, ids = np.repeat(middle, 25), np.repeat(np.arange(40), 25)
    blocked, alone = block_means(values, ids)[0], block_means(values, np.arange(1000))[0]
    assert blocked.high - blocked.low == pytest.approx(2 * 1.96 * middle.std() / np.sqrt(40), rel=0.15)
    assert alone.high - alone.low < 0.3 * (blocked.high - blocked.low)


def test_one_block_knows_nothing_of_others():
    interval = block_means(np.array([1.0, 3.0]), np.zeros(2, int))[0]
    assert interval.value == 2
    assert np.isnan([interval.low, interval.high]).all()
    with pytest.raises(ValueError, match="one block id"):
        block_means(np.zeros((3, 2)), np.zeros(2, int))
