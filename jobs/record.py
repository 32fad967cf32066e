"""`run.json`: what made this map, so that anybody can say later which scenes, networks, settings and code did."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cluster.differences import kept
from cluster.redact import redacted
from jobs.cells import MosaicPlan
from jobs.ledger import ledger
from jobs.map_page.xyz import outline_of
from jobs.plan import LogitPlan, Run
from jobs.runner import stage_facts
from jobs.window_faults import cell_name
from tiler.classes import value_names

PACKAGES = ("sandan", "torch", "segmentation-models-pytorch", "timm", "ray", "zarr", "rasterio", "xarray", "numpy")
STAGES = ("ingest", "quality", "infer", "mosaic", "publish")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide what a map looks like."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """Return the commit of the code that runs, with `+changes` where files differ from it; None outside a checkout."""
    root = Path(__file__).resolve().parent
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def run_record(
    run: Run, plans: list[LogitPlan], plan: MosaicPlan, quarantined: Mapping[str, str], products: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the content of `run.json`."""
    stages = stage_facts(run.storage, STAGES)
    record = {
        "format": 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "config": run.config.model_dump(mode="json"),
        "versions": versions(),
        "git_commit": git_commit(),
        "machine": {"system": platform.platform(), "processor": platform.machine()},
        "map": {
            "key": plan.name,
            "crs": plan.grid.crs,
            "resolution": list(plan.grid.resolution),
            "classes": list(value_names(run.classes)),
        },
        "scenes": [_scene(p) for p in plans],
        "unmatched": [asdict(u) for u in run.modalities.unmatched],
        "models": [
            {"path": path, "digest": card.digest(), **card.model_dump(mode="json")}
            for path, card in zip(run.config.models, run.cards, strict=True)
        ],
        "stages": stages,
        "ledger": ledger(stages, run.config.engine.price_per_worker_hour),
        "quarantined": dict(quarantined),
        "differences": differences(run, plans, plan),
        "windows": plan.faults.counts,
        "affected_cells": [cell_name(cell) for cell in plan.affected],
        "products": dict(products),
    }
    return dict(redacted(record))


def differences(run: Run, plans: Sequence[LogitPlan], plan: MosaicPlan) -> dict[str, Any]:
    """Return the units of a map that were done twice with different answers: `stage/unit` to what differed."""
    stores = {p.source.name for p in plans} | {p.name for p in plans} | {plan.name}
    found = kept(run.storage)
    return {unit: facts for unit, facts in found.items() if unit.split("/", 1)[1].startswith(tuple(stores))}


def _scene(plan: LogitPlan) -> dict[str, Any]:
    scene = plan.source.scene
    return {
        "id": scene.id,
        "acquired": scene.acquired.isoformat() if scene.acquired else None,
        "store": plan.source.name,
        "logits": plan.name,
        "fingerprint": scene.fingerprint,
        "files": [p.path for p in scene.pieces],
        "shape_px": [scene.grid.height, scene.grid.width],
        "outline": outline_of(scene.grid, scene.grid.box),
    }


def read_record(run: Run) -> dict[str, Any]:
    """Read `run.json`.

    Raises:
        ValueError: the run has not been published.
    """
    if not run.storage.exists("run.json"):
        raise ValueError(f"{run.config.out}/run.json does not exist; run `sandan publish` (or `sandan map`) first")
    return dict(json.loads(run.storage.get("run.json")))
