"""What does the actor pool cost a unit, beside Ray Data and `ray.util.ActorPool`?

    python benchmarks/engine.py                      units of 0 and 100 ms, 1 to 4 actors, about ten minutes
    python benchmarks/engine.py --actors 1 --ms 0 5  others

    pool        Sandan's pool: two units in flight an actor, probes, limits, retries, hedging
    stage       the same with what a stage of a run adds: a marker for each unit (flushed to the disk), log, progress
    ActorPool   `ray.util.ActorPool`: one unit in flight an actor; a fault ends it
    data        Ray Data's `map_batches` on as many actors, a block a unit: the unit can be retried by itself
    data-free   the same with the blocks that Ray Data chooses: many units share a retry

A unit sleeps under a lock, as a network holds a GPU: two in flight do not run at once. The clock runs from the first
result to the last, so that no start counts. Overhead: what an actor's unit takes beyond its sleep. Driver: processor
time of the driver's process for a unit. Contenders take turns; medians of the rounds. At the end: what the driver takes
in a minute in which nothing happens.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cluster.connect import connect, disconnect
from cluster.logs import RunLog
from cluster.pool import Pool
from cluster.ray_engine import RayEngine
from cluster.resources import ResolvedResources, Resources
from cluster.storage import Storage
from cluster.units import grouped
from jobs.runner import run_stage

UNITS = {0.0: 1000, 0.1: 120}
"""How many units of these seconds are done: of 0 s by all actors together, else by each."""
CPUS = 8
"""In Ray's books: sleeping takes none."""


@dataclass(frozen=True)
class Sleep:
    """Work that takes a time and nothing else."""

    seconds: float

    def __call__(self) -> Callable[[str], dict[str, Any]]:
        """Prepare a worker."""
        lock = threading.Lock()

        def work(key: str) -> dict[str, Any]:
            if self.seconds:
                with lock:
                    time.sleep(self.seconds)
            return {"key": key}

        return work


class Sleeper:
    """The same, as Ray's own pools want it."""

    def __init__(self, seconds: float) -> None:
        self.work = Sleep(seconds)()

    def do(self, key: str) -> dict[str, Any]:
        """Answer a key."""
        return self.work(key)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Answer a batch of one row."""
        return {"key": [self.work(str(key))["key"] for key in batch["item"]]}


def run_pool(seconds: float, keys: list[str], actors: int) -> Iterator[Any]:
    """Yield the results of Sandan's pool."""
    yield from Pool(Sleep(seconds), ResolvedResources(actors, 0.0, 1, 2, 1.0)).run(keys)


class Noted(RayEngine):
    """The engine, which notes when its results came."""

    marks: list[tuple[float, float]]

    def run(self, *arguments: Any) -> Iterator[Any]:
        """Run as ever."""
        self.marks = []
        for result in super().run(*arguments):
            self.marks.append(mark(result))
            yield result


def run_whole_stage(seconds: float, keys: list[str], actors: int) -> Iterator[tuple[float, float]]:
    """Yield when the results of the pool came within a stage, with markers, log and progress."""
    engine = Noted(Resources(actors, 0.0, 1))
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
        storage = Storage(folder)
        with RunLog(storage, "benchmark"):
            run_stage(engine, storage, "sleep", Sleep(seconds), grouped(keys), "units")
    yield from engine.marks


def run_actor_pool(seconds: float, keys: list[str], actors: int) -> Iterator[Any]:
    """Yield the results of `ray.util.ActorPool`."""
    import ray
    from ray.util import ActorPool

    actor: Any = ray.remote(num_cpus=1)(Sleeper)
    pool = ActorPool([actor.remote(seconds) for _ in range(actors)])
    yield from pool.map_unordered(lambda one, key: one.do.remote(key), keys)


