"""Two teams of threads in a worker, each with passes of its own, where a CPU runs the networks.

The threads of one team wait for each other after every operation of a network. Where one of them has lost its core to
something else (another program, Ray's own processes, a thread that reads), all wait until it has it back: beside one
busy process one team of two threads was 2.7 times as slow on two cores as two threads that need not meet, and where
nothing else ran 2 to 5 % slower. The price is the memory of a second pass.

Each thread that computes brings a team of helper threads, and where all teams of a process together are more than its
cores, OpenMP lets helpers sleep between any two operations: one idle team beside the one that works made a small
network a fifth slower. So networks are loaded and run on the threads of these teams alone, which share the cores.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from queue import PriorityQueue
from threading import Barrier
from typing import Any, TypeVar

from jobs.config import EngineConfig
from jobs.plan import Precision
from jobs.room import crew_here

T = TypeVar("T")

Waiting = tuple[int, int, Future[Any], Callable[..., Any], tuple[object, ...]]
"""Turn and number, by which it is ordered; what will hold the answer; what is to be done."""

AT_ONCE = 2
"""Teams of a worker that has cores for them."""


@dataclass(frozen=True)
class Teams:
    """How the networks of a worker share its cores."""

    count: int = 1
    """Passes that are computed at once."""
    threads: int | None = None
    """Of each team; None leaves torch its own setting."""

    @classmethod
    def of(cls, cores: float, device: str, compile: str = "none") -> Teams:
        """Return the teams of a worker with so many cores.

        A GPU takes one pass after another, and what `torch.compile` makes is made for one thread.
        """
        if device != "cpu":
            return ONE_TEAM
        threads = max(1, int(cores))
        teams = AT_ONCE if threads >= AT_ONCE and compile == "none" else 1
        return cls(teams, threads // teams)

    def start(self) -> Started:
        """Start the teams in this process, which must be prepared for its stage: it loads torch."""
        return Started(self)


ONE_TEAM = Teams()


def planned_teams(engine: EngineConfig, how: Precision) -> Teams | None:
    """Return the teams of each worker of a run; None where only workers elsewhere know their cores."""
    crew = crew_here(engine)
    return None if crew is None else Teams.of(crew.cores, how.device, how.compile)


def most_teams(engine: EngineConfig, how: Precision) -> Teams:
    """Return the teams of each worker of a run, the most that they may be where nobody here knows."""
    return planned_teams(engine, how) or Teams.of(AT_ONCE, how.device, how.compile)


class Started:
    """The teams of a process."""

    def __init__(self, teams: Teams) -> None:
        self.count = teams.count
        self._pool = ThreadPoolExecutor(teams.count, "team")
        self._waiting: PriorityQueue[tuple[int, int, Future[Any], Callable[..., Any], tuple[object, ...]]] = (
            PriorityQueue()
        )
        self._numbers = count()
        threads = teams.threads
        if threads is None:
            return
        import torch

        own, met = torch.get_num_threads(), Barrier(teams.count)

        def begin() -> None:
            met.wait()  # so that each thread of the pool begins once
            torch.set_num_threads(threads)
            torch.get_num_threads()  # takes it as this thread's own: not before it is asked does torch look

        for begun in [self._pool.submit(begin) for _ in range(teams.count)]:
            begun.result()
        torch.set_num_threads(own)  # of all other threads of the process, as it was

    def submit(self, function: Callable[..., T], *arguments: object, turn: int = 0) -> Future[T]:
        """Let the first team that is free do something; of what waits, the least turn comes first."""
        future: Future[T] = Future()
        self._waiting.put((turn, next(self._numbers), future, function, arguments))
        self._pool.submit(self._do_first)
        return future

    def _do_first(self) -> None:
        _, _, future, function, arguments = self._waiting.get()
        try:
            future.set_result(function(*arguments))
        except BaseException as error:
            future.set_exception(error)
        finally:
            del future  # or the error would hold this frame, and the frame the error, with all that was computed
