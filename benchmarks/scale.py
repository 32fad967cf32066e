"""Does the driver stand all land of the Earth? 7.4 million windows, a stage that does nothing, and the real rest.

    python benchmarks/scale.py                    all parts: about twenty minutes and 4 GB of disk
    python benchmarks/scale.py --parts plan ray   some of them

11,840 scenes of 10,980 px in the 60 zones of UTM, 625 windows of 512 px each (overlap 64), in shards of 4 x 4. No scene
is opened: plans of scenes are made as values. All else is real: the plan of logits and of the map, `run_stage`, the
engines, the logit stores that are made before their first unit, and a marker for each unit on disk. A unit does nothing
and returns a record as Infer does.

    plan     what a command does before it works: logits, map, the estimate of every stage; each on its own
    serial   Infer up to 50 %, 99 % and 100 % of the units in processes of their own, so that the later ones resume:
             seconds until the first unit is handed out, units/s, memory of the driver after every tenth
    ray      a tenth of the scenes on two workers
    s3       a hundredth on an object store that runs here (moto): calls of a resume
    headers  `plan_run` on small GeoTIFFs, with and without threads, on disk and behind an object store that waits
             50 ms before each answer

Memory is the resident set of the driver alone. What was written stays in `--out`; `rm -r` takes minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pyproj

from cluster.engine import Done, Engine, Failed, Resources, open_engine
from cluster.storage import Storage
from cluster.units import unfinished
from jobs import infer, ingest, mosaic, plan, publish
from jobs.config import RunConfig
from jobs.decisions import decide
from jobs.estimate import Estimate
from jobs.infer_stage import Infer
from jobs.modalities import Modalities
from jobs.runner import markers_of, run_stage
from models.card import Card
from tiler.grids import MapGrid, PixelGrid
from tiler.logit_store import WindowShard
from tiler.scenes import Piece, Scene
from tiler.sensors import load_sensor

SCENES, SIDE_PX, WINDOWS = 11_840, 10_980, 625
COLUMNS = 3
"""Scenes beside each other in a zone."""
STEP_M = 109_800.0
MODELS = {"unetpp": "unetplusplus", "deeplab": "deeplabv3plus"}
PRECISION = plan.Precision("cpu", "fp32", 1)
LEGS = (0.5, 0.99, 1.0)
PARTS = ("plan", "serial", "ray", "s3", "headers")


def memory_bytes() -> int:
    """Return the resident memory of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def run_of(out: str, bundles: Path, scenes: int) -> plan.Run:
    """Return a planned run whose scenes exist as values only."""
    channels = ("red", "green", "blue", "nir", "mask")
    for name, architecture in MODELS.items():
        folder = bundles / name
        folder.mkdir(parents=True, exist_ok=True)
        numbers = {"offset": (0.0,) * 5, "scale": (1.0,) * 5}
        facts = {"architecture": architecture, "encoder": "efficientnet-b5", "sensor": "SN10", "weights": "none"}
        facts |= {"training_data": "none", "weights_sha256": "0" * 64}
        card = Card(name=name, channels=channels, classes=("industrial",), **numbers, **facts)
        (folder / "card.json").write_text(card.model_dump_json())
        (folder / "weights.safetensors").touch()
    settings = {"precision": "fp32", "batch": 1}
    models = [str(bundles / name) for name in MODELS]
    config = RunConfig(out=out, scenes="scenes/*.tif", sensor="SN10", models=models, infer=settings)
    sensor, world = load_sensor("SN10"), MapGrid(pyproj.CRS.from_epsg(6933).to_wkt(), (10.0, 10.0))
    zones = [pyproj.CRS.from_epsg(32601 + zone).to_wkt() for zone in range(60)]
    plans = tuple(plan._scene_plan(_scene(number, sensor, zones), None) for number in range(scenes))
    return plan.Run(config, sensor, plans, world, None, Modalities((), ()))


def _scene(number: int, sensor: Any, zones: list[str]) -> Scene:
    zone, place = number % len(zones), number // len(zones)
    row, col = divmod(place, COLUMNS)
    x, y = 335_400.0 + (col - 1) * STEP_M, STEP_M * (row + 1)
    grid = PixelGrid(zones[zone], (10.0, 0.0, x, 0.0, -10.0, y), SIDE_PX, SIDE_PX)
    name = f"S2A_T{zone + 1:02}_{place:03}_20240520"
    bands = tuple((band, band + 1) for band in range(len(sensor.bands)))
    piece = Piece(f"s3://scenes/{name}.tif", bands, grid.box, 0.0)
    return Scene(name, None, sensor, grid, "uint16", (piece,), f"digest of {name}", 10**9)


