"""A job server in memory, which breaks where it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from cluster.submission import Attempt, Lost, Refused


def nothing(jobs: FakeJobs) -> None:
    """Let the world be."""


@dataclass
class FakeJobs:
    """Implements `cluster.submission.Jobs`."""

    known: dict[str, Attempt] = field(default_factory=dict)
    log: str = ""
    """Of every attempt."""
    piece: int = 7
    """Characters of the log that come at once."""
    begun: Attempt = field(default_factory=lambda: Attempt("", "RUNNING"))
    """What an attempt is once it is submitted."""
    breaks: dict[str, list[Exception | None]] = field(default_factory=dict)
    """By method: what its first calls raise, after they did their work; None for those that go well."""
    cuts: list[int] = field(default_factory=list)
    """Characters after which the first connections to a log break."""
    silences: list[int] = field(default_factory=list)
    """Characters after which the first connections to a log fall silent."""
    tick: Callable[[FakeJobs], None] = nothing
    """Called before each question: what happens meanwhile."""
    hurdle: Callable[[FakeJobs], None] = nothing
    """The same for each submission."""
    submitted: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)

    def _break(self, method: str) -> None:
        script = self.breaks.get(method)
        error = script.pop(0) if script else None
        if error is not None:
            raise error

    def end(self, id: str, state: str, exit_code: int | None = None) -> None:
        """Let an attempt end."""
        self.known[id] = replace(self.known[id], state=state, exit_code=exit_code, ended_s=1_700_000_000.0)

    def attempts(self) -> list[Attempt]:
        self.tick(self)
        self._break("attempts")
        return list(self.known.values())

    def submit(self, id: str) -> None:
        self.hurdle(self)
        if id in self.known:
            raise Refused(f"status code 400: {id} already exists")
        self._break("refuse")
        self.known[id] = replace(self.begun, id=id)
        self.submitted.append(id)
        self._break("submit")

    def tail(self, id: str) -> Iterator[str]:
        cut = self.cuts.pop(0) if self.cuts else None
        silence = self.silences.pop(0) if self.silences else None
        for at in range(0, len(self.log), self.piece):
            if cut is not None and at >= cut:
                raise Lost("cut")
            if silence is not None and at >= silence:
                yield ""
            yield self.log[at : at + self.piece]

    def stop(self, id: str) -> None:
        self._break("stop")
        self.stopped.append(id)
        if self.known[id].is_at_work:
            self.end(id, "STOPPED")
