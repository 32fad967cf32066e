"""One embedded Ray for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CPUS = 4
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="package")  # not longer: the tests of other folders have the machine to themselves
def ray_here() -> Iterator[dict[str, Any]]:
    """Ray with 4 CPUs in its books, whatever the machine has; workers can import the tests."""
    from cluster.connect import connect, disconnect

    patch = pytest.MonkeyPatch()
    patch.delenv("RAY_ADDRESS", raising=False)
    patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))
    patch.setenv("RAY_metrics_report_interval_ms", "1000")  # ten seconds are long for a test
    yield connect(cpus=CPUS)
    disconnect()
    patch.undo()
