"""What the log is told: a line for people, fields for machines."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import pytest

from cluster import events
from cluster.faults import Fault, Kind


@dataclass(frozen=True)
class Key:
    unit: str = "scene/r0_c4"


DIFFERENCE = {
    "unit": "scene/r0_c4",
    "facts": {"digest": ["d0", "d1"]},
    "first": {"host": "node-1", "pid": 5},
    "second": {"host": "node-2", "pid": 6},
}
AWAY = Fault(Kind.TRANSIENT, "Traceback\nConnectionError: away {so} far")


@pytest.mark.parametrize(
    ("tell", "level", "fields", "line"),
    [
        (
            lambda: events.retried(Key(), AWAY, 2, 3.25, worker=1),
            logging.INFO,
            {"event": "retry", "unit": "scene/r0_c4", "attempt": 2, "worker": 1, "kind": "transient", "after_s": 3.25},
            "scene/r0_c4: attempt 2 failed (transient), again in 3.2 s: ConnectionError: away {so} far",
        ),
        (
            lambda: events.quarantined(7, AWAY, 8),
            logging.ERROR,
            {"event": "quarantine", "unit": "7", "attempt": 8, "error": AWAY.error},
            "7: given up after 8 attempts (transient): ConnectionError: away {so} far",
        ),
        (lambda: events.hedged(Key(), 3), logging.INFO, {"event": "hedge", "worker": 3}, "late, given to worker 3 too"),
        (lambda: events.probed(3), logging.INFO, {"event": "probe", "worker": 3}, "worker 3: silent"),
        (
            lambda: events.worker_lost(3, Fault(Kind.SILENT, "no answer for 60 s")),
            logging.WARNING,
            {"event": "worker_lost", "worker": 3, "kind": "silent", "reason": "no answer for 60 s"},
            "worker 3: lost (silent): no answer for 60 s",
        ),
        (
            lambda: events.worker_lost(3, Fault(Kind.TAKEN, "its node was drained")),
            logging.INFO,
            {"event": "worker_lost"},
            "drained",
        ),
        (
            lambda: events.differs(DIFFERENCE, 3),
            logging.WARNING,
            {"event": "differs", "unit": "scene/r0_c4", "worker": 3, "facts": DIFFERENCE},
            "digest 'd0', then 'd1'; by node-1 (process 5) and node-2 (process 6)",
        ),
        (
            lambda: events.heed({"n": 1, "differs": DIFFERENCE}),
            logging.WARNING,
            {"event": "differs", "worker": None},
            "scene/r0_c4: done twice with different answers",
        ),
        (
            lambda: events.slow_start(3, "File a.py, in read\n  data = f.read()\n"),
            logging.WARNING,
            {"event": "slow_start", "worker": 3, "error": "File a.py, in read\n  data = f.read()\n"},
            "worker 3: long in starting; it is at: data = f.read()",
        ),
        (lambda: events.worker_asked(3, again=True), logging.INFO, {"event": "worker_respawn"}, "worker 3"),
        (lambda: events.worker_asked(3, again=False), logging.DEBUG, {"event": "worker_spawn"}, "worker 3"),
        (lambda: events.stopping("SIGTERM", 4), logging.INFO, {"event": "stopping", "units": 4}, "4 units in flight"),
        (
            lambda: events.stopped("SIGTERM", 1),
            logging.INFO,
            {"event": "stopped", "units": 1},
            "1 units in flight were",
        ),
    ],
)
def test_events(tell: Any, level: int, fields: dict, line: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "cluster.events"):
        tell()
    (record,) = caplog.records
    assert record.levelno == level
    assert {name: getattr(record, name) for name in fields} == fields
    assert line in record.getMessage()


def test_a_line_is_short_and_its_field_is_whole(caplog: pytest.LogCaptureFixture) -> None:
    events.worker_lost(0, Fault(Kind.NODE, "x" * 5000))
    assert len(caplog.records[0].getMessage()) < 400
    assert len(caplog.records[0].reason) == 5000  # type: ignore[attr-defined]


def test_keys_without_a_unit_are_named_as_they_look() -> None:
    assert events.unit_name("a/b") == "a/b"
    assert events.unit_name((1, 2)) == "(1, 2)"
    assert len(events.unit_name("not safe " * 100)) == 200
