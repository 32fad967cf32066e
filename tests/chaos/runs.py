"""A small map made by commands of their own process, and what is compared of it."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import zarr

from cluster.logs import entries, runs
from cluster.storage import Storage
from tests.jobs.worlds import UTM51, World, image, moved, world

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 300.0
SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
"""Of all that is left to chance."""
SHORT = bool(os.environ.get("CHAOS_SHORT"))
"""Whether only the faults are tried that a check of every change has time for."""
ARRAYS = {
    "ingest": ("image", "valid", "quality/histogram", "quality/quicklook"),
    "infer": ("logits",),
    "mosaic": ("logit", "spread", "count", "latest"),
}


def small_country(folder: Path) -> World:
    """Write scenes of two UTM zones and a run of two networks in four views: some dozens of units of work."""
    here = world(folder, models=2, grid={"crs": "EPSG:5179", "resolution_m": 10})
    here.settings["infer"] = {"tile_px": 64, "overlap_px": 32, "tta": "flips4", "precision": "fp32", "batch": 1}
    array = image(430, 530)
    array[:, 200:260, 100:300] = 0
    here.scene("a-20230506", array)
    here.scene("b-20240102", image(310, 420, 2), transform=moved(-90, -120))
    here.scene("c-20240203", image(230, 250, 3), crs=UTM51)
    return here


@dataclass
class Command:
    """A command of Sandan that runs."""

    process: subprocess.Popen
    started_s: float = field(default_factory=time.monotonic)

    def wait(self) -> tuple[int, str]:
        """Return exit code and what was said; a run that hangs is killed, and says so."""
        try:
            _, told = self.process.communicate(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            for process in self.family():
                process.kill()
            raise AssertionError("the run hung") from None
        return self.process.returncode, told

    def family(self) -> list[psutil.Process]:
        """Return the process and all below it."""
        try:
            me = psutil.Process(self.process.pid)
            return [me, *me.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def workers(self) -> list[psutil.Process]:
        """Return the workers of Ray that hold a part of the run."""
        return [p for p in self.family() if title(p).startswith(("ray::Worker", "ray::RayTrainWorker"))]


def title(process: psutil.Process) -> str:
    """Return the command line of a process, in whose place Ray writes what it is; empty where it is gone."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def start(here: World, out: Path, *changes: str, options: Sequence[str] = (), path: Path | None = None) -> Command:
    """Start a map; `path` is put before all places of Python modules."""
    return begin("jobs.map", *here.command(f"out={out}", *changes), *options, path=path)


def begin(module: str, *words: str, path: Path | None = None) -> Command:
    """Start a module as a command; `path` is put before all places of Python modules."""
    # A cluster, or a token, of the test session is not the run's.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    environment["PYTHONPATH"] = os.pathsep.join(str(p) for p in (path, ROOT) if p is not None)
    process = subprocess.Popen(
        [sys.executable, "-m", module, *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    return Command(process)


def orphans(family: Sequence[psutil.Process], within_s: float = 120.0) -> list[str]:
    """Return those of a killed command's family that outlive it: agents of Ray look for their raylet once a minute."""
    ended_s = time.monotonic() + within_s
    while (left := [p for p in family if _lives(p)]) and time.monotonic() < ended_s:
        time.sleep(0.2)
    return [title(p) for p in left]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def digest(out: Path) -> dict[str, str]:
    """Return a sha256 of everything that a run made of pixels, by name; stores are compared as arrays, because their
    chunks may lie in any order in a shard."""
    found = {}
    for stage, names in ARRAYS.items():
        for store in sorted((out / stage).glob("*.zarr")):
            group = zarr.open_group(str(store), mode="r")
            for name in names:
                values = np.asarray(group[name][...])  # type: ignore[index]
                found[f"{stage}/{store.name}/{name}"] = hashlib.sha256(values.tobytes()).hexdigest()
    for file in sorted((out / "map").glob("*.tif")):
        found[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def units_done(out: Path) -> Iterator[str]:
    """Yield the units that all runs in a folder finished, as often as they did, from their logs."""
    for entry in events(out):
        if entry.get("event") == "done":
            yield f"{entry['stage']}/{entry['unit']}"


def events(out: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of the logs of all runs in a folder."""
    storage = Storage(str(out))
    for run in runs(storage):
        yield from entries(storage, run)


def litter(out: Path) -> list[str]:
    """Return half-written files."""
    return [p.name for p in out.rglob("*") if p.is_file() and (".partial-" in p.name or "#" in p.name)]
