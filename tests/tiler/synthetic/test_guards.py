"""The guard at small scale: single pixels must not find the factories. (The benchmark also trains a network.)"""

import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_colour_alone_does_not_find_industry():
    path = Path(__file__).parents[3] / "benchmarks" / "synthetic_guards.py"
    spec = importlib.util.spec_from_file_location("synthetic_guards", path)
    assert spec is not None
    assert spec.loader is not None
    guards = importlib.util.module_from_spec(spec)
    sys.modules["synthetic_guards"] = guards  # dataclasses look their module up
    spec.loader.exec_module(guards)
    training, judged = guards.draw_windows(1, 60, 128, exact=False), guards.draw_windows(2, 30, 128, exact=True)
    assert 0.03 < (judged.labels == 1).mean() < 0.35
    table = guards.baselines(training, judged)
    assert table["logistic, linear"]["mIoU"] < 0.76
    assert table["logistic, quadratic"]["mIoU"] < 0.76
    assert table["NDVI interval"]["mIoU"] < 0.70
