"""One run on a cluster's job server: submitted once, however often it is asked for.

A run is known by its name. Each try of it is an attempt, `NAME-a1`, `NAME-a2` ...: Ray never starts an id twice, so two
commands at the same moment make one attempt, and whoever comes later follows it. What this module asks of a job server
is the protocol `Jobs`; `cluster.job_server` is Ray's.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

AT_WORK = ("PENDING", "RUNNING")
SUCCEEDED, STOPPED = "SUCCEEDED", "STOPPED"
FAULT, TERMINATED = 1, 143
"""Exit codes of an attempt that Ray gives none: it failed around the driver; it was stopped."""
TRIES = 5
"""To submit, where others do the same or connections break."""


class Lost(ConnectionError):
    """The job server is out of reach, or could not answer; asking again may help."""


class Refused(RuntimeError):
    """The job server will not do it; asking again does not help."""


@dataclass(frozen=True)
class Attempt:
    """One try of a run, as the job server knows it."""

    id: str
    state: str
    """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""
    exit_code: int | None = None
    """Of the driver; None while it runs, when it was stopped, and where none was started."""
    message: str = ""
    ended_s: float | None = None
    """Since 1970."""

    @property
    def is_at_work(self) -> bool:
        """Whether it has not ended."""
        return self.state in AT_WORK

    @property
    def code(self) -> int:
        """What a command that waited for it ends with: the driver's own exit code, as a shell would show it."""
        if self.exit_code is not None:
            return self.exit_code if self.exit_code >= 0 else 128 - self.exit_code  # ended by a signal
        return {SUCCEEDED: 0, STOPPED: TERMINATED}.get(self.state, FAULT)


class Jobs(Protocol):
    """A job server. Every method raises `Lost` or `Refused`."""

    def attempts(self) -> list[Attempt]:
        """Return all that it knows, of whatever run."""
        ...

    def submit(self, id: str) -> None:
        """Start an attempt; Refused where the id was ever used."""
        ...

    def tail(self, id: str) -> Iterator[str]:
        """Yield the log from its beginning, until it ends with its job; "" where nothing came for a while."""
        ...

    def stop(self, id: str) -> None:
        """Ask an attempt to end; free where it has ended."""
        ...


@dataclass(frozen=True)
class Step:
    """What is to do for a run."""

    kind: Literal["submit", "follow", "done"]
    id: str
    """Of the attempt to submit, to follow, or that did it all."""


def attempts_of(name: str, attempts: Sequence[Attempt]) -> list[tuple[int, Attempt]]:
    """Return the attempts of a run with their numbers, rising."""
    pattern = re.compile(re.escape(name) + r"-a([1-9][0-9]*)")
    numbered = ((pattern.fullmatch(attempt.id), attempt) for attempt in attempts)
    return sorted(((int(match[1]), attempt) for match, attempt in numbered if match), key=lambda pair: pair[0])


def next_step(name: str, attempts: Sequence[Attempt], again: bool = False) -> Step:
    """Decide: one that works is followed, one that succeeded is enough, after any other end comes the next attempt.

    Args:
        name: of the run.
        attempts: all that the job server knows.
        again: whether a success is not enough.
    """
    own = attempts_of(name, attempts)
    for _, attempt in reversed(own):
        if attempt.is_at_work:
            return Step("follow", attempt.id)
    if own and own[-1][1].state == SUCCEEDED and not again:
        return Step("done", own[-1][1].id)
    return Step("submit", f"{name}-a{own[-1][0] + 1 if own else 1}")


def begin(jobs: Jobs, name: str, again: bool = False, sleep: Callable[[float], None] = time.sleep) -> Step:
    """Do the next step of a run; "follow" is also what is returned where somebody else submitted it meanwhile.

    Raises:
        Lost: the job server could not be asked several times.
        Refused: it does not take the job.
    """
    step = next_step(name, jobs.attempts(), again)
    for left in reversed(range(TRIES)):
        if step.kind != "submit":
            return step
        try:
            jobs.submit(step.id)
            return step
        except Lost:  # it may have arrived
            if not left:
                raise
            sleep(1.0)
        except Refused:
            if all(attempt.id != step.id for attempt in jobs.attempts()):
                raise
            again = False  # another one was faster: its success will be ours
        step = next_step(name, jobs.attempts(), again)
    raise Lost(f"{step.id} was taken by others {TRIES} times; look at the cluster's jobs")
