"""Decisions: what `infer` leaves to "auto", resolved once for a run and kept with it.

Without an engine nothing is measured: a dry run says what is assumed.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Protocol

from cluster.engine import Engine
from cluster.storage import Storage
from jobs.config import RunConfig
from jobs.pace import Crew, Pace, pace_of_trials
from jobs.plan import Precision, key_of
from jobs.room import GPUS, computes_bf16, crew_here
from jobs.tuning import Tune, load_libraries
from models.card import read_card

WINDOWS_PER_BATCH = {"cpu": 1, "cuda": 8}
"""`batch: auto` by kind of device where nothing is measured; each window counts once for each of its views."""


def probe() -> tuple[str, str]:
    """Return the device and the precision that suit the machine this runs on."""
    import torch

    from models.precision import choose

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return device, choose(device)


def guess() -> tuple[str, str]:
    """Return what `probe` says, without loading torch where that can be known: a plan is there seconds earlier."""
    native = None if GPUS.is_dir() else computes_bf16()
    return probe() if native is None else ("cpu", "bf16" if native else "fp32")


class Configured(Protocol):
    """What a decision is made for and kept with: a run of scenes, or of a data set."""

    @property
    def config(self) -> RunConfig:
        """Its configuration."""
        ...

    @property
    def storage(self) -> Storage:
        """Its folder."""
        ...

    @property
    def unit_windows(self) -> int:
        """Windows of its largest unit of work: a pass of more would be filled up with copies."""
        ...


def decide(run: Configured, engine: Engine | None) -> Precision | None:
    """Resolve what `infer` leaves to "auto", once: the decision is kept with the run and found again on resume.

    It is found whoever resumes, with however many workers and threads: it depends on what is computed, and on whether
    GPUs may be used and where. What is measured differs from time to time, and is never measured for a run twice.

    Args:
        run: the run.
        engine: whose workers are asked what they can do, and how fast; None asks and measures nothing.

    Returns:
        The decision, or what is assumed without an engine, or None where only workers elsewhere could tell.
    """
    name, workers = decision_name(run.config), run.config.engine
    if run.storage.exists(name):
        return _kept(run, name)
    elsewhere = workers.kind == "ray" and (workers.address or os.environ.get("RAY_ADDRESS"))
    if engine is None:
        return None if elsewhere else _usual(run, *guess())
    trials: Sequence[dict] = ()
    if measures(run.config):
        question = _question(run, engine.facts()["threads"])
        # Of a worker here what it would remember is known without starting it, which takes as long as the imports.
        tuned = (None if elsewhere else question.recalled()) or engine.ask(question, load_libraries)
        decision, trials = replace(tuned.precision, compile=run.config.infer.compile), tuned.trials
        how = f"measured in {tuned.seconds:.1f} s" if tuned.seconds else "measured before"
        said = f"{decision.precision}, windows a pass: {decision.batch} ({how})"
        print(f"infer on {decision.device}: {said}", file=sys.stderr)
    else:
        decision = _usual(run, *(engine.ask(probe) if elsewhere else probe()))
    kept = {**asdict(decision), "trials": trials, "cores": Crew.of(engine.facts()).cores if trials else None}
    run.storage.create(name, json.dumps(kept).encode())  # the first of two that begin the same run decides for both
    return _kept(run, name)


def decision_name(config: RunConfig) -> str:
    """Return where a run keeps its decision."""
    settings, workers = config.infer.model_dump(mode="json", exclude={"tune", "adaptive"}), config.engine
    digests = [read_card(Storage(path).get("card.json")).digest() for path in config.models]
    return f"decisions/{key_of(settings, digests, workers.gpus_per_worker, workers.address)}.json"


def measures(config: RunConfig) -> bool:
    """Whether the first start of a run asks a worker how fast its networks are."""
    settings = config.infer
    return settings.tune and bool(config.models) and "auto" in (settings.precision, settings.batch)


def _kept(run: Configured, name: str) -> Precision:
    kept = json.loads(run.storage.get(name))
    return Precision(kept["device"], kept["precision"], kept["batch"], kept["compile"])


def _usual(run: Configured, device: str, precision: str) -> Precision:
    """Return what usually suits a kind of device, where the settings leave it to "auto"."""
    if run.config.engine.gpus_per_worker == 0:
        device, precision = "cpu", precision if device == "cpu" else "fp32"
    settings = run.config.infer
    return Precision(
        device,
        precision if settings.precision == "auto" else settings.precision,
        min(WINDOWS_PER_BATCH[device], run.unit_windows) if settings.batch == "auto" else settings.batch,
        settings.compile,
    )


def window_pace(run: Configured) -> Pace | None:
    """Return the pace of a window as it was measured to decide: for this run, or for these networks on this machine.

    Nothing is measured. None where nobody knows, or networks will run in another way than they were measured.
    """
    name, settings, crew = decision_name(run.config), run.config.infer, crew_here(run.config.engine)
    if settings.adaptive or settings.compile != "none":
        return None
    if run.storage.exists(name):
        kept = json.loads(run.storage.get(name))
        how, trials, cores = _kept(run, name), kept["trials"], kept.get("cores")
    elif crew is not None and measures(run.config):
        known = _question(run, math.ceil(crew.cores)).recalled()
        if known is None:
            return None
        how, trials, cores = known.precision, known.trials, crew.cores
    else:
        return None
    tile_px = settings.tile_px if run.config.dataset is None else run.config.dataset.tile_px
    return pace_of_trials(trials, how.precision, how.batch, tile_px, cores, how.device == "cuda") if cores else None


def _question(run: Configured, threads: int) -> Tune:
    """Ask a worker; of a serial engine its own setting is asked for, of others the threads of their workers."""
    config, settings = run.config, run.config.infer
    return Tune(
        bundles=config.models,
        tile_px=settings.tile_px if config.dataset is None else config.dataset.tile_px,
        tta=settings.tta,
        average=settings.average,
        precision=settings.precision,
        batch=settings.batch,
        unit_windows=run.unit_windows,
        gpu=config.engine.gpus_per_worker != 0,
        threads=config.engine.threads_per_worker if config.engine.kind == "serial" else threads,
    )
