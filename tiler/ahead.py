"""Work that goes on while somebody else uses what came before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def ahead(work: Callable[[Item], Answer], items: Iterable[Item]) -> Iterator[Answer]:
    """Yield what is made of each item; the next one is made meanwhile, on a thread of its own.

    What an item raises is raised where its answer would have come.
    """
    with ThreadPoolExecutor(1, "ahead") as pool:
        coming: list[Future[Answer]] = []
        for item in items:
            coming.append(pool.submit(work, item))
            if len(coming) > 1:
                yield coming.pop(0).result()
        for one in coming:
            yield one.result()
