"""Independent pieces of work, one after the other or in several processes."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def each(work: Callable[[Task], Result], tasks: Sequence[Task], workers: int = 1) -> Iterator[tuple[int, Result]]:
    """Yield the number of each task and what `work` makes of it, as they are done.

    Args:
        work: a function that a fresh process can import by name.
        tasks: plain values.
        workers: processes; 1 is this one, and works in order.

    Raises:
        ValueError: fewer than one worker. An error of `work` is raised here, and what has not begun is left undone.
    """
    if workers < 1:
        raise ValueError(f"at least one worker must be asked for, got {workers}")
    if min(workers, len(tasks)) <= 1:
        yield from enumerate(map(work, tasks))
        return
    # spawn: a fork would take along the threads and the open files of the libraries in whatever state they are
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context, initializer=_leave_interrupts_to_parent)
    try:
        numbers = {pool.submit(work, task): number for number, task in enumerate(tasks)}
        for done in as_completed(numbers):
            yield numbers[done], done.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
