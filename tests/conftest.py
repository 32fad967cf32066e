"""The last lines of a test run say how many tests were skipped for want of the real data."""

import pytest

from tests.real_data import FOLDER


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [r for r in terminalreporter.stats.get("skipped", []) if "real data absent" in str(r.longrepr)]
    where = "../shared/data" if FOLDER.is_dir() else "../shared/data, which is absent here"
    terminalreporter.write_line(f"{len(skipped)} tests were skipped because they need {where}")
