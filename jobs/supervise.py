"""What stands around a job while it runs: the lock of its folder, its log, signals, and the budgets it must keep.

    with supervised("map", config, command, join=False) as supervision:
        ...                                 # run_stage asks supervision() for what it needs

SIGTERM ends a stage in good order: units that are being worked on are finished and marked, as long as the grace lasts;
where no stage is running, or at the second SIGTERM, `Terminated` is raised at once.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import FrameType

from cluster.lock import Locked, RunLock
from cluster.logs import RunLog, new_run
from cluster.redact import redact
from cluster.stopping import Stop
from cluster.storage import Storage
from jobs.config import RunConfig
from jobs.half_written import sweep_partial
from jobs.pace import about, falls_behind
from jobs.recipe_config import Recipe
from jobs.watch import watching

logger = logging.getLogger(__name__)


class Stopped(RuntimeError):
    """The run was asked to end early, and did so in good order: repeating the command does what is left."""


class Terminated(BaseException):
    """SIGTERM, where there was nothing to end in good order. Like KeyboardInterrupt no error that code may handle."""


@dataclass
class Supervision:
    """What a running job knows of its surroundings."""

    run: str = ""
    """Name of the run; none outside of `supervised`."""
    joins: bool = False
    """Whether it helps another run that holds the lock: it does units from the last to the first, and publishes
    nothing."""
    stop: Stop = field(default_factory=Stop)
    log: RunLog | None = None
    stages: int = 0
    """That are running: one or none."""
    ends_s: float = math.inf
    """When `limits.hours` are over, by `time.monotonic`."""
    behind: bool = False
    """Whether it was told that they will not do."""

    def mind_time(self, stage: str, word: str, done: int, total: int, since_first_s: float, in_hand: int) -> None:
        """Say once, as soon as the rate of a stage shows it, that it cannot end within `limits.hours`.

        Args:
            stage: its name.
            word: what its units are called.
            done: units that were finished in this call.
            total: units that this call began with.
            since_first_s: since the first of them was finished.
            in_hand: units that all workers hold at once.
        """
        if self.behind:
            return
        time_left_s = self.ends_s - time.monotonic()
        rest_s = falls_behind(done, total - done, since_first_s, in_hand, time_left_s)
        if rest_s is not None:
            self.behind = True
            logger.warning(
                "%s: %d of %d %s are left and take about %s at this rate, limits.hours ends the run in %s; "
                "repeat the command then, or give it more workers or hours",
                *(stage, total - done, total, word, about(rest_s), about(max(0.0, time_left_s))),
                extra={"event": "behind", "facts": {"rest_s": round(rest_s), "time_left_s": round(time_left_s)}},
            )

    @contextmanager
    def stage(self, name: str) -> Iterator[Stop]:
        """Enter a stage, which gives up its work when asked to.

        Raises:
            Stopped: at its end, where it was.
        """
        self.stages += 1
        if self.log is not None:
            self.log.stage = name
        try:
            yield self.stop
        finally:
            self.stages -= 1
        if self.stop.requested:
            raise Stopped(self.stop.reason)


_current: ContextVar[Supervision | None] = ContextVar("supervision", default=None)


def supervision() -> Supervision:
    """Return that of the job that runs; one that asks for nothing where there is none, as in tests and notebooks."""
    return _current.get() or Supervision()


@contextmanager
def supervised(job: str, config: RunConfig | Recipe, command: str, join: bool) -> Iterator[Supervision]:
    """Hold the lock of a job's folder, keep its log, listen to SIGTERM and watch its budgets.

    Args:
        job: its name.
        config: what it runs on.
        command: as typed.
        join: help the run that holds the lock, if there is one, instead of being refused.

    Raises:
        Locked: another run is at work in the folder.
    """
    storage, command = Storage(config.out), redact(command)
    here = Supervision(new_run(job))
    lock = RunLock(storage.child("lock"), here.run, command, on_lost=lambda why: here.stop.request(why, 0.0))
    try:
        lock.acquire()
    except Locked as held:
        if not join:
            raise
        here.joins = True
        print(f"sandan {job}: joining {held.holder.told(lock.clock())}", file=sys.stderr)
    with ExitStack() as stack:
        stack.callback(lock.release)
        here.log = stack.enter_context(RunLog(storage, here.run))
        stack.enter_context(_echo())
        if lock.succeeded is not None:
            print(f"sandan {job}: succeeding a run that ended without a word ({lock.succeeded.run})", file=sys.stderr)
            sweep_partial(storage)
        stack.enter_context(_listening(here, config.limits.grace_s))
        stack.enter_context(watching(storage, config.limits, here.stop))
        limits = config.limits
        if limits.hours is not None and not limits.in_parts:
            here.ends_s = time.monotonic() + limits.hours * 3600
        token = _current.set(here)
        stack.callback(_current.reset, token)
        facts = {"command": command, "host": socket.gethostname(), "pid": os.getpid(), "joins": here.joins}
        facts["config"] = config.model_dump(mode="json")
        logger.info("%s begins", job, extra={"event": "start", "facts": facts})
        yield here


@contextmanager
def waiting_turn(storage: Storage, what: str) -> Iterator[None]:
    """Hold the lock of another folder than the job's own, after whoever holds it."""
    lock = RunLock(storage.child("lock"), supervision().run or new_run("waiting"), what)
    lock.acquire(wait=True)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _listening(here: Supervision, grace_s: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # signals go to the main thread, whose handlers are not ours to set
        return

    def heard(number: int, frame: FrameType | None) -> None:
        if here.stages and not here.stop.requested:
            here.stop.request("SIGTERM", grace_s)
        else:
            raise Terminated

    before = signal.signal(signal.SIGTERM, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _echo() -> Iterator[None]:
    """Show warnings on stderr, but for those that the job itself tells."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    handler.addFilter(lambda record: getattr(record, "event", "") not in ("quarantine", "fault", "limit"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
