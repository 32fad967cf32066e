import numpy as np
import pytest

from models.ring_score import circular_correlation, ring_score

TIMES = np.datetime64("2015-01-01T00:00:00", "s") + np.arange(0, 4 * 2920) * np.timedelta64(3, "h")


@pytest.mark.parametrize("turn", [1, -1])
def test_a_planted_ring_scores_one_and_noise_nothing(turn):
    rng = np.random.default_rng(0)
    angle = turn * 2 * np.pi * np.arange(len(TIMES)) * 3 / 24 / 365.25 + 1.3
    ring = np.stack([5 + 2 * np.cos(angle), 2 * np.sin(angle) - 7], 1) + rng.normal(0, 0.1, (len(TIMES), 2))
    assert ring_score(ring, TIMES) > 0.98
    assert ring_score(rng.permutation(ring), TIMES) < 0.04
    assert ring_score(rng.normal(size=ring.shape), TIMES) < 0.04


def test_a_season_spectrum_is_no_ring():
    """Winter left, summer right: the angle tells two halves of the year, not its course."""
    rng = np.random.default_rng(1)
    season = np.cos(2 * np.pi * np.arange(len(TIMES)) * 3 / 24 / 365.25)
    line = np.stack([-season, rng.normal(0, 0.2, len(TIMES))], 1)
    assert ring_score(line, TIMES) < 0.1


def test_turning_both_changes_nothing_and_turning_against_changes_the_sign():
    rng = np.random.default_rng(2)
    a = rng.uniform(-3, 3, 500)
    b = a + rng.normal(0, 0.6, 500)
    value = circular_correlation(a, b)
    assert 0.5 < value < 0.95
    assert circular_correlation(a + 1, b - 2) == pytest.approx(value, abs=0.02)
    assert circular_correlation(a, -b) == pytest.approx(-value, abs=0.02)
    assert np.isnan(circular_correlation(a, np.zeros(500)))
    with pytest.raises(ValueError, match="pairs of angles"):
        circular_correlation(a, b[:3])
