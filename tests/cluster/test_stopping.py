"""A wish to end: the first reason and the soonest end count."""

from __future__ import annotations

import signal
import threading

from cluster.stopping import Stop


def test_nobody_asked() -> None:
    stop = Stop()
    assert (stop.requested, stop.reason, stop.overdue(1e12)) == (False, "", False)


def test_the_first_reason_and_the_soonest_end_count() -> None:
    now_s = 100.0
    stop = Stop(lambda: now_s)
    stop.request("spot notice", 120)
    assert (stop.requested, stop.reason) == (True, "spot notice")
    assert (stop.overdue(219.9), stop.overdue(220.0)) == (False, True)
    now_s = 110.0
    stop.request("SIGINT", 5)
    assert stop.reason == "spot notice"
    assert (stop.overdue(114.9), stop.overdue(115.0)) == (False, True)
    stop.request("patience", 1000)  # nobody gains time by asking again
    assert stop.overdue(115.0)


def test_from_many_threads() -> None:
    stop = Stop(lambda: 0.0)
    threads = [threading.Thread(target=stop.request, args=(f"t{n}", 50.0 + n)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stop.requested
    assert stop.reason.startswith("t")
    assert (stop.overdue(49.9), stop.overdue(50.0)) == (False, True)


def test_from_a_signal_handler() -> None:
    stop = Stop()
    before = signal.signal(signal.SIGUSR1, lambda *_: stop.request("SIGUSR1", 0))
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert stop.reason == "SIGUSR1"
