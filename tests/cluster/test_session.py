"""What a train function may call, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.session import (
    InlineSession,
    latest_checkpoint_files,
    rank_and_world,
    report_epoch,
    report_progress,
    use_session,
)
from cluster.storage import Storage


@pytest.fixture(params=["folder", "memory"])
def session(request: pytest.FixtureRequest, tmp_path: Path) -> InlineSession:
    return InlineSession(Storage(str(tmp_path)) if request.param == "folder" else None)


def test_checkpoints_come_back(session: InlineSession) -> None:
    with use_session(session):
        assert latest_checkpoint_files() is None
        for epoch in range(12):
            report_epoch({"loss": 1.0 / (1 + epoch)}, {"weights": b"w%d" % epoch, "state.json": b"{}"})
        report_epoch({"loss": 0.0})
        assert latest_checkpoint_files() == {"weights": b"w11", "state.json": b"{}"}
    assert len(session.metrics) == 13


def test_checkpoints_of_a_folder_outlive_the_session_and_damaged_ones_do_not_count(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    session = InlineSession(storage)
    for epoch in range(5):
        session.report({}, {"w": b"%d" % epoch})
    assert sorted(storage.list()) == ["000004.json", "000004/w", "000005.json", "000005/w"]
    storage.put("000006/w", b"killed before its pointer")
    assert InlineSession(storage).latest() == {"w": b"4"}
    storage.put("000005/w", b"")
    assert InlineSession(storage).latest() == {"w": b"3"}


def test_names_are_plain(session: InlineSession) -> None:
    with use_session(session), pytest.raises(ValueError, match="not a plain file name"):
        report_epoch({}, {"deep/w": b""})


def test_outside_of_a_launch() -> None:
    assert rank_and_world() == (0, 1)
    report_progress({"step": 1})
    for function in (latest_checkpoint_files, lambda: report_epoch({}, None)):
        with pytest.raises(RuntimeError, match="outside of a launch"):
            function()


def test_sessions_nest() -> None:
    seen: list[dict[str, Any]] = []
    with use_session(InlineSession(on_progress=seen.append)):
        with use_session(InlineSession()):
            report_progress({"step": 1})
        report_progress({"step": 2})
    assert seen == [{"step": 2}]
