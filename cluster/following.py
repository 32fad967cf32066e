"""Who waits for an attempt on a cluster: shows its log, outlives lost connections, and may stop it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from cluster.submission import Attempt, Jobs, Lost, Refused, next_step

PATIENCE_S = 600.0
"""How long a job server may be out of reach before who follows a job gives up; the job does not."""
LONGEST_WAIT_S = 30.0

Answer = Literal["follow", "detach", "stop"]


@dataclass
class Follower:
    """Who shows the log of an attempt until it ends; may be interrupted and called again."""

    jobs: Jobs
    id: str
    write: Callable[[str], None]
    """Takes the log, piece by piece, each once."""
    tell: Callable[[str], None]
    """Takes sentences about the connection."""
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _written: int = field(default=0, init=False)
    """Characters of the log; a connection begins with the first one again."""
    _waits: int = field(default=0, init=False)
    """Since the log was last read."""

    def follow(self) -> Attempt:
        """Return the attempt when it has ended.

        Raises:
            Lost: the job server was out of reach for longer than `PATIENCE_S`.
            Refused: it does not know the attempt any more.
        """
        reached_s = self.clock()
        while True:
            try:
                attempt = self._asked()
                reached_s = self.clock()
                if self._show(attempt):
                    attempt = self._asked()
                    if not attempt.is_at_work:
                        return attempt
                    self.sleep(1.0)
            except Lost as error:
                if self.clock() - reached_s > PATIENCE_S:
                    raise
                if not self._waits:
                    self.tell(f"connection lost ({error}); the job goes on, trying again")
                self.sleep(min(2.0**self._waits, LONGEST_WAIT_S))
                self._waits += 1

    def _asked(self) -> Attempt:
        for attempt in self.jobs.attempts():
            if attempt.id == self.id:
                return attempt
        raise Refused(f"the cluster does not know {self.id} any more: its head was started anew, or the job deleted")

    def _show(self, attempt: Attempt) -> bool:
        """Show what is new of the log; return whether it was read to its end."""
        read = 0
        try:
            for text in self.jobs.tail(self.id):
                self._connected()
                if not text:
                    return False
                read += len(text)
                if read > self._written:
                    self.write(text[len(text) - (read - self._written) :])
                    self._written = read
        except Lost as error:
            if attempt.is_at_work:
                raise
            self.tell(f"the end of its log could not be read ({error})")
        else:
            self._connected()
        return True

    def _connected(self) -> None:
        if self._waits:
            self.tell("connected again")
            self._waits = 0


def wait_for(follower: Follower, ask: Callable[[str], Answer]) -> Attempt | None:
    """Follow an attempt to its end; None where somebody who interrupted it wants it to go on alone.

    Args:
        follower: of the attempt.
        ask: called at Ctrl-C with the attempt's id.

    Raises:
        Lost: the job server was out of reach for too long.
        Refused: it does not know the attempt any more.
    """
    while True:
        try:
            return follower.follow()
        except KeyboardInterrupt:
            answer = ask(follower.id)
            if answer == "detach":
                return None
            if answer == "stop":
                _stop(follower)


def stop(jobs: Jobs, name: str, follower: Callable[[str], Follower]) -> Attempt | None:
    """Stop the attempt of a run that is at work and wait for its end; None where there is none.

    Args:
        jobs: the job server.
        name: of the run.
        follower: makes that of an attempt.

    Raises:
        Lost: the job server is out of reach.
        Refused: it does not know the attempt any more.
    """
    step = next_step(name, jobs.attempts())
    if step.kind != "follow":
        return None
    follow = follower(step.id)
    _stop(follow)
    return follow.follow()


def _stop(follower: Follower) -> None:
    follower.jobs.stop(follower.id)
    follower.tell(f"{follower.id} is asked to stop; units that were begun are finished")