def run_data(seconds: float, keys: list[str], actors: int, blocks: int | None = None) -> Iterator[Any]:
    """Yield the rows of Ray Data's `map_batches`."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    rows = ray.data.from_items(keys, override_num_blocks=blocks)
    strategy = ray.data.ActorPoolStrategy(size=actors)
    arguments: dict[str, Any] = {"fn_constructor_args": (seconds,), "batch_size": 1, "num_cpus": 1}
    yield from rows.map_batches(Sleeper, compute=strategy, **arguments).iter_rows()


def run_data_by_unit(seconds: float, keys: list[str], actors: int) -> Iterator[Any]:
    """Yield the rows of Ray Data with a block for each unit."""
    yield from run_data(seconds, keys, actors, len(keys))


CONTENDERS: dict[str, Callable[[float, list[str], int], Iterator[Any]]] = {
    "pool": run_pool,
    "stage": run_whole_stage,
    "ActorPool": run_actor_pool,
    "data": run_data_by_unit,
    "data-free": run_data,
}


def mark(result: Any) -> tuple[float, float]:
    """Return the time at which a result came, and the driver's processor time until then."""
    return result if isinstance(result, tuple) else (time.monotonic(), time.process_time())


def measure(contender: str, seconds: float, actors: int, units: int) -> dict[str, float]:
    """Run a contender once."""
    marks = [mark(result) for result in CONTENDERS[contender](seconds, [f"unit-{n}" for n in range(units)], actors)]
    assert len(marks) == units, f"{contender} lost units"
    (first_s, before_s), (last_s, after_s) = marks[0], marks[-1]
    count, taken_s = units - 1, last_s - first_s
    return {
        "units_per_s": count / taken_s,
        "overhead_ms": 1000 * (taken_s * actors / count - seconds),
        "driver_ms": 1000 * (after_s - before_s) / count,
    }


def idle_cpu_s() -> float:
    """Return what a pool's driver takes in a minute in which its workers report nothing."""
    results = run_pool(15.0, ["a", "b", "c"], 1)
    next(results)
    began_s, cpu_s = time.monotonic(), time.process_time()
    list(results)
    return (time.process_time() - cpu_s) / (time.monotonic() - began_s) * 60


def text_of(row: dict[str, Any]) -> str:
    """Return a line of the table."""
    numbers = (row["units_per_s"], row["overhead_ms"], row["driver_ms"], row["times_actor_pool"])
    return f"| {row['ms']:g} | {row['actors']} | {row['contender']} | " + " | ".join(f"{n:.2f}" for n in numbers) + " |"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ms", type=float, nargs="+", default=[0.0, 100.0])
    parser.add_argument("--actors", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--write", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    root = str(Path(__file__).resolve().parents[1])
    here = str(Path(__file__).resolve().parent)
    os.environ["PYTHONPATH"] = os.pathsep.join([root, here, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    connect(cpus=CPUS)
    import ray

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    rows: list[dict[str, Any]] = []
    print("| ms | actors | contender | units/s | overhead, ms | driver, ms | times ActorPool |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for ms in arguments.ms:
        for actors in arguments.actors:
            units = UNITS.get(ms / 1000, 200) * (actors if ms else 1)
            found: dict[str, list[dict[str, float]]] = {}
            for _ in range(arguments.rounds):
                for contender in arguments.contenders:
                    found.setdefault(contender, []).append(measure(contender, ms / 1000, actors, units))
            mid = {c: {k: statistics.median(one[k] for one in all_) for k in all_[0]} for c, all_ in found.items()}
            base = mid["ActorPool" if "ActorPool" in mid else arguments.contenders[0]]["units_per_s"]
            for contender, numbers in mid.items():
                row = {"ms": ms, "actors": actors, "contender": contender, "units": units, **numbers}
                row["times_actor_pool"] = numbers["units_per_s"] / base
                rows.append(row)
                print(text_of(row), flush=True)
    idle = idle_cpu_s()
    print(f"driver, idle: {idle:.2f} s a minute")
    facts = {"date": datetime.now(UTC).date().isoformat(), "cores": os.cpu_count(), "ray": ray.__version__}
    arguments.write.write_text(json.dumps({**facts, "idle_cpu_s_a_minute": idle, "rows": rows}, indent=1) + "\n")
    disconnect()


if __name__ == "__main__":
    main()
