"""Whether a run fits this machine: refused before the first worker starts, with what would fit."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import psutil

from cluster.engine import resolve
from jobs.config import EngineConfig
from jobs.estimate import BASE_MEMORY_BYTES, RAY_MEMORY_BYTES, Estimate, format_bytes
from jobs.pace import Crew

CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where containers (version 2, version 1) say how much memory they may use."""
GPUS = Path("/proc/driver/nvidia/gpus")
"""A folder for each GPU of this machine; absent without."""

PROCESSOR = Path("/proc/cpuinfo")
BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16", "svebf16"}
"""Instructions that multiply bfloat16, as Linux names them; `models.precision` has torch's names for the same."""


def computes_bf16() -> bool | None:
    """Return whether the CPU of this machine computes bfloat16 natively, without torch; None where nobody says."""
    try:
        lines = PROCESSOR.read_text().splitlines()
    except OSError:
        return None
    flags = [line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))]
    return not BF16_FLAGS.isdisjoint(flags[0]) if flags else None


def free_bytes_at(folder: str | Path) -> int:
    """Return how much is free on the disk where a folder is, or will be."""
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def check_disk(estimates: Sequence[Estimate]) -> None:
    """Refuse a run whose output cannot fit.

    Raises:
        OSError: less is free than the stages will write, before compression (halved, which it always reaches).
    """
    for folder in {e.folder for e in estimates if e.folder}:
        wanted, free = sum(e.write_bytes for e in estimates if e.folder == folder) // 2, free_bytes_at(folder)
        if wanted > free:
            raise OSError(
                f"out: {folder} has {format_bytes(free)} free, the run will write about {format_bytes(wanted)}; "
                f"free some, or choose another folder"
            )


def check_memory(estimates: Sequence[Estimate], engine: EngineConfig) -> None:
    """Refuse a run whose workers cannot fit the memory of this machine.

    Of other machines nothing is known here; and with GPUs, the larger part of what a plan counts lies in theirs.

    Raises:
        OSError: names the stage, what it takes, what there is and how many workers would fit.
    """
    workers = workers_here(engine)
    if workers is None:
        return
    beside = BASE_MEMORY_BYTES + RAY_MEMORY_BYTES if engine.kind == "ray" else 0
    there = machine_memory()
    for one in estimates:
        at_once = min(workers, one.workers_at_most or workers)
        wanted = beside + at_once * one.peak_memory_bytes
        if one.done < one.units and wanted > there:
            fitting = max(0, there - beside) // max(1, one.peak_memory_bytes)
            advice = f"--set engine.workers={fitting}" if 0 < fitting < at_once else "smaller tiles or batches"
            raise OSError(
                f"memory: {one.stage} takes about {format_bytes(one.peak_memory_bytes)} a worker, "
                f"{format_bytes(wanted)} in all for {at_once}; this machine has {format_bytes(there)}; try {advice}, "
                f"or a larger machine"
            )


def crew_here(engine: EngineConfig) -> Crew | None:
    """Return who will do the work of a run, or None where only a cluster elsewhere knows."""
    cpus, threads = os.cpu_count() or 1, engine.threads_per_worker
    if engine.kind == "serial":
        return Crew(1, cpus if threads == "auto" else min(threads, cpus))
    if engine.address or os.environ.get("RAY_ADDRESS"):
        return None if engine.workers == "auto" or threads == "auto" else Crew(engine.workers, threads)
    try:
        found = resolve(engine.resources(), cpus, len(list(GPUS.iterdir())) if GPUS.is_dir() else 0)
    except ValueError:  # more GPUs than there are: the engine will say so
        return None
    return Crew(found.workers, min(found.threads_per_worker, cpus / found.workers))


def workers_here(engine: EngineConfig) -> int | None:
    """Return how many workers the CPUs of this machine will have, or None where they are elsewhere or on GPUs."""
    if GPUS.is_dir() and engine.gpus_per_worker != 0:
        return None
    if engine.kind == "serial":
        return 1
    if engine.address or os.environ.get("RAY_ADDRESS") or engine.gpus_per_worker not in ("auto", 0):
        return None
    return resolve(engine.resources(), os.cpu_count() or 1, gpus=0).workers


def machine_memory() -> int:
    """Return the memory of this machine, or of the container that this process lives in, in bytes."""
    limits = [psutil.virtual_memory().total]
    for path in CGROUP_LIMITS:
        try:
            limits.append(int(Path(path).read_text()))
        except (OSError, ValueError):  # absent, or "max"
            continue
    return min(limits)
