"""Units of work in groups: counted, made one at a time, and compared with the markers of one folder after another.

A run over a continent has half a million units. Nowhere is there a list of them: a group (of one scene, of one row of
cells) knows how many it has and makes them anew whenever they are asked for, and what is left of it is a byte a unit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Generic, TypeVar

from cluster.markers import Keyed, Markers, unit_of

K = TypeVar("K", bound=Keyed | str)
T = TypeVar("T")

THREADS = 16
"""Listings, or preparations, at once: they wait for storage."""


@dataclass(frozen=True)
class Units(Generic[K]):
    """The units whose markers lie in one folder: a collection that holds none of them."""

    folder: str
    """What stands before the slash in the name of every unit; empty where there is none."""
    count: int
    make: Callable[[], Iterable[K]]
    """Gives the keys, `count` of them, in the same order at every call."""

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[K]:
        return iter(self.make())


def grouped(keys: Sequence[K]) -> list[Units[K]]:
    """Return keys that are listed already as groups: of neighbours that share a folder."""
    groups = [(folder, list(members)) for folder, members in groupby(keys, lambda key: unit_of(key).rpartition("/")[0])]
    return [Units(folder, len(members), lambda members=members: members) for folder, members in groups]  # type: ignore[misc]


def unfinished(markers: Markers, groups: Sequence[Units[K]]) -> list[bytes]:
    """Say what is left of every group: one listing each.

    Returns:
        For each group a byte for each of its units in order, 1 where it has no marker; `itertools.compress` picks them.
    """

    def left(group: Units[K]) -> bytes:
        done = markers.done(group.folder)
        return bytes(unit_of(key) not in done for key in group) if done else b"\1" * len(group)

    with ThreadPoolExecutor(THREADS, "listing") as pool:
        return list(pool.map(left, groups))


def prepared(prepare: Callable[[T], object], items: Iterable[T]) -> Iterator[T]:
    """Yield items in order, each after `prepare` was called with it, on threads that run a few items ahead.

    Raises:
        Exception: what `prepare` raised, in place of its item.
    """
    waiting: deque[tuple[T, Future[object]]] = deque()

    def first() -> T:
        item, called = waiting.popleft()
        called.result()
        return item

    pool = ThreadPoolExecutor(THREADS, "prepare")
    try:
        for item in items:
            waiting.append((item, pool.submit(prepare, item)))
            if len(waiting) > THREADS:
                yield first()
        while waiting:
            yield first()
    finally:
        pool.shutdown(cancel_futures=True)
