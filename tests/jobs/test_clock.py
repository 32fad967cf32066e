"""The clock of a unit of work: steps add up, also those that end in an error."""

import pytest

from jobs.clock import Clock


def test_steps_add_up(monkeypatch):
    now = iter([0.0, 1.5, 10.0, 10.25, 20.0, 23.0])
    monkeypatch.setattr("jobs.clock.time.monotonic", lambda: next(now))
    clock = Clock()
    with clock.step("read"):
        pass
    with clock.step("write"):
        pass
    with pytest.raises(KeyError), clock.step("read"):
        raise KeyError
    clock.add("write", 0.5)
    assert clock.facts == {"read_s": 4.5, "write_s": 0.75}
    assert clock.seconds == {"read": 4.5, "write": 0.75}
