import numpy as np
import pytest

from jobs.dataset_report import IMBALANCE, MISSING_GOOD, verdicts


@pytest.mark.parametrize(("ratio", "word"), [(MISSING_GOOD, "good"), (MISSING_GOOD * 1.01, "poor")])
def test_the_quality_verdict_follows_the_missing_ratio(ratio, word):
    said = verdicts(np.array([0.0, 2 * ratio]), np.array([0.5, 0.5]))["quality"]
    assert said.startswith(word)
    assert f"{ratio:.4%}" in said


@pytest.mark.parametrize(
    ("coverage", "balanced"),
    [(IMBALANCE, True), (IMBALANCE * 0.9, False), (1 - IMBALANCE * 0.9, False), (0.825, True)],
)
def test_the_balance_verdict_follows_the_rarer_class(coverage, balanced):
    said = verdicts(np.zeros(3), np.array([coverage, coverage, np.nan]))["balance"]
    assert said.startswith("no class imbalance" if balanced else "class imbalance")


def test_nothing_kept_is_no_good_quality():
    assert verdicts(np.array([]), np.array([]))["quality"].startswith("poor")
