"""Two answers for one unit that ought to be alike and are not: the work is not deterministic, and somebody must know.

A unit may be done twice: a late one is doubled, a worker that was out of reach went on, a second run helped. The first
marker stands; whoever comes second compares its own record with it, and keeps what differs beside the markers:

    OUT/differences/<stage>/<unit>.json     the first difference of a unit; later ones change nothing
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from cluster.markers import Markers
from cluster.storage import Storage

DIFFERS = "differs"
"""In the record of a unit that was done before with another answer: what ``difference`` returned."""
COSTS = ("_s", "memory_bytes")
"""Endings of the names of facts that tell what the work cost: seconds, memory. They differ by right."""
SHOWN = 200
"""Characters of a fact that are kept: a record has a limit, and a difference must not exceed it."""

logger = logging.getLogger(__name__)


def differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Compare two records of one unit.

    Returns:
        The facts that ought to be alike and are not: name to ``[first, second]``, None where one lacks it; as JSON has
        them, long ones as the beginning of their text.
    """
    first, second = (json.loads(json.dumps(record)) for record in (first, second))
    names = sorted(name for name in first.keys() | second.keys() if not name.endswith(COSTS))
    return {n: [_short(first.get(n)), _short(second.get(n))] for n in names if first.get(n) != second.get(n)}


def difference(marker: Mapping[str, Any], mine: Mapping[str, Any]) -> dict[str, Any] | None:
    """Compare what would have been a unit's second marker with the first one, which stands.

    Returns:
        None where they agree; else ``unit``, ``facts`` (see ``differing``), and of ``first`` and ``second`` their
        ``host``, ``pid``, ``device`` and ``finished``.
    """
    facts = differing(marker.get("record", {}), mine["record"])
    if not facts:
        return None
    return {"unit": mine["unit"], "facts": facts, "first": _worker(marker), "second": _worker(mine)}


def keep(storage_url: str, found: Mapping[str, Any]) -> None:
    """Write a difference down; where that fails it is said, and the unit is done all the same."""
    try:
        Markers(Storage(storage_url)).create(found["unit"], found)
    except Exception:
        logger.warning("the difference of unit %s cannot be kept", found["unit"], exc_info=True)


def kept(storage: Storage) -> dict[str, dict[str, Any]]:
    """Return what was kept below a run's ``differences`` folder: ``stage/unit`` to the difference, sorted."""
    folder = storage.child("differences")
    keys = sorted(key for key in folder.list() if key.endswith(".json"))
    return {key.removesuffix(".json"): json.loads(folder.get(key)) for key in keys}


def _worker(marker: Mapping[str, Any]) -> dict[str, Any]:
    return {name: marker.get(name) for name in ("host", "pid", "device", "finished")}


def _short(value: Any) -> Any:
    text = value if isinstance(value, str) else json.dumps(value)
    return value if len(text) <= SHOWN else text[:SHOWN] + " ..."
