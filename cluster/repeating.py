"""Something done every so often, from a thread of its own, as long as a block runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def repeating(work: Callable[[], bool | None], every_s: float, name: str) -> Iterator[None]:
    """Do something every `every_s` seconds while a block runs, until it returns True; `name` is that of the thread."""
    done = threading.Event()

    def repeat() -> None:
        while not done.wait(every_s):
            if work():
                return

    thread = threading.Thread(target=repeat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
