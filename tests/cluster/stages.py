"""Stages whose failures are injected by a table, and other work for workers.

Without pytest: every worker that is started imports this module, and would need half a second more for that.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

ERRORS: dict[str, Exception] = {
    "full": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/out/map.zarr/c/0"),
    "away": ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)),
    "memory": MemoryError("no room for 7 GiB"),
    "cuda": RuntimeError("CUDA error: an illegal memory access was encountered"),
}


@dataclass(frozen=True)
class Faulty:
    """Squares its key; ``faults[key]`` says what its first, second, ... attempt does instead.

    ``raise`` raises, ``exit`` ends the process, ``kill`` and ``stop`` send it those signals, ``sleep:S`` takes S
    seconds and then works, and the names of ``ERRORS`` raise those. Attempts are counted in files, because a killed
    process remembers nothing.
    """

    folder: str
    faults: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    def __call__(self) -> Callable[[int], dict[str, int]]:
        def work(key: int) -> dict[str, int]:
            attempt = count(self.folder, f"unit-{key}")
            plan = self.faults.get(key, ())
            fault = plan[attempt] if attempt < len(plan) else ""
            if fault == "raise":
                raise RuntimeError(f"injected into {key}, attempt {attempt}")
            if fault == "exit":
                os._exit(17)
            if fault in ("kill", "stop"):
                os.kill(os.getpid(), signal.SIGKILL if fault == "kill" else signal.SIGSTOP)
            if fault in ERRORS:
                raise ERRORS[fault]
            if fault.startswith("sleep:"):
                time.sleep(float(fault.partition(":")[2]))
            return {"square": key * key, "pid": os.getpid()}

        count(self.folder, "factory")
        return work


def count(folder: str, name: str) -> int:
    """How often this was called before, over all processes."""
    number = 0
    while True:
        try:
            os.close(os.open(os.path.join(folder, f"{name}.{number}"), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            number += 1
        else:
            return number


@dataclass(frozen=True)
class DiesAtStart:
    folder: str

    def __call__(self) -> Any:
        count(self.folder, "start")
        os._exit(3)


@dataclass(frozen=True)
class Overlap:
    """Counts how many calls are inside at once, and reports its process."""

    def __call__(self) -> Callable[[int], dict[str, Any]]:
        inside, most, lock = 0, 0, threading.Lock()

        def work(key: int) -> dict[str, Any]:
            nonlocal inside, most
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.05)
            with lock:
                inside -= 1
            environment = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")}
            return {"most": most, "pid": os.getpid(), **environment}

        return work


def broken() -> Callable[[int], int]:
    raise LookupError("no weights at /nowhere")


def large() -> Callable[[int], bytes]:
    return lambda key: bytes(key)


def no_pickle() -> Callable[[int], object]:
    return lambda key: lambda: key


def answer() -> tuple[int, str]:
    return 42, os.environ.get("OMP_NUM_THREADS", "")


def refuse() -> None:
    raise LookupError("no bf16 here")


@dataclass(frozen=True)
class Dasked:
    """Computes a dask graph of many short tasks, and tells how many threads did it."""

    def __call__(self) -> Callable[[int], dict[str, int]]:
        import dask

        def task(number: int) -> int:
            time.sleep(0.01)
            return threading.get_ident()

        def work(key: int) -> dict[str, int]:
            threads = dask.compute(*[dask.delayed(task)(number) for number in range(12)], scheduler="threads")
            return {"threads": len(set(threads))}

        return work


@dataclass(frozen=True)
class Key:
    row: int

    @property
    def unit(self) -> str:
        return f"row{self.row}"


@dataclass(frozen=True)
class Rows:
    def __call__(self) -> Callable[[Key], dict[str, int]]:
        return lambda key: {"twice": 2 * key.row}
