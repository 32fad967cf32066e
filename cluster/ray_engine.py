"""The Ray engine: the actor pool behind the contract of ``cluster.engine``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from cluster.connect import cluster_facts, connect, disconnect
from cluster.contract import Done, Failed, K, R, T
from cluster.hiring import Waiting
from cluster.labels import told
from cluster.pool import Pool
from cluster.resources import ResolvedResources, Resources, resolve
from cluster.stopping import Stop


class RayEngine:
    """Workers are Ray actors, one per GPU or a few per machine; Ray is reached at the first use, not before."""

    def __init__(self, resources: Resources, address: str | None = None, cpus: int | None = None) -> None:
        self._asked = resources
        self._address = address
        self._cpus = cpus
        self._resolved: ResolvedResources | None = None
        self._ours = False
        self._running = False
        self._waiting = Waiting()

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
        resources = replace(self.resources, concurrency=min(at_once, self.resources.concurrency))
        pool = Pool(factory, resources, waiting=self._waiting.take())
        self._running = True
        try:
            yield from pool.run(keys, stop)
        finally:
            self._running = False

    def ask(self, function: Callable[[], T], beside: Callable[[], object] | None = None) -> T:
        """See ``Engine.ask``; what the function raises is a ``WorkerError`` with its traceback."""
        if self._running:
            raise RuntimeError("asked a worker while a stage runs and holds them all; ask before or after it")
        value: T = self._waiting.ask(function, self.resources, beside)
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
        """End workers that wait, and disconnect, if this engine was what connected."""
        if self._resolved is not None:
            self._waiting.dismiss()
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
