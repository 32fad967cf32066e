"""How far a run is, for whoever looks at its folder: `OUT/progress.json`, a whole file every few seconds.

    with shown(storage, 64, "infer", unit="windows") as progress:
        progress.advance()

It is written by a thread of its own, so no unit waits for it, nor for an object store that is slow; a store that takes
nothing is said once, and costs nobody anything else.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from cluster.redact import redact
from cluster.storage import Storage
from jobs.progress import Progress, line
from jobs.supervise import supervision

NAME = "progress.json"
EVERY_S = 5.0
LAST_S = 5.0
"""How long the end of a stage waits for the last file."""


@contextmanager
def shown(storage: Storage, total: int | None, label: str, *, unit: str, restored: int = 0) -> Iterator[Progress]:
    """Enter a `Progress` that is kept in the folder of the run, too.

    Nothing is kept outside of a run (in tests and notebooks), nor by a run that only helps another one.
    """
    here = supervision()
    with Progress(total, label, unit=unit, restored=restored) as progress:
        if not here.run or here.joins:
            yield progress
            return
        end, state = threading.Event(), ["stopped"]
        keeper = threading.Thread(
            target=_keep, args=(storage, here.run, progress, end, state), name="progress", daemon=True
        )
        keeper.start()
        try:
            yield progress
            state[0] = "stopped" if here.stop.requested else "done"
        finally:
            end.set()
            keeper.join(LAST_S)


def _keep(storage: Storage, run: str, progress: Progress, end: threading.Event, state: list[str]) -> None:
    said = False
    while True:
        ended = end.is_set()
        when = datetime.now(UTC).isoformat(timespec="seconds")
        facts = {"run": run, "state": state[0] if ended else "running", **progress.facts(), "updated": when}
        try:
            storage.put(NAME, json.dumps(facts, indent=1).encode())
        except OSError as error:
            if not said:
                said = True
                print(f"{NAME} cannot be written: {redact(str(error))}", file=sys.stderr)
        if ended:
            return
        end.wait(EVERY_S)


def progress_of(storage: Storage) -> dict[str, Any] | None:
    """Return what the last stage that had work to do told; None where none has yet."""
    try:
        return dict(json.loads(storage.get(NAME)))
    except FileNotFoundError:
        return None


def progress_text(facts: dict[str, Any], now: datetime) -> str:
    """Return it as a line for people, with its age."""
    told = line(
        *(facts["stage"], facts["done"], facts["total"], facts["unit"], facts["elapsed_s"]), restored=facts["restored"]
    )
    failed = [f"{facts['failed']} failed"] if facts["failed"] else []
    age_s = max(0.0, (now - datetime.fromisoformat(facts["updated"])).total_seconds())
    return "  ".join([told, *failed, f"({facts['state']}, {age_s:.0f} s ago)"])
