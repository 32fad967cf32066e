"""What a worker warns of is logged by the driver, with its facts."""

import logging
import pickle
from typing import Any

import pytest

from cluster.remote_log import forwarded, log_again


def test_warnings_and_errors_are_told_again_and_nothing_else(caplog: pytest.LogCaptureFixture):
    sent: list[dict[str, Any]] = []
    logger = logging.getLogger("cluster.somewhere")
    with caplog.at_level(logging.INFO), forwarded(sent.append, "rank 3"):
        logger.info("a step")
        logger.warning("%s is damaged", "state.pt", extra={"event": "damage", "attempt": 2})
        try:
            raise OSError("the disk")
        except OSError:
            logger.exception("lost")
    logger.warning("not of the worker")
    caplog.clear()
    assert [log_again(pickle.loads(pickle.dumps(record))) for record in sent] == [True, True]
    first, second = caplog.records
    assert (first.name, first.levelname, first.getMessage()) == (
        "cluster.somewhere",
        "WARNING",
        "rank 3: state.pt is damaged",
    )
    assert (first.event, first.attempt) == ("damage", 2)
    assert second.getMessage() == "rank 3: lost"
    assert "OSError: the disk" in second.error


def test_progress_is_no_warning():
    assert not log_again({"epoch": 1})


def test_a_driver_that_is_gone_ends_no_training(capsys: pytest.CaptureFixture[str]):
    def gone(record: dict[str, Any]) -> None:
        raise ConnectionError("no driver")

    with forwarded(gone, "rank 0"):
        logging.getLogger("cluster.somewhere").warning("damaged")
    assert "no driver" in capsys.readouterr().err
