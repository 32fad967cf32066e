"""The contract between work and workers, and the serial engine, which is the reference for all others."""

from __future__ import annotations

import difflib
import os
import pickle
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

K = TypeVar("K")
R = TypeVar("R")
T = TypeVar("T")

Auto = Literal["auto"]

ATTEMPTS = 2
"""How often a unit that raises is tried before it is reported as failed."""

RECORD_LIMIT_BYTES = 1 << 20
"""The largest pickled record a unit may return: keys and records travel, arrays stay in the store."""


@dataclass(frozen=True)
class Resources:
    """What a user asks for; ``auto`` is resolved against the machine or cluster, once, when the run is planned."""

    workers: int | Auto = "auto"
    """Worker processes over the whole cluster."""
    gpus_per_worker: float | Auto = "auto"
    """GPUs of one worker: 0, a fraction (several workers share one), or whole ones."""
    threads_per_worker: int | Auto = "auto"
    """CPU threads that one worker computes with, and the CPUs it reserves."""
    concurrency: int = 2
    """Calls running at once in one worker, so that one reads while another computes."""

    def __post_init__(self) -> None:
        for name, least in (("workers", 1), ("gpus_per_worker", 0), ("threads_per_worker", 1), ("concurrency", 1)):
            value = getattr(self, name)
            if value != "auto" and not (isinstance(value, int | float) and value >= least):
                raise ValueError(f"{name} is {value!r}; it must be at least {least}, or 'auto' where that is allowed")
        gpus = self.gpus_per_worker
        if gpus != "auto" and gpus > 1 and gpus != int(gpus):
            raise ValueError(f"gpus_per_worker is {gpus}; above 1 it must be a whole number")


@dataclass(frozen=True)
class ResolvedResources:
    """What a run uses: every number decided."""

    workers: int
    gpus_per_worker: float
    threads_per_worker: int
    concurrency: int
    cpus_per_worker: float
    """CPUs that one worker reserves: its threads, or less where more workers were asked for than there are CPUs."""


