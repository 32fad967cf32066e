"""What a tick leaves: its record, the report of the product, and a word to the webhook."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from cluster.lock import Locked, RunLock
from cluster.storage import Storage
from jobs.half_written import sweep_partial
from jobs.notify import notify
from jobs.product import RUNS, keep_record, read_pointer
from jobs.published import current
from jobs.schedule_config import PlanConfig
from jobs.schedule_decisions import Differences
from jobs.schedule_page import write_page
from jobs.shell import BUSY, FAULT, guarded

TOLD = ("tick", "outcome", "exit", "run", "why", "given_up", "unreadable")
"""Of a record, what the webhook gets beside its sentence."""


def now() -> datetime:
    """Return the time, for people: nothing is decided by it."""
    return datetime.now(UTC)


def new_record(tick: int, run: str | None, found: Differences) -> dict[str, Any]:
    """Return the record of a tick that begins; until it says otherwise, it failed."""
    return {
        "tick": tick,
        "began": now().isoformat(timespec="seconds"),
        "outcome": "failed",
        "run": run,
        "told": "",
        "why": str(found),
        "differences": asdict(found),
        "unreadable": {},
        "given_up": [],
        "planned": [],
        "gates": [],
        "spent": {},
        "removed": [],
    }


def under_lease(
    name: str, plan: PlanConfig, product: Storage, lease: RunLock, run: Callable[[RunLock], int], record: dict[str, Any]
) -> int:
    """Work on a product while holding its lease; whatever happens is told and kept.

    Args:
        name: of the command.
        plan: of the product.
        product: its folder.
        lease: not held yet.
        run: what to do, given the lease; returns the exit code.
        record: what `run` tells of itself.
    """
    try:
        lease.acquire()
    except Locked as error:
        print(f"sandan {name}: {error}", file=sys.stderr)
        return BUSY
    except OSError as error:
        print(f"sandan {name}: {error}", file=sys.stderr)
        return FAULT
    with lease:
        if lease.succeeded is not None:
            sweep_partial(product)
        code = guarded(name, lambda: run(lease))
        try:
            finish(plan, product, lease, new_record(lease.number, None, Differences()) | record, code)
        except OSError as error:
            print(f"sandan {name}: what was done could not be recorded: {error}", file=sys.stderr)
            return code or FAULT
    return code


def finish(plan: PlanConfig, product: Storage, lease: RunLock, record: dict[str, Any], code: int) -> None:
    """Tell the webhook, keep the record and write the report; of a driver that was succeeded, no report."""
    record |= {"exit": code, "ended": now().isoformat(timespec="seconds")}
    record["told"] = record["told"] or f"ended with {code}; the next tick goes on"
    record["notified"] = tell(plan, record)
    keep_record(product, lease.number, record)
    if lease.is_mine():
        write_page(product, record, read_pointer(product)[0])


def tell(plan: PlanConfig, record: Mapping[str, Any]) -> str:
    """Tell the webhook of a plan, if there is one that wants to know; return how that went."""
    if plan.notify is None or record["outcome"] not in plan.notify.on:
        return ""
    body = {key: record[key] for key in TOLD if key in record}
    said = notify(plan.notify, {"text": f"{plan.product}: {record['told']}", "product": plan.product, **body})
    if said != "told":
        print(f"webhook: {said}", file=sys.stderr)
    return said


def pointed_at(product: Storage, run: str) -> dict[str, Any]:
    """Return what the pointer tells readers of a run: where its map lies, with checksums, and its numbers."""
    here = current(product.child(f"{RUNS}/{run}"))
    folder, record = f"{RUNS}/{run}/{here['folder']}", product.get(f"{RUNS}/{run}/run.json")
    stac = "stac" in json.loads(record)["config"]["outputs"]
    digest = hashlib.sha256(record).hexdigest()
    return {
        "folder": folder,
        "catalog": f"{folder}/catalog.json" if stac else None,
        "files": {name: {**facts, "href": f"{folder}/{facts['href']}"} for name, facts in here["files"].items()},
        "record": {"href": f"{RUNS}/{run}/run.json", "size_bytes": len(record), "sha256": digest},
        "numbers": {key: value for key, value in here["numbers"].items() if key != "probability_counts"},
    }
