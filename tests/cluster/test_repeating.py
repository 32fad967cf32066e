"""Work is repeated while the block runs, not after it, and no longer than it asks to be."""

import threading

from cluster.repeating import repeating


def test_work_is_repeated_while_the_block_runs():
    third, times = threading.Event(), []

    def work():
        times.append(1)
        if len(times) == 3:
            third.set()

    with repeating(work, 0.001, "again"):
        assert third.wait(30)
    done = len(times)
    assert not [thread for thread in threading.enumerate() if thread.name == "again"]
    assert len(times) == done


def test_work_that_has_seen_enough_ends():
    times = []
    with repeating(lambda: times.append(1) or len(times) == 2, 0.001, "enough"):
        for thread in threading.enumerate():
            if thread.name == "enough":
                thread.join(30)
        assert len(times) == 2
