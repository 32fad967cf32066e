"""Asking Ray for workers, and a question to one of them while the others wait for a run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from cluster.contract import WorkerError
from cluster.resources import ResolvedResources
from cluster.worker import Worker

logger = logging.getLogger(__name__)

TRIES = 3
"""Workers that may be lost over a question."""


def hire(resources: ResolvedResources) -> Any:
    """Ask for a worker and return its handle at once, wherever and whenever it starts."""
    import ray

    r, remote = resources, ray.remote
    # A thread of its own for probes, so that a busy worker still answers.
    actor: Any = remote(concurrency_groups={"probe": 1})(Worker)  # type: ignore[call-overload]
    return actor.options(
        num_cpus=r.cpus_per_worker,
        num_gpus=r.gpus_per_worker,
        label_selector=dict(r.labels),
        max_restarts=0,
        max_task_retries=0,
        max_concurrency=r.concurrency,
        scheduling_strategy="SPREAD",
    ).remote(r.threads_per_worker, r.gpus_per_worker)


class Waiting:
    """Workers that were asked something before a run, and wait for it."""

    def __init__(self) -> None:
        self._workers: list[Any] = []

    def ask(
        self, function: Callable[[], Any], resources: ResolvedResources, beside: Callable[[], object] | None
    ) -> Any:
        """Call a function on one worker, and with ``beside`` another one on as many others as a run will have.

        Raises:
            WorkerError: the function raised, or workers died over it.
        """
        import ray
        import ray.cloudpickle

        dumps: Any = ray.cloudpickle.dumps
        packed = dumps(function)
        for left in reversed(range(TRIES)):
            if not self._workers:
                self._workers.append(hire(resources))
            first = self._workers[0]
            asked = first.ask.remote(packed)
            while beside is not None and len(self._workers) < resources.workers:
                self._workers.append(hire(resources))
                self._workers[-1].ask.remote(dumps(beside))  # nobody waits for it
            try:
                what, value = ray.get(asked)
            except ray.exceptions.RayActorError as error:
                self._workers.remove(first)
                if not left:
                    raise WorkerError(f"asked {TRIES} workers for {function!r}; they died: {error}") from error
                logger.warning("a worker was lost over %r; another is asked", function)
                continue
            if what == "error":
                raise WorkerError(f"asked a worker for {function!r}; it raised\n{value}")
            return value
        raise AssertionError("unreachable")

    def take(self) -> list[Any]:
        """Return the workers; from now on they are the caller's."""
        taken, self._workers = self._workers, []
        return taken

    def dismiss(self) -> None:
        """End them."""
        import ray

        for worker in self.take():
            ray.kill(worker)
