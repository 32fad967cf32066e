"""How a run is asked to end early, and in good order."""

from __future__ import annotations

import time
from collections.abc import Callable


class Stop:
    """A wish that a run ends; from any thread, from a signal handler, any number of times.

    Nothing new is begun from the first request on. What is being worked on may still be finished, until the soonest
    moment that any request named.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Only ever appended to, which is one step for threads and signal handlers alike; a lock would let a handler
        # wait for ever for the code that it interrupted.
        self._requests: list[tuple[str, float]] = []

    def request(self, reason: str, grace_s: float) -> None:
        """Ask for the end.

        Args:
            reason: for people and logs, such as ``SIGTERM``; the first one stays.
            grace_s: how long units that were begun may go on from now.
        """
        self._requests.append((reason, self._clock() + grace_s))

    @property
    def requested(self) -> bool:
        """Whether anybody asked."""
        return bool(self._requests)

    @property
    def reason(self) -> str:
        """The reason of the first request; empty while there is none."""
        return self._requests[0][0] if self._requests else ""

    def overdue(self, now_s: float) -> bool:
        """Whether the grace is over, at a time of the clock (``time.monotonic`` unless another was given)."""
        return any(now_s >= end_s for _, end_s in list(self._requests))
