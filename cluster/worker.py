"""What runs where the work is done: one attempt at a unit, and the actor around it."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from cluster.contract import K, R, check_record, limit_torch_threads
from cluster.faults import Seen, describe
from cluster.openmp import spin_briefly

Answer = tuple[str, Any]
"""What came of a call, and its value."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "DASK_NUM_WORKERS")
"""What libraries that bring threads of their own read when they are imported; dask would take every core of the
machine in each worker."""
_FRAMES = 20
"""Lines of code that a worker tells of where it is, the innermost last."""


def attempt(work: Callable[[K], R], key: K) -> tuple[R, float] | Seen:
    """Work on a key once: the record and how long it took, in seconds, or the exception as data."""
    start_s = time.monotonic()
    try:
        record = work(key)
        check_record(record)
    except Exception as error:
        return describe(error)
    return record, time.monotonic() - start_s


class Worker:
    """What runs in an actor: one factory, called once; then one unit per call, several at once."""

    def __init__(self, threads: int, gpus: float) -> None:
        limit_worker(threads, gpus)
        self._threads = threads
        self._work: Callable[[Any], Any] | None = None
        self._starter: int | None = None
        """The thread that is at work in ``start``."""

    def start(self, factory: bytes) -> Answer:
        """Call the factory: ``("ready", node id)``, or ``("error", traceback)``; an exception is data, not a death."""
        import ray

        self._starter = threading.get_ident()
        try:
            # Unpickled here and not by Ray, so that torch is imported after the thread count is set.
            self._work = pickle.loads(factory)()
            limit_torch_threads(self._threads)
        except Exception:
            return "error", traceback.format_exc()
        finally:
            self._starter = None
        return "ready", str(ray.get_runtime_context().get_node_id())

    def ask(self, function: bytes) -> Answer:
        """Call a function: ``("ok", value)``, or ``("error", traceback)``."""
        try:
            return "ok", pickle.loads(function)()
        except Exception:
            return "error", traceback.format_exc()

    def do(self, key: bytes) -> Answer:
        """Work on a key: ``("ok", (record, seconds))`` or ``("error", Seen)``."""
        work = self._work
        assert work is not None
        found = attempt(lambda packed: work(pickle.loads(packed)), key)
        return ("error", found) if isinstance(found, Seen) else ("ok", found)

    def probe(self) -> Answer:
        """Answer: ``("answer", where)``, where the thread is that starts the worker; empty if none does."""
        frame = None if self._starter is None else sys._current_frames().get(self._starter)
        return "answer", "" if frame is None else "".join(traceback.format_stack(frame)[-_FRAMES:])


def limit_worker(threads: int, gpus: float) -> None:
    """Give a worker process its threads, say how they wait, and hide the GPUs from one that reserved none.

    Set in the process instead of in a runtime_env: that costs no start-up time, and is early enough because both
    are read when torch is imported or first touches CUDA.
    """
    for name in THREADS:
        os.environ[name] = str(threads)
    spin_briefly()
    if not gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray 2.60 leaves all GPUs visible to an actor with num_gpus=0
    limit_torch_threads(threads)
