"""The published map of a run, found by the run's YAML or by its folder alone: its pointer and its record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.storage import Storage
from jobs.config import RunConfig
from jobs.parsing import load
from jobs.progress_file import progress_of
from jobs.published import current


@dataclass(frozen=True)
class Published:
    """What says which map of a run is the current one, and how it was made."""

    out: str
    """Folder of the run."""
    storage: Storage
    """The same."""
    pointer: Mapping[str, Any]
    """`map.json`."""
    record: dict[str, Any]
    """`run.json`."""


def run_folder(target: str, changes: Sequence[str] = ()) -> str:
    """Return the folder of a run that is named by its YAML file or by that folder.

    Args:
        target: CONFIG.yaml, or a folder: local, s3:// or gs://.
        changes: overrides of keys of the YAML, `a.b=value`.

    Raises:
        ValueError: a file that is no run, or changes of a folder.
    """
    if target.lower().endswith((".yaml", ".yml")):
        return load(RunConfig, target, list(changes)).out
    if changes:
        raise ValueError(f"--set changes the keys of a run's YAML; {target} is a folder: leave it out")
    return target


def published(target: str, changes: Sequence[str] = ()) -> Published:
    """Find the published map of a run.

    Args:
        target: as in `run_folder`.
        changes: likewise.

    Raises:
        ValueError: there is no run, or nothing of it is published; says what there is and what to do.
    """
    out = run_folder(target, changes)
    storage = Storage(out)
    pointer = current(storage)
    if not pointer:
        begun = storage.exists("stages/mosaic.json") or any(True for _ in storage.children("logs"))
        state = state_of(storage) or ("" if begun else ": it is not the folder of a run (check the path)")
        raise ValueError(f"{out} has no published map yet{state}; run `sandan map` to its end")
    record = _record(storage)
    if record is None:
        raise ValueError(f"{out} has a map but no run.json: its publishing was cut short; run `sandan publish` again")
    if _made(record) != pointer["key"]:
        raise ValueError(f"{out}/run.json is not that of the published map; run `sandan publish` again")
    return Published(out, storage, pointer, record)


def is_recorded(storage: Storage, key: str) -> bool:
    """Whether the record of a published map is there: Publish writes it after the pointer."""
    record = _record(storage)
    return record is not None and _made(record) == key


def _made(record: Mapping[str, Any]) -> object:
    """Return the key of the map that a record is about."""
    return record.get("products", {}).get("key")


def _record(storage: Storage) -> dict[str, Any] | None:
    return dict(json.loads(storage.get("run.json"))) if storage.exists("run.json") else None


def state_of(storage: Storage) -> str:
    """Return how far a run is, as the end of a sentence; "" where nothing is known."""
    facts = progress_of(storage)
    if facts is None:
        return ""
    return f": {facts['stage']} has {facts['done']} of {facts['total']} {facts['unit']} ({facts['state']})"
