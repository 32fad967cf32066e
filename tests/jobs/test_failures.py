"""What could not be done is kept until it is done after all."""

import json
from contextlib import suppress

from cluster.engine import Failed
from cluster.faults import Kind
from cluster.storage import Storage
from jobs.failures import Failures, failures_of


def failed(unit: str, words: str) -> Failed:
    return Failed(unit, f"Traceback (most recent call last):\n  ...\nOSError: {words}", 3, Kind.TRANSIENT)


def test_failures_are_kept_and_mended(tmp_path):
    storage = Storage(str(tmp_path))
    assert failures_of(storage, "infer") == {}
    with Failures(storage, "infer") as failures:
        failures.add("a/r0", failed("a/r0", "no route"))
        failures.add("a/r1", failed("a/r1", "https://me:secret@host"))
    kept = failures_of(storage, "infer")
    assert set(kept) == {"a/r0", "a/r1"}
    assert kept["a/r0"]["reason"] == "OSError: no route"
    assert kept["a/r0"]["attempts"] == 3
    assert "secret" not in json.dumps(kept)
    with Failures(storage, "infer") as failures:
        failures.mend("a/r0")
        failures.mend("b/r9")
    assert set(failures_of(storage, "infer")) == {"a/r1"}
    assert failures_of(storage, "ingest") == {}


def test_a_stage_that_breaks_off_keeps_what_it_found(tmp_path):
    storage = Storage(str(tmp_path))
    with suppress(KeyboardInterrupt), Failures(storage, "infer") as failures:
        failures.add("a/r0", failed("a/r0", "x"))
        raise KeyboardInterrupt
    assert set(failures_of(storage, "infer")) == {"a/r0"}


def test_a_stage_without_failures_writes_nothing(tmp_path):
    with Failures(Storage(str(tmp_path / "out")), "infer") as failures:
        failures.mend("a")
    assert not (tmp_path / "out").exists()
