"""One embedded Ray for all tests of this folder, and stages whose failures are injected by a table."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CPUS = 4
ERRORS: dict[str, Exception] = {
    "full": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/out/map.zarr/c/0"),
    "away": ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)),
    "memory": MemoryError("no room for 7 GiB"),
    "cuda": RuntimeError("CUDA error: an illegal memory access was encountered"),
}
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="package")  # not longer: the tests of other folders have the machine to themselves
def ray_here() -> Iterator[dict[str, Any]]:
    """Ray with 4 CPUs in its books, whatever the machine has; workers can import the tests."""
    from cluster.connect import connect, disconnect

    patch = pytest.MonkeyPatch()
    patch.delenv("RAY_ADDRESS", raising=False)
    patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))
    yield connect(cpus=CPUS)
    disconnect()
    patch.undo()


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
                import time

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
