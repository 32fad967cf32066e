"""The engines by name: what users of this package import."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from cluster.contract import Done, Engine, Failed, FatalFault, WorkerError
from cluster.resources import ResolvedResources, Resources, resolve
from cluster.serial import SerialEngine
from cluster.stopping import Stop

__all__ = [
    "ENGINES",
    "Done",
    "Engine",
    "Failed",
    "FatalFault",
    "ResolvedResources",
    "Resources",
    "SerialEngine",
    "Stop",
    "WorkerError",
    "open_engine",
    "resolve",
]


def _open_serial(resources: Resources, address: str | None) -> Engine:
    return SerialEngine(resources.threads_per_worker, resources.concurrency)


def _open_ray(resources: Resources, address: str | None) -> Engine:
    from cluster.ray_engine import RayEngine

    return RayEngine(resources, address)


ENGINES: dict[str, Callable[[Resources, str | None], Engine]] = {"serial": _open_serial, "ray": _open_ray}


def open_engine(kind: str, resources: Resources | None = None, address: str | None = None) -> Engine:
    """The engine of a name in ``ENGINES``; ``ValueError`` names the nearest one for any other."""
    if kind not in ENGINES:
        near = difflib.get_close_matches(kind, ENGINES, n=1, cutoff=0.0)[0]
        raise ValueError(f"asked for engine {kind!r}; known are {', '.join(ENGINES)}; did you mean {near!r}?")
    return ENGINES[kind](resources or Resources(), address)
