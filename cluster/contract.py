"""The contract between work and workers: what an engine is asked, what it reports, and how it ends."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from cluster.faults import Fault, Kind
from cluster.stopping import Stop

K = TypeVar("K")
R = TypeVar("R")
T = TypeVar("T")

RECORD_LIMIT_BYTES = 1 << 20
"""The largest pickled record a unit may return: keys and records travel, arrays stay in the store."""


@dataclass(frozen=True)
class Done(Generic[K, R]):
    """A unit that is finished."""

    key: K
    record: R
    """What the work returned: small."""
    seconds: float
    """Wall time of the call that succeeded, in the worker."""
    attempts: int = 1
    """How often it was tried."""


@dataclass(frozen=True)
class Failed(Generic[K]):
    """A unit that was given up; the others went on."""

    key: K
    error: str
    """The last error: a traceback, ending in the exception's own lines."""
    attempts: int
    """How often it was tried."""
    kind: Kind
    """Of the last error: ``input``, ``transient``, ``memory``, ..."""

    @property
    def reason(self) -> str:
        """The last line of the error."""
        return Fault(self.kind, self.error).reason


class WorkerError(RuntimeError):
    """Workers cannot be started, or died too often to go on."""


class FatalFault(RuntimeError):
    """A unit met what every other one would meet: nothing is given up, and the same command goes on afterwards."""

    def __init__(self, unit: str, fault: Fault, given_up: int = 0) -> None:
        """Say why.

        Args:
            unit: the id of the unit, or its key as text.
            fault: what it met.
            given_up: units given up in a row before, where that is the reason.
        """
        super().__init__(unit, fault, given_up)
        self.unit, self.fault, self.given_up = unit, fault, given_up

    @property
    def reason(self) -> str:
        """What the unit met, in a line."""
        return self.fault.reason

    def __str__(self) -> str:
        if self.given_up:
            row = (
                f"{self.given_up} units in a row were given up and none was finished in between; the last, {self.unit}"
            )
            return f"{row}: {self.reason}; look for what they share (storage, memory, network), then run again"
        return f"unit {self.unit} met what every other would meet: {self.reason}; put that right, then run again"


class Engine(Protocol):
    """Runs work on keys: a factory is called once per worker, what it returns once per key, in any order.

    Factories are pickled: frozen dataclasses of an importable module. The returned callable must be **thread-safe**:
    a worker calls it for some keys at once, so that reading the next unit overlaps computing this one; it does its own
    locking around what must not overlap (a GPU, a model). It returns a small picklable record.
    A unit may run more than once (a worker was lost, a slow one is doubled), so it must be idempotent.
    """

    def run(
        self, factory: Callable[[], Callable[[K], R]], keys: Iterable[K], stop: Stop | None = None, at_once: int = 2
    ) -> Iterator[Done[K, R] | Failed[K]]:
        """Report every key exactly once, in any order; keys are taken lazily, as workers become free.

        A worker works on ``at_once`` keys at a time, or on the engine's ``concurrency`` where that is less: two where
        computing is what takes time, more where units wait for disks. Each needs memory of its own.

        What is done about a unit that fails is told in ``cluster.retry``.

        Once ``stop`` is requested, nothing new is begun: units that are worked on are finished and reported, until its
        grace is over; then the iterator ends. A unit that was not reported has no marker, so the next run does it.

        Raises what the factory raises (here or, from another process, as ``WorkerError`` with its traceback), and
        ``FatalFault`` where a unit met what every other one would meet (a full disk): put it right and run again.
        Closing the iterator early stops the workers.
        """
        ...

    def ask(self, function: Callable[[], T], beside: Callable[[], object] | None = None) -> T:
        """Run a function once, on a worker of the kind that ``run`` uses, while none is running.

        The next ``run`` begins with that worker: what the function imported need not be imported again, and what it
        changed in its process stays. With ``beside`` all other workers of that run are started too, and call that
        meanwhile, to import what they will need; what comes of it is not looked at.
        """
        ...

    def facts(self) -> dict[str, Any]:
        """``kind``, ``workers``, ``cpus``, ``gpus``, ``threads``, ``concurrency``: what a run record should say."""
        ...

    def close(self) -> None:
        """Release workers and whatever the engine started."""
        ...

    def __enter__(self) -> Engine: ...

    def __exit__(self, *error: object) -> None: ...


def check_record(record: object) -> None:
    """Refuse a record that is too large to travel; ``ValueError``, or what pickling raises."""
    size_bytes = len(pickle.dumps(record))
    if size_bytes > RECORD_LIMIT_BYTES:
        raise ValueError(
            f"a unit returned a record of {size_bytes} bytes; at most {RECORD_LIMIT_BYTES} may travel; "
            "write arrays to the store and return what identifies them"
        )


def limit_torch_threads(threads: int) -> None:
    """Set torch's thread count where torch is loaded already; never load it."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)
