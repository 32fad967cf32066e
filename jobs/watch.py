"""The budgets of a run, watched while it runs: hours, memory, room on the disk."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from cluster.repeating import repeating
from cluster.stopping import Stop
from cluster.storage import Storage
from jobs.config import LimitsConfig
from jobs.estimate import format_bytes

WATCH_S = 2.0
RESERVE_BYTES, RESERVE_SHARE = 500_000_000, 0.02
"""What must stay free on the disk of a run: the smaller of these, so that small disks can be used at all."""

logger = logging.getLogger(__name__)


def exceeded(limits: LimitsConfig, elapsed_s: float, memory_bytes: int, free_bytes: int, total_bytes: int) -> str:
    """Return which budget a run has used up, and what to do; nothing while there is none.

    Args:
        limits: the budgets.
        elapsed_s: since the run began.
        memory_bytes: of the driver and its children on this machine.
        free_bytes: of the disk that is written to.
        total_bytes: of that disk.
    """
    if limits.hours is not None and elapsed_s > limits.hours * 3600:
        return f"it ran for {elapsed_s / 3600:.2f} hours, limits.hours is {limits.hours:g}"
    if limits.memory_gb is not None and memory_bytes > limits.memory_gb * 1e9:
        return (
            f"its processes take {format_bytes(memory_bytes)}, limits.memory_gb is {limits.memory_gb:g}; "
            "use fewer workers, or smaller batches"
        )
    reserve = min(RESERVE_BYTES, int(RESERVE_SHARE * total_bytes))
    if free_bytes < reserve:
        return f"the disk has {format_bytes(free_bytes)} left, {format_bytes(reserve)} are kept free; make room"
    return ""


@contextmanager
def watching(
    storage: Storage,
    limits: LimitsConfig,
    stop: Stop,
    every_s: float = WATCH_S,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Ask a run to stop as soon as it exceeds a budget; looks every few seconds, on a thread of its own."""
    began_s = clock()

    def look() -> bool:
        memory = run_memory() if limits.memory_gb is not None else 0
        reason = exceeded(limits, clock() - began_s, memory, *disk_of(storage))
        if reason:
            logger.warning("stopping: %s", reason, extra={"event": "limit"})
            stop.request(reason, limits.grace_s)
        return bool(reason)

    with repeating(look, every_s, "budgets"):
        yield


def run_memory() -> int:
    """Return the memory of this process and all below it, in bytes; what they share with others is not counted."""
    total = 0
    me = psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        try:
            held = process.memory_info()
        except psutil.Error:  # it has ended, or belongs to somebody else
            continue
        total += held.rss - getattr(held, "shared", 0)
    return total


def disk_of(storage: Storage) -> tuple[int, int]:
    """Return bytes that are free and bytes in all where a run is written; an object store has no end."""
    if not storage.is_local:
        return 1 << 62, 1 << 62
    place = Path(storage.url)
    while not place.exists() and place != place.parent:
        place = place.parent
    usage = shutil.disk_usage(place)
    return usage.free, usage.total
