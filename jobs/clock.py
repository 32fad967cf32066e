"""Where a unit of work spends its time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Adds up wall-clock seconds by step: of a unit of work, or of a whole command."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Count what happens inside as a step; the same step may come again."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.add(name, time.monotonic() - started)

    def add(self, name: str, seconds: float) -> None:
        """Count seconds that were measured elsewhere."""
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by step."""
        return dict(self._seconds)

    @property
    def facts(self) -> dict[str, float]:
        """Seconds by step, named as records name them: `read` is `read_s`."""
        return {f"{name}_s": seconds for name, seconds in self._seconds.items()}
