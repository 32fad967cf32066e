"""The heap of a process that works on large arrays, where the C library is glibc; elsewhere nothing happens.

By itself glibc gives every large array back to the system when it is freed, and the system clears the memory before the
next one may have it: networks ran a quarter slower for it, Mosaic a sixth. And it makes a heap of its own for each
thread but the first: these hold 64 MiB a piece and are given back whenever they are empty, whatever is asked of the
first, which cost EfficientNet-B5 another sixth (benchmarks/README.md).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

from cluster.repeating import repeating

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
"""Names of parameters in glibc's malloc.h."""


def keep_memory() -> None:
    """Let this process keep the memory that it frees, in one heap for all threads.

    The one heap is for threads that have not asked for memory yet: call this before libraries start theirs. Peaks are
    higher by what lies between arrays.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in ((M_ARENA_MAX, 1), (M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1)):
            mallopt(parameter, value)


def give_memory_back() -> None:
    """Give what this process keeps and does not use back to the system, once; a later peak begins lower."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


@contextmanager
def giving_memory_back(every_s: float = 0.5) -> Iterator[None]:
    """Give memory back every so often, from a thread of its own, as long as a block runs.

    For work whose pieces of memory are of many sizes, on several threads: what is free lies in pieces that the next
    cell does not fit into, and grows with the time that it takes (Publish of 10^9 pixels: twice what is used).
    """
    with repeating(give_memory_back, every_s, "heap"):
        yield


def one_heap_for_children(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let processes that this one starts have one heap for all threads, unless the environment says otherwise."""
    environment.setdefault("MALLOC_ARENA_MAX", "1")
