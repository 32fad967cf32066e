"""Warnings of workers reach the log of the run: Ray keeps what a worker logs in files of its own node.

In a worker:     with forwarded(send, "rank 0"): ...      warnings become small records
In the driver:   log_again(record)                        and are logged as if they had arisen here
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cluster.logs import FIELDS

KEY = "_logged"
"""Marks a record as one of these."""
KEPT = ("name", "levelno", "levelname", "created", *FIELDS)


class _Forwarder(logging.Handler):
    def __init__(self, send: Callable[[dict[str, Any]], None], whose: str) -> None:
        super().__init__(logging.WARNING)
        self._send, self._whose = send, whose

    def emit(self, record: logging.LogRecord) -> None:
        facts = {name: getattr(record, name) for name in KEPT if hasattr(record, name)}
        if record.exc_info and record.exc_info[0] is not None:
            facts["error"] = logging.Formatter().formatException(record.exc_info)
        try:
            self._send({KEY: facts | {"msg": f"{self._whose}: {record.getMessage()}"}})
        except Exception:  # the driver may be gone: no reason to end a training
            self.handleError(record)


@contextmanager
def forwarded(send: Callable[[dict[str, Any]], None], whose: str) -> Iterator[None]:
    """Send warnings and errors of this process to the driver.

    Args:
        send: takes a small dict and does not wait.
        whose: begins each message.
    """
    handler, root = _Forwarder(send, whose), logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def log_again(record: dict[str, Any]) -> bool:
    """Log what a worker forwarded; return whether the record was such a one."""
    facts = record.get(KEY)
    if facts is None:
        return False
    logging.getLogger(facts["name"]).handle(logging.makeLogRecord(facts))
    return True
