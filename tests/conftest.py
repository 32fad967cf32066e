"""The last lines of a test run say how many tests were skipped for want of the real data."""

from collections.abc import Iterator

import pytest

from tests.real_data import FOLDER


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    yield  # the other summaries come first
    skipped = [r for r in terminalreporter.stats.get("skipped", []) if "real data absent" in str(r.longrepr)]
    where = "../shared/data" if FOLDER.is_dir() else "../shared/data, which is absent here"
    terminalreporter.write_line(f"{len(skipped)} tests were skipped because they need {where}")