def resolve(resources: Resources, cpus: int, gpus: int, threads_limit: int | None = None) -> ResolvedResources:
    """Decide every ``auto``: one worker per GPU, else a few workers that share the CPUs evenly.

    Args:
        resources: What was asked for; explicit numbers win.
        cpus: CPUs of the whole cluster.
        gpus: GPUs of the whole cluster.
        threads_limit: CPUs that one worker can have at most, because a worker lives on one node.

    Raises:
        ValueError: More GPUs are asked for than exist.
    """
    cpus = max(1, cpus)
    per_worker = (1.0 if gpus else 0.0) if resources.gpus_per_worker == "auto" else float(resources.gpus_per_worker)
    if resources.workers != "auto":
        workers = resources.workers
    elif per_worker:
        workers = max(1, int(gpus / per_worker))
    else:
        workers = min(cpus, max(2, cpus // 4))
    if per_worker * workers > gpus:
        raise ValueError(
            f"asked for {workers} workers with {per_worker:g} GPU each; found {gpus} GPU; "
            "lower workers or gpus_per_worker, or set gpus_per_worker to 0 to run on CPUs"
        )
    if resources.threads_per_worker != "auto":
        threads = resources.threads_per_worker
    else:
        threads = max(1, min(cpus // workers, threads_limit or cpus))
    return ResolvedResources(workers, per_worker, threads, resources.concurrency, _cpus_each(workers, threads, cpus))


def _cpus_each(workers: int, threads: int, cpus: int) -> float:
    # Workers above what fits would wait for ever for a place. Sharing CPUs is slow, but it is what was asked for.
    if workers * threads <= cpus:
        return float(threads)
    share = cpus / workers
    return float(int(share)) if share >= 1 else int(share * 1000) / 1000


@dataclass(frozen=True)
class Done(Generic[K, R]):
    """A unit that is finished."""

    key: K
    record: R
    """What the work returned: small."""
    seconds: float
    """Wall time of the call that succeeded, in the worker."""


@dataclass(frozen=True)
class Failed(Generic[K]):
    """A unit that was given up; the others went on."""

    key: K
    error: str
    """The last error: a traceback, ending in the exception's own line."""
    attempts: int
    """How often it was tried."""

    @property
    def reason(self) -> str:
        """The last line of the error."""
        return self.error.strip().rpartition("\n")[2]


class WorkerError(RuntimeError):
    """Workers cannot be started, or died too often to go on."""


class Engine(Protocol):
    """Runs work on keys: a factory is called once per worker, what it returns once per key, in any order.

    Factories are pickled: frozen dataclasses of an importable module. The returned callable must be **thread-safe**:
    a worker calls it for ``concurrency`` keys at once, so that reading the next unit overlaps computing this one;
    it does its own locking around what must not overlap (a GPU, a model). It returns a small picklable record.
    A unit may run more than once (a worker was lost, a slow one is doubled), so it must be idempotent.
    """

    def run(self, factory: Callable[[], Callable[[K], R]], keys: Iterable[K]) -> Iterator[Done[K, R] | Failed[K]]:
        """Report every key exactly once, in any order; keys are taken lazily, as workers become free.

        Raises what the factory raises (here or, from another process, as ``WorkerError`` with its traceback).
        Closing the iterator early stops the workers.
        """
        ...

    def ask(self, function: Callable[[], T]) -> T:
        """Run a function once, on a worker of the kind that ``run`` uses, while none is running."""
        ...

    def facts(self) -> dict[str, Any]:
        """``kind``, ``workers``, ``cpus``, ``gpus``, ``threads``, ``concurrency``: what a run record should say."""
        ...

    def close(self) -> None:
        """Release workers and whatever the engine started."""
        ...

    def __enter__(self) -> Engine: ...

    def __exit__(self, *error: object) -> None: ...


class SerialEngine:
    """This process, results in order: what every other engine is compared with.

    `concurrency` keys are worked on at once, as the contract allows, so that one is read while another computes.
    """

    def __init__(self, threads: int | Auto = "auto", concurrency: int = 1) -> None:
        self._threads: int = os.cpu_count() or 1 if threads == "auto" else threads
        self._explicit = threads != "auto"
        self._concurrency = concurrency

    def run(self, factory: Callable[[], Callable[[K], R]], keys: Iterable[K]) -> Iterator[Done[K, R] | Failed[K]]:
        """See ``Engine.run``; an exception of the factory is raised as it is."""
        work = factory()
        if self._explicit:
            limit_torch_threads(self._threads)
        if self._concurrency == 1:
            for key in keys:
                yield self._one(work, key)
            return
        begun: deque[Future[Done[K, R] | Failed[K]]] = deque()
        pool = ThreadPoolExecutor(self._concurrency, "serial")
        try:
            for key in keys:
                begun.append(pool.submit(self._one, work, key))
                if len(begun) == 2 * self._concurrency:  # some wait, so that no thread does while the first is slow
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _one(self, work: Callable[[K], R], key: K) -> Done[K, R] | Failed[K]:
        error = ""
        for _ in range(ATTEMPTS):
            start_s = time.monotonic()
            try:
                record = work(key)
                check_record(record)
                return Done(key, record, time.monotonic() - start_s)
            except Exception:
                error = traceback.format_exc()
        return Failed(key, error, ATTEMPTS)

    def ask(self, function: Callable[[], T]) -> T:
        """See ``Engine.ask``."""
        return function()

    def facts(self) -> dict[str, Any]:
        """See ``Engine.facts``."""
        cpus = os.cpu_count() or 1
        return {
            "kind": "serial",
            "workers": 1,
            "cpus": cpus,
            "gpus": 0,
            "threads": self._threads,
            "concurrency": self._concurrency,
        }

    def close(self) -> None:
        """Nothing to release."""

    def __enter__(self) -> SerialEngine:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


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


def _open_serial(resources: Resources, address: str | None) -> Engine:
    return SerialEngine(resources.threads_per_worker, resources.concurrency)


def _open_ray(resources: Resources, address: str | None) -> Engine:
    from cluster.ray_engine import RayEngine

    return RayEngine(resources, address)


ENGINES: dict[str, Callable[[Resources, str | None], Engine]] = {"serial": _open_serial, "ray": _open_ray}


def open_engine(kind: str, resources: Resources | None = None, address: str | None = None) -> Engine:
    """The engine of a name in ``ENGINES``; ``ValueError`` names the nearest one for any other."""
    if kind not in ENGINES:
        near = difflib.get_close_matches(kind, ENGINES, n=1, cutoff=0.0)[0]
        raise ValueError(f"asked for engine {kind!r}; known are {', '.join(ENGINES)}; did you mean {near!r}?")
    return ENGINES[kind](resources or Resources(), address)