@dataclass(frozen=True)
class Nothing:
    """Infer without its networks: travels with all that Infer travels with, and returns a record as Infer does."""

    infer: Infer

    def __call__(self) -> Callable[[WindowShard], dict]:
        """Prepare a worker."""

        def work(shard: WindowShard) -> dict:
            windows = min(4, 25 - 4 * shard.row) * min(4, 25 - 4 * shard.col)
            facts = dict.fromkeys(("bytes_read", "bytes_written", "read_s", "forward_s", "wait_s", "write_s"), 0)
            return {"windows": windows, "ground_km2": 20.07 * windows, **facts, "peak_memory_bytes": 0}

        return work


class Watched:
    """An engine that is watched: when the first unit is asked for, and the driver's memory after every tenth."""

    def __init__(self, engine: Engine, units: int, before: int, until: int) -> None:
        self.engine, self.units, self.before, self.until = engine, units, before, until
        self.first_s, self.seconds, self.cpu_s, self.done = 0.0, 0.0, 0.0, before
        self.memory_bytes: dict[str, int] = {}

    def run(self, factory: Any, keys: Any, stop: Any = None, at_once: int = 2) -> Iterator[Done | Failed]:
        """Run units until so many are done."""
        first = next(keys)
        self.first_s, cpu_s = time.monotonic(), time.process_time()
        started = self.first_s
        rest = islice((key for part in ((first,), keys) for key in part), self.until - self.before)
        for result in self.engine.run(factory, rest, stop, at_once):
            if isinstance(result, Failed):
                raise SystemExit(result.error)
            self.done += 1
            if self.done % max(1, self.units // 10) == 0:
                self.memory_bytes[f"{round(100 * self.done / self.units)} %"] = memory_bytes()
            yield result
        self.seconds, self.cpu_s = time.monotonic() - started, time.process_time() - cpu_s

    def facts(self) -> dict[str, Any]:
        """Return those of the engine."""
        return self.engine.facts()


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a function returns, and its seconds."""
    started = time.monotonic()
    return function(), time.monotonic() - started


def measure_plan(run: plan.Run) -> dict[str, Any]:
    """Plan as a command does before it starts; the estimates list the markers of each stage."""
    before = memory_bytes()
    logits, logits_s = timed(lambda: run.logits(PRECISION))
    map_plan, map_s = timed(lambda: run.mosaic(logits))
    planned = memory_bytes() - before
    stages: dict[str, Callable[[plan.Run], Estimate]] = {
        "ingest": ingest.estimate,
        "infer": infer.estimate,
        "mosaic": mosaic.estimate,
        "publish": publish.estimate,
    }
    found = {name: timed(lambda estimate=estimate: estimate(run)) for name, estimate in stages.items()}
    return {
        "logits_s": logits_s,
        "map_s": map_s,
        "plans_bytes": planned,
        "cells": len(map_plan.tasks),
        "estimates_s": {name: seconds for name, (_, seconds) in found.items()},
        "units": {name: [e.units, e.done] for name, (e, _) in found.items()},
        "memory_bytes": memory_bytes(),
    }


def measure_infer(run: plan.Run, kind: str, until: float) -> dict[str, Any]:
    """Run Infer until a share of all units is done; what is done already is found by listing."""
    started, began = time.monotonic(), memory_bytes()
    plans = run.logits(PRECISION)
    logits_s = time.monotonic() - started
    groups = [p.shards() for p in plans]
    masks, listing_s = timed(lambda: unfinished(markers_of(run.storage, "infer"), groups))
    units, left = sum(map(len, groups)), sum(map(sum, masks))
    del masks
    by_name = {p.name: p for p in plans}
    cores = os.cpu_count() or 1
    with open_engine(kind, Resources(workers=cores, threads_per_worker=1)) as engine:
        engine.facts()  # starts Ray
        watched = Watched(engine, units, units - left, round(until * units))
        asked = time.monotonic()
        outcome = run_stage(
            watched,  # type: ignore[arg-type]
            run.storage,
            "infer",
            Nothing(infer.infer_stage(run, plans, PRECISION)),
            groups,
            "window shards",
            prepare=lambda name: infer.make_logit_store(run, by_name[name]),
        )
    return {
        "units": units,
        "before": outcome.before,
        "done": watched.done,
        "logits_s": logits_s,
        "listing_s": listing_s,
        "first_unit_s": watched.first_s - asked,
        "seconds": watched.seconds,
        "driver_cpu_s": watched.cpu_s,
        "units_per_s": (watched.done - outcome.before) / watched.seconds,
        "windows_per_s": outcome.facts["windows"] / watched.seconds,
        "memory_bytes": {"planned": began, **watched.memory_bytes, "end": memory_bytes()},
    }


def measure_calls(run: plan.Run) -> dict[str, Any]:
    """Mark all but the last hundredth of the units, and count what a resume asks of its storage."""
    plans = run.logits(PRECISION)
    keys = [key for p in plans for key in p.shards()]
    markers = markers_of(run.storage, "infer")
    done = len(keys) - len(keys) // 100
    _, marking_s = timed(lambda: [markers.create(key.unit, {"unit": key.unit}) for key in keys[:done]])
    calls: dict[str, int] = {}
    for name in ("children", "list", "get", "exists", "size", "create", "put"):
        _count(name, calls)
    masks, listing_s = timed(lambda: unfinished(markers, [p.shards() for p in plans]))
    left = sum(map(sum, masks))
    assert left == len(keys) - done
    return {"units": len(keys), "left": left, "calls": calls, "listing_s": listing_s, "markers_per_s": done / marking_s}


def _count(name: str, calls: dict[str, int]) -> None:
    method = getattr(Storage, name)

    def counted(self: Storage, *arguments: Any) -> Any:
        calls[name] = calls.get(name, 0) + 1
        return method(self, *arguments)

    setattr(Storage, name, counted)


def apart(*words: str) -> dict[str, Any]:
    """Run a part in a process of its own, so that its memory is its own; return what it found."""
    done = subprocess.run([sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def measure(part: str, folder: Path, scenes: int) -> dict[str, Any]:
    """Run one part."""
    folder = folder / part
    shutil.rmtree(folder, ignore_errors=True)
    common = ["--scenes", str(scenes), "--out", str(folder)]
    if part in ("plan", "serial"):
        apart("--one", "decide", *common)  # asks torch what the machine can do: in a process of its own
    if part == "plan":
        return apart("--one", "plan", *common)
    if part == "serial":
        legs = {f"{leg:.0%}": apart("--one", "serial", "--until", str(leg), *common) for leg in LEGS}
        return {"legs": legs, "plan again": apart("--one", "plan", *common)}
    if part == "ray":
        return apart("--one", "ray", "--scenes", str(scenes // 10), "--out", str(folder))
    from scale_storage import measure_headers, object_store

    if part == "headers":
        return measure_headers(folder)
    with object_store() as bucket:
        return apart("--one", "s3", "--scenes", str(scenes // 100), "--out", str(folder), "--bucket", bucket)


def main() -> None:
    """Run the parts, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark-scale"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, default=1.0, help=argparse.SUPPRESS)
    parser.add_argument("--bucket", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = arguments.out.resolve()
    if arguments.one:
        out = f"{arguments.bucket}/run" if arguments.bucket else str(folder / "run")
        run = run_of(out, folder / "bundles", arguments.scenes)
        if arguments.one == "decide":
            found = {"precision": str(decide(run, open_engine("serial")))}
        elif arguments.one == "plan":
            found = measure_plan(run)
        elif arguments.one == "s3":
            found = measure_calls(run)
        else:
            found = measure_infer(run, arguments.one, arguments.until)
        print(json.dumps({"scenes": arguments.scenes, "windows": arguments.scenes * WINDOWS, **found}))
        return
    file = Path(__file__).with_suffix(".json")
    kept = json.loads(file.read_text()) if file.is_file() else {}
    for part in arguments.parts:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        kept[part] = {"date": now, "cores": os.cpu_count(), **measure(part, folder, arguments.scenes)}
        print(json.dumps({part: kept[part]}, indent=1), flush=True)
        file.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
