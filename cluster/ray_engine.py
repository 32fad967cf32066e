"""The Ray engine: the actor pool behind the contract of ``cluster.engine``."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from cluster.connect import cluster_facts, connect, disconnect
from cluster.contract import Done, Failed, K, R, T, WorkerError
from cluster.labels import told
from cluster.pool import Pool
from cluster.resources import ResolvedResources, Resources, resolve
from cluster.stopping import Stop
from cluster.worker import limit_worker


class RayEngine:
    """Workers are Ray actors, one per GPU or a few per machine; Ray is reached at the first use, not before."""

    def __init__(self, resources: Resources, address: str | None = None, cpus: int | None = None) -> None:
        self._asked = resources
        self._address = address
        self._cpus = cpus
        self._resolved: ResolvedResources | None = None
        self._ours = False
        self._running = False

    @property
    def resources(self) -> ResolvedResources:
        """Every number decided, against the cluster as it is at first use."""
        if self._resolved is None:
            import ray

            self._ours = not ray.is_initialized()
            connect(self._address, self._cpus)
            facts = cluster_facts(self._asked.labels)
            if not facts["nodes"] and not self._asked.autoscaling:
                raise ValueError(
                    f"asked for workers{told(self._asked.labels)}; the cluster at {facts['address']} has none; label "
                    "its nodes (ray start --labels), correct engine.labels, or set engine.autoscaling where machines "
                    "come with the work"
                )
            self._resolved = resolve(self._asked, facts["cpus"], facts["gpus"], threads_limit(facts["nodes"]))
        return self._resolved

    def run(
        self, factory: Callable[[], Callable[[K], R]], keys: Iterable[K], stop: Stop | None = None, at_once: int = 2
    ) -> Iterator[Done[K, R] | Failed[K]]:
        """See ``Engine.run``; a factory that raises is a ``WorkerError`` with its traceback."""
        if self._running:
            raise RuntimeError("asked to run a stage while another runs; exhaust or close its iterator first")
        pool = Pool(factory, replace(self.resources, concurrency=min(at_once, self.resources.concurrency)))
        self._running = True
        try:
            yield from pool.run(keys, stop)
        finally:
            self._running = False

    def ask(self, function: Callable[[], T]) -> T:
        """See ``Engine.ask``; what the function raises is a ``WorkerError`` with its traceback."""
        if self._running:
            raise RuntimeError("asked a worker while a stage runs and holds them all; ask before or after it")
        import ray
        import ray.cloudpickle

        dumps: Any = ray.cloudpickle.dumps
        r = self.resources
        # max_calls=1: the process is not used again, so what it imported and limited touches no later worker.
        place: Any = {"num_cpus": r.cpus_per_worker, "num_gpus": r.gpus_per_worker, "label_selector": dict(r.labels)}
        task = ray.remote(**place, max_retries=2, max_calls=1)(_answer)
        what, value = ray.get(task.remote(dumps(function), r.threads_per_worker, r.gpus_per_worker))
        if what == "error":
            raise WorkerError(f"asked a worker for {function!r}; it raised\n{value}")
        return value

    def facts(self) -> dict[str, Any]:
        """See ``Engine.facts``."""
        r, cluster = self.resources, cluster_facts(self._asked.labels)
        return {
            "kind": "ray",
            "workers": r.workers,
            "cpus": cluster["cpus"],
            "gpus": cluster["gpus"],
            "threads": r.threads_per_worker,
            "concurrency": r.concurrency,
            "gpus_per_worker": r.gpus_per_worker,
            "nodes": len(cluster["nodes"]),
        }

    def close(self) -> None:
        """Disconnect, if this engine was what connected."""
        if self._ours:
            disconnect()
        self._resolved, self._ours = None, False

    def __enter__(self) -> RayEngine:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def threads_limit(nodes: Iterable[dict[str, int]]) -> int | None:
    """CPUs that one worker can have: of the largest node, or, where there are GPUs, one GPU's share of the poorest."""
    nodes = list(nodes)
    shares = [node["cpus"] // node["gpus"] for node in nodes if node["gpus"]]
    limit = min(shares) if shares else max((node["cpus"] for node in nodes), default=0)
    return limit or None


def _answer(function: bytes, threads: int, gpus: float) -> tuple[str, Any]:
    limit_worker(threads, gpus)
    try:
        return "ok", pickle.loads(function)()
    except Exception:
        return "error", traceback.format_exc()
