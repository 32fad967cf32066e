"""How Infer runs its networks on a worker's machine: measured once for bundles and machine, and remembered there.

What was found lies in the user's cache folder, `$XDG_CACHE_HOME/sandan/tuning/<key>.json` (`~/.cache` by default), one
file for everything that a choice depends on. Files may be removed at any time: then it is measured again. A run keeps
its own decision (jobs/infer.py), so nothing here moves a run that has begun.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import psutil

from cluster.storage import Storage
from jobs.bundles import read_bundles
from jobs.config import VIEWS
from jobs.estimate import activation_bytes
from jobs.plan import Precision, key_of
from jobs.room import GPUS
from models.card import read_card

CONTRACT = 3
"""Raised by hand when the same networks would be measured in another way, or run in another way."""
BATCHES = {"cpu": (1, 2, 4), "cuda": (1, 2, 4, 8, 16)}
"""Windows a pass that are tried, by kind of device."""
LIMIT_S = 5.0
"""About how long measuring may take, beside loading the networks."""
MEMORY_SHARE = 0.5
"""Of the memory that is free, how much one pass may take."""
FORMATS = ("bf16", "fp32")
"""What is tried where it is native. Not fp16: past 65,504 it is infinite, and a run must not end on its last window."""


@dataclass(frozen=True)
class Tuned:
    """A decision, and what it rests on."""

    precision: Precision
    trials: tuple[dict[str, Any], ...]
    """What was measured, in order: precision, batch, side_px (of the tiles that were timed) and windows_per_s."""
    seconds: float
    """That measuring took; 0 where it was remembered, or there was nothing to choose."""


@dataclass(frozen=True)
class Tune:
    """A question for a worker: how are these networks run fastest where you are?"""

    bundles: tuple[str, ...]
    tile_px: int
    tta: Literal["none", "flips4"]
    average: Literal["logit", "probability"]
    precision: str
    """A number format, or "auto"."""
    batch: int | Literal["auto"]
    unit_windows: int
    """Windows of a unit of work: a pass of more would be filled up with copies."""
    gpu: bool
    """False keeps to the CPU of a machine that has a GPU."""
    threads: int | Literal["auto"]
    """Of torch; "auto" takes those that the worker was given."""

    def recalled(self) -> Tuned | None:
        """Return what this machine remembers of its CPU, without loading torch; None where it has to be asked."""
        return None if self.gpu and GPUS.is_dir() else recall(self._asked("cpu")[0])

    def __call__(self) -> Tuned:
        """Answer from the cache, or by measuring.

        Raises:
            ValueError: a number format that this machine does not compute natively.
        """
        from cluster.heap import give_memory_back, keep_memory
        from cluster.openmp import spin_briefly

        spin_briefly()
        import torch

        from models.bundle import load_files
        from models.memory import give_back
        from models.precision import choose, supports
        from models.tuning import Choice, search, timer

        if self.threads != "auto":
            torch.set_num_threads(self.threads)
        device = "cuda" if self.gpu and torch.cuda.is_available() else "cpu"
        formats = tuple(name for name in FORMATS if supports(device, name))
        if self.precision != "auto":
            formats = (choose(device, self.precision),)
        file, asked = self._asked(device)
        known = recall(file)
        if known is not None:
            return known
        began = time.monotonic()
        keep_memory()  # as workers of Infer do

        def tried() -> Choice:
            members = [load_files(files) for files in read_bundles(self.bundles)]
            measure = timer(members, self.tta, self.average, device)
            return search(measure, formats, asked["batches"], self.tile_px, LIMIT_S)

        # On a thread that ends, and with it OpenMP's team of it: this process may go on to work, on another thread.
        with ThreadPoolExecutor(1, "trials") as thread:
            choice = thread.submit(tried).result()
        found = Tuned(
            Precision(device, choice.setting.precision, choice.setting.batch),
            tuple(
                {**asdict(trial.setting), "side_px": trial.side_px, "windows_per_s": 1 / trial.window_s}
                for trial in choice.trials
            ),
            time.monotonic() - began,
        )
        gc.collect()  # it goes on with as little as if it had not measured
        give_back(torch.device(device))
        give_memory_back()
        if choice.trials:  # where there was no time to try, the machine may only have been busy
            remember(file, found, asked)
        return found

    def _asked(self, device: str) -> tuple[Path, dict[str, Any]]:
        """Return everything that the answer depends on, the batches to try among it, and the file of that."""
        given = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
        threads = given if self.threads == "auto" else self.threads
        cards = [read_card(Storage(path).get("card.json")) for path in self.bundles]
        hungriest = activation_bytes(cards, "fp32")
        pass_bytes = VIEWS[self.tta] * self.tile_px**2 * hungriest
        fitting = free_bytes(device, threads) * MEMORY_SHARE
        batches = tuple(n for n in BATCHES[device] if n == 1 or (n * pass_bytes <= fitting and n <= self.unit_windows))
        asked = {
            **asdict(self),
            "bundles": [card.digest() for card in cards],
            "machine": machine(device, threads),
            "batches": batches if self.batch == "auto" else (self.batch,),
        }
        return cache_folder() / f"{key_of(CONTRACT, asked)}.json", asked


def load_libraries() -> None:
    """Import what Infer's networks need: what workers do that wait while one of them measures."""
    import models.adaptive
    import models.predict  # noqa: F401


def machine(device: str, threads: int) -> dict[str, Any]:
    """Return what a measured speed depends on, beside the networks."""
    facts: dict[str, Any] = {
        "device": device,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "torch": version("torch"),
    }
    if device == "cuda":
        import torch

        facts |= {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
    return facts


def free_bytes(device: str, threads: int) -> float:
    """Return the memory that one worker may count on: of its GPU, or its threads' share of the machine's."""
    if device == "cuda":
        import torch

        return float(torch.cuda.mem_get_info()[0])
    return float(psutil.virtual_memory().available) * min(1.0, threads / (os.cpu_count() or 1))


def cache_folder() -> Path:
    """Return where choices are remembered; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return Path(base if os.path.isabs(base) else os.path.expanduser("~/.cache")) / "sandan" / "tuning"


def recall(file: Path) -> Tuned | None:
    """Return what was remembered, or None: no file, or one that is not whole."""
    try:
        kept = json.loads(file.read_text())
        how = Precision(**kept["precision"])
        if how.batch < 1 or how.precision not in FORMATS or how.device not in BATCHES:
            return None
        return Tuned(how, tuple(kept["trials"]), 0.0)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(file: Path, found: Tuned, asked: Mapping[str, Any]) -> None:
    """Keep what was found, with what was asked for people to read; where nothing can be written, it is not kept."""
    kept = {"precision": asdict(found.precision), "trials": found.trials, "seconds": found.seconds, "asked": asked}
    beside = file.with_name(f".{file.stem}.{uuid.uuid4().hex[:8]}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(kept, indent=1))
        beside.replace(file)  # whole, or not there: two runs may measure at once
    except OSError:
        with suppress(OSError):
            beside.unlink()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
