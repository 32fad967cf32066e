"""The lock of a run: one driver at a time writes to a folder, on a disk or in an object store.

A lock is `<number>.json`, created so that only one of several can (`Storage.create`), and rewritten every few seconds
by its holder: the heartbeat. The highest number holds, until it says that it is released; numbers only rise. A holder
whose heart stands still, or whose process is gone from this machine, is succeeded by whoever creates the next number,
of which there is again only one. Who was succeeded finds out at the next beat.

Nothing rests on clocks of several machines: that a heart stands still is seen by looking at it twice. And nothing but
wasted work rests on the lock: units of work are idempotent, and their markers are created once.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from cluster.storage import Storage, StorageError

BEAT_S = 10.0
"""Between two beats."""
STILL_S = 60.0
"""A heart that did not beat for so long stands still."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, as it stands in the file."""

    run: str
    """Name of the run, unique."""
    command: str
    host: str
    machine: str
    """What distinguishes places where process ids mean something: the boot of a kernel, and its namespace of them."""
    pid: int
    born: float
    """When the process was made, by the kernel's own count: another process may have its id later."""
    began: float
    """Seconds since 1970, of the holder's clock."""
    beat: int = 0
    beat_at: float = 0.0
    """Seconds since 1970, of the holder's clock."""
    released: bool = False

    @property
    def is_gone(self) -> bool:
        """Whether its process is known to have ended: only on its own machine can that be known."""
        if self.machine != _machine():
            return False
        return _born(self.pid) != self.born

    def told(self, now_s: float) -> str:
        """Return who it is, and how long it has been at work, by a clock that may not be its own."""
        minutes = max(0.0, now_s - self.began) / 60
        return f"{self.command!r} on {self.host} (process {self.pid}, run {self.run}, for {minutes:.0f} minutes)"


class Locked(RuntimeError):
    """Somebody else holds the lock."""

    def __init__(self, message: str, holder: Holder) -> None:
        super().__init__(message)
        self.holder = holder


@dataclass
class RunLock:
    """A lock, held from `acquire` to `release`, or as a context; beats on a thread of its own."""

    storage: Storage
    """The folder of the lock."""
    run: str
    command: str
    on_lost: Callable[[str], None] = lambda reason: None
    """Called once, on the beating thread, with who holds the lock now."""
    clock: Callable[[], float] = time.time
    """Only for what is told; waiting is counted in looks, each after a `sleep`."""
    sleep: Callable[[float], None] = time.sleep
    above: int = 0
    """A number that this lock's must exceed, if who asks knows of one: the folder of the lock may have been removed."""
    succeeded: Holder | None = None
    """Who was found dead or still, if anybody: its work may lie about half done."""
    _number: int = 0
    _mine: Holder | None = None
    _end: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def number(self) -> int:
        """The fencing number: it rises with every holder, so that what carries a lower one comes from an earlier."""
        return self._number

    def is_mine(self) -> bool:
        """Whether nobody has succeeded this holder, as the storage says now."""
        return self._mine is not None and latest(self.storage)[0] == self._number

    def acquire(self, wait: bool = False) -> None:
        """Take the lock, at once where it is free or its holder is gone.

        Where the last beat may be old, this looks for up to `STILL_S` whether it moves.

        Args:
            wait: until the holder releases it, instead of being refused.

        Raises:
            Locked: somebody is at work; says who, where and for how long.
        """
        now_s = self.clock()
        pid = os.getpid()
        me = Holder(self.run, self.command, socket.gethostname(), _machine(), pid, _born(pid) or 0.0, now_s)
        while True:
            number, holder = latest(self.storage)
            if holder is None or holder.is_gone or not self._moves(number, holder):
                self._mine, self._number = replace(me, beat_at=self.clock()), max(number, self.above) + 1
                if self.storage.create(_name(self._number), _text(self._mine)):
                    break
            elif not wait:
                raise Locked(
                    f"{holder.told(self.clock())} holds {self.storage.url}; wait until it ends, or stop it", holder
                )
            else:
                self.sleep(BEAT_S)
        self.succeeded = holder
        if holder is not None:
            logger.warning("succeeding %s, which ended without a word", holder.told(self.clock()))
        for old in range(1, number + 1):
            self.storage.delete(_name(old))
        self._end.clear()
        self._thread = threading.Thread(target=self._beat, name="lock", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Give the lock back; free where it was lost, or never taken."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._mine is not None:
            mine, self._mine = replace(self._mine, released=True), None
            if latest(self.storage)[0] == self._number:
                self.storage.put(_name(self._number), _text(mine))

    def _moves(self, number: int, holder: Holder) -> bool:
        """Whether the heart of a holder beats: it did just now, or does so while this looks."""
        if 0 <= self.clock() - holder.beat_at < STILL_S:
            return True
        for _ in range(int(STILL_S / BEAT_S)):
            self.sleep(BEAT_S)
            if latest(self.storage) != (number, holder):
                return True
        return False

    def _beat(self) -> None:
        while not self._end.wait(BEAT_S):
            try:
                if not self.beat():
                    return
            except StorageError as error:  # an outage: the next beat may get through
                logger.warning("the lock's heartbeat was not written: %s", error)

    def beat(self) -> bool:
        """Beat once; False where somebody else has the lock by now, which is told to `on_lost`."""
        number, holder = latest(self.storage)
        if number != self._number:
            who = "somebody who is done" if holder is None else holder.told(self.clock())
            self._mine = None
            self.on_lost(f"this run was taken for dead, and its lock for free: it went to {who}")
            return False
        assert self._mine is not None
        self._mine = replace(self._mine, beat=self._mine.beat + 1, beat_at=self.clock())
        self.storage.put(_name(self._number), _text(self._mine))
        return True

    def __enter__(self) -> Self:
        if self._mine is None:
            self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def latest(storage: Storage) -> tuple[int, Holder | None]:
    """Return the highest number of a lock so far, and its holder, None where it is free.

    A lock that cannot be read (damaged, of another version) has no holder that could be asked: it may be succeeded.
    """
    while True:
        numbers = [
            int(key.removesuffix(".json")) for key in storage.children() if key.removesuffix(".json").isdecimal()
        ]
        number = max(numbers, default=0)
        if not number:
            return 0, None
        try:
            holder = Holder(**json.loads(storage.get(_name(number))))
            return number, None if holder.released else holder
        except FileNotFoundError:
            continue  # succeeded between the two looks
        except (ValueError, TypeError):
            return number, None


def _name(number: int) -> str:
    return f"{number}.json"


def _text(holder: Holder) -> bytes:
    return json.dumps(asdict(holder), indent=1).encode()


def _born(pid: int) -> float | None:
    """Return when a process was made, by a count that no change of the clock moves; None where there is none."""
    try:
        return float(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except FileNotFoundError:
        pass  # no such process, or no Linux
    except (OSError, ValueError):
        return None
    try:
        return None if Path("/proc/self").exists() else psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # no Linux: the network card's address
        return f"{uuid.getnode():x}"
