"""What a user asks for and what a run uses: workers, GPUs, threads; ``auto`` decided once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cluster.labels import Selector, told

Auto = Literal["auto"]


@dataclass(frozen=True)
class Resources:
    """What a user asks for; ``auto`` is resolved against the machine or cluster, once, when the run is planned."""

    workers: int | Auto = "auto"
    """Worker processes over the whole cluster."""
    gpus_per_worker: float | Auto = "auto"
    """GPUs of one worker: 0, a fraction (several workers share one), or whole ones."""
    threads_per_worker: int | Auto = "auto"
    """CPU threads that one worker computes with, and the CPUs it reserves."""
    concurrency: int = 4
    """Units that one worker works on at once, at most: stages ask for two or more, so that one reads while another
    computes."""
    unit_limit_s: float | None = None
    """How long a unit may take before its worker is killed and the unit blamed; None: without limit. Not for the serial
    engine, which has no worker to kill."""
    start_limit_s: float | None = 900.0
    """How long a worker may take from the start of its process until it is ready (imports, loading models) before it is
    killed and replaced; None: without limit. To wait for a machine does not count."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What a node must be labelled with to get a worker, in Ray's words: ``spot``, ``!spot``, ``in(a, b)``."""
    autoscaling: bool = False
    """Whether machines come when workers wait for them: then numbers are not held against what is there now, and none
    may be ``auto``."""

    def __post_init__(self) -> None:
        for name, least in (("workers", 1), ("gpus_per_worker", 0), ("threads_per_worker", 1), ("concurrency", 1)):
            value = getattr(self, name)
            if value != "auto" and not (isinstance(value, int | float) and value >= least):
                raise ValueError(f"{name} is {value!r}; it must be at least {least}, or 'auto' where that is allowed")
        for name in ("unit_limit_s", "start_limit_s"):
            limit_s = getattr(self, name)
            if limit_s is not None and not limit_s > 0:
                raise ValueError(f"{name} is {limit_s!r}; give seconds above 0, or None for no limit")
        gpus = self.gpus_per_worker
        if gpus != "auto" and gpus > 1 and gpus != int(gpus):
            raise ValueError(f"gpus_per_worker is {gpus}; above 1 it must be a whole number")
        for name, value in self.labels.items():
            Selector.parse(name, value)
        asked = {n: getattr(self, n) for n in ("workers", "gpus_per_worker", "threads_per_worker")}
        if self.autoscaling and "auto" in asked.values():
            autos = ", ".join(name for name, value in asked.items() if value == "auto")
            raise ValueError(
                f"autoscaling: {autos} cannot be 'auto' where machines come with the work; say how many workers there "
                "may be, and what each gets"
            )


@dataclass(frozen=True)
class ResolvedResources:
    """What a run uses: every number decided."""

    workers: int
    gpus_per_worker: float
    threads_per_worker: int
    concurrency: int
    cpus_per_worker: float
    """CPUs that one worker reserves: its threads, or less where more workers were asked for than there are CPUs."""
    unit_limit_s: float | None = None
    """How long a unit may take before its worker is killed; None: without limit."""
    start_limit_s: float | None = 900.0
    """How long the start of a worker may take before it is killed; None: without limit."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What a node must be labelled with to get a worker."""


def resolve(resources: Resources, cpus: int, gpus: int, threads_limit: int | None = None) -> ResolvedResources:
    """Decide every ``auto``: one worker per GPU, else a few workers that share the CPUs evenly.

    Args:
        resources: What was asked for; explicit numbers win.
        cpus: CPUs of the whole cluster.
        gpus: GPUs of the whole cluster.
        threads_limit: CPUs that one worker can have at most, because a worker lives on one node.

    Raises:
        ValueError: More GPUs are asked for than exist.
    """
    r = resources
    rest = (r.unit_limit_s, r.start_limit_s, r.labels)
    if r.autoscaling:
        workers, gpus_each, threads = (int(r.workers), float(r.gpus_per_worker), int(r.threads_per_worker))
        return ResolvedResources(workers, gpus_each, threads, r.concurrency, float(threads), *rest)
    cpus = max(1, cpus)
    per_worker = (1.0 if gpus else 0.0) if r.gpus_per_worker == "auto" else float(r.gpus_per_worker)
    if r.workers != "auto":
        workers = r.workers
    elif per_worker:
        workers = max(1, int(gpus / per_worker))
    else:
        workers = min(cpus, max(2, cpus // 4))
    if per_worker * workers > gpus:
        raise ValueError(
            f"asked for {workers} workers with {per_worker:g} GPU each; found {gpus} GPU{told(r.labels)}; "
            "lower workers or gpus_per_worker, set gpus_per_worker to 0 to run on CPUs, or autoscaling where machines "
            "come with the work"
        )
    if r.threads_per_worker != "auto":
        threads = r.threads_per_worker
    else:
        threads = max(1, min(cpus // workers, threads_limit or cpus))
    return ResolvedResources(workers, per_worker, threads, r.concurrency, _cpus_each(workers, threads, cpus), *rest)


def _cpus_each(workers: int, threads: int, cpus: int) -> float:
    # Workers above what fits would wait for ever for a place. Sharing CPUs is slow, but it is what was asked for.
    if workers * threads <= cpus:
        return float(threads)
    share = cpus / workers
    return float(int(share)) if share >= 1 else int(share * 1000) / 1000
