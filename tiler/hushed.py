"""Ignoring a category of warnings on several threads."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class _Hushed:
    """`warnings.catch_warnings` for threads: the first to enter ignores a category, the last to leave restores it.

    Headers are read, and units of Ingest run, on several threads; there each would restore what another has changed.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._caught = warnings.catch_warnings()

    @contextmanager
    def __call__(self, category: type[Warning]) -> Iterator[None]:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore", category)
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._caught.__exit__(None, None, None)


hushed = _Hushed()
"""Of this process."""
