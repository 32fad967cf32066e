"""What an engine reports."""

from __future__ import annotations

import pickle

from cluster.contract import Failed, FatalFault
from cluster.faults import Fault, Kind

FULL = Fault(Kind.FATAL, "Traceback\n  ...\nOSError: [Errno 28] No space left on device")


def test_a_failure_tells_its_kind_and_keeps_everything() -> None:
    failed = Failed(3, FULL.error, 2, Kind.FATAL)
    assert failed.reason == "OSError: [Errno 28] No space left on device"
    assert f"{failed.kind}" == "fatal"


def test_a_fatal_fault_says_who_met_what_and_what_to_do() -> None:
    fatal = FatalFault("a/r0_c4", FULL)
    assert (fatal.unit, fatal.reason) == ("a/r0_c4", "OSError: [Errno 28] No space left on device")
    assert str(fatal) == (
        "unit a/r0_c4 met what every other would meet: OSError: [Errno 28] No space left on device; "
        "put that right, then run again"
    )
    row = FatalFault("b", Fault(Kind.TRANSIENT, "ConnectionError: away"), 8)
    assert str(row).startswith("8 units in a row were given up and none was finished in between; the last, b: Conn")


def test_it_travels() -> None:
    again = pickle.loads(pickle.dumps(FatalFault("a", FULL, 2)))
    assert (again.unit, again.fault, again.given_up) == ("a", FULL, 2)
