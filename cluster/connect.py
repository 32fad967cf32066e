"""One way into Ray: join the cluster that was named, or start a small one of our own; never whatever lies around."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from cluster.heap import one_heap_for_children
from cluster.labels import fit
from cluster.token import private_token

OBJECT_STORE_BYTES = 200_000_000
"""Only keys and small records travel, so an embedded Ray needs little shared memory."""

logger = logging.getLogger(__name__)


def connect(address: str | None = None, cpus: int | None = None) -> dict[str, Any]:
    """Connect this process to Ray and return ``{"address", "cpus", "gpus", "nodes"}``; again is free.

    Measured on 2 shared cores: 4 to 8 s for an embedded Ray. ``PYTHONDONTWRITEBYTECODE`` costs nothing as long as
    Ray was installed with its bytecode (pip does, ``uv`` needs ``--compile-bytecode``); else about 20 s.

    Args:
        address: A cluster (``host:port``, ``ray://...``, ``auto``); ``None`` takes ``RAY_ADDRESS``, and without it
            an embedded Ray is started.
        cpus: CPUs of the embedded Ray; ``None`` is all of this machine.

    Raises:
        ConnectionError: No cluster answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Read when Ray is imported: its future default, and without it every start prints a warning.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    private_token(embedded=address == "local")
    import ray

    if not ray.is_initialized():
        _start(ray, address, cpus)
    return cluster_facts()


def _start(ray: Any, address: str, cpus: int | None) -> None:
    # Ours is 'local' in so many words: without an address Ray joins what a file in its temp folder says, however stale.
    own = {"num_cpus": cpus, "object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
    options: dict[str, Any] = own if address == "local" else {}
    if address == "local":  # its workers inherit the environment
        one_heap_for_children()
        # By itself Ray runs workers at a niceness of 15: whatever else runs on the machine, they get what it leaves.
        os.environ.setdefault("RAY_worker_niceness", "0")
    try:
        with warnings.catch_warnings(), _own_signals():
            warnings.simplefilter("ignore")  # Ray's announcements of its own future
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (ConnectionError, TimeoutError) as error:
        raise ConnectionError(
            f"asked for the Ray cluster at {address!r}; found none ({error}); "
            "start one, correct the address or RAY_ADDRESS, or leave both out to use this machine"
        ) from error


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Put back what SIGTERM did before: Ray puts its own handler, and in the end none, in the place of ours."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def disconnect() -> None:
    """Leave Ray; an embedded one stops. Free where there is nothing to leave."""
    import ray

    if ray.is_initialized():
        with _own_signals():
            ray.shutdown()


def cluster_facts(labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    """``address``, ``cpus`` and ``gpus`` of all nodes that are alive, and per node; call after ``connect``.

    Args:
        labels: what nodes must be labelled with to be counted, as in ``Resources``.
    """
    import ray

    list_nodes: Any = ray.nodes
    nodes = [
        {"cpus": int(node["Resources"].get("CPU", 0)), "gpus": int(node["Resources"].get("GPU", 0))}
        for node in list_nodes()
        if node["Alive"] and fit(labels or {}, node["Labels"])
    ]
    return {
        "address": ray.get_runtime_context().gcs_address,
        "cpus": sum(node["cpus"] for node in nodes),
        "gpus": sum(node["gpus"] for node in nodes),
        "nodes": nodes,
    }
