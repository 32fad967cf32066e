"""The log of a run: one object a line, whole even of a driver that was killed, and without secrets."""

import logging
from pathlib import Path

import pytest

from cluster.logs import RunLog, entries
from cluster.storage import Storage

ROOT = Path(__file__).resolve().parents[2]
logger = logging.getLogger("jobs.test")


@pytest.fixture
def storage(tmp_path) -> Storage:
    return Storage(str(tmp_path / "out"))


def test_lines_say_run_stage_unit_and_attempt(storage):
    with RunLog(storage, "r1") as log:
        logger.info("begins")
        log.stage = "infer"
        logger.warning("again", extra={"event": "retry", "unit": "a/r0", "attempt": 2, "odd": 7})
        logging.getLogger("elsewhere").info("not ours")
        logging.getLogger("elsewhere").warning("but this is bad")
        try:
            raise ValueError("broken\nin two lines")
        except ValueError:
            logger.exception("fault")
    lines = list(entries(storage, "r1"))
    assert [line["message"] for line in lines] == ["begins", "again", "but this is bad", "fault"]
