"""Every test computes on one thread; the last lines say how many were skipped for want of the real data."""

import os
from collections.abc import Iterator

import pytest

from tests.real_data import FOLDER

# Before torch is imported: the networks of the tests are too small to share, and threads that wait are busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    yield  # the other summaries come first
    skipped = [r for r in terminalreporter.stats.get("skipped", []) if "real data absent" in str(r.longrepr)]
    where = "../shared/data" if FOLDER.is_dir() else "../shared/data, which is absent here"
    terminalreporter.write_line(f"{len(skipped)} tests were skipped because they need {where}")


@pytest.fixture(scope="session", autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is remembered of this machine by tests is not for its user, and the other way round."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
