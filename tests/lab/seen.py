"""What a driver saw of what happened to its hosts: rows of a table."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tests.chaos.runs import events

SEEN = ("worker_lost", "worker_silent", "probe", "retry", "hedge", "worker_respawn", "stopping", "stopped", "takeover")
"""Events of a run's log that say what the driver saw of a fault."""
COLUMNS = "what happened", "what the driver saw", "after, s", "ended with", "commands", "units done twice", "seconds"
HEAD = f"| {' | '.join(COLUMNS)} |\n" + "| --- " * len(COLUMNS) + "|"


def seen(out: Path) -> Counter[str]:
    """Count what the logs of all commands in a folder say that happened."""
    return Counter(str(entry["event"]) for entry in events(out) if entry.get("event") in SEEN)


def noticed_after_s(out: Path, at: datetime) -> str:
    """Return how long after a moment the driver saw something; empty where it did not."""
    times = [datetime.fromisoformat(str(entry["time"])) for entry in events(out) if entry.get("event") in SEEN]
    after_s = [(time - at).total_seconds() for time in times if time > at]
    return f"{min(after_s):.1f}" if after_s else ""


def told(out: Path, *kinds: str) -> Counter[str]:
    """Count the units that logs name with such an event."""
    return Counter(f"{entry['stage']}/{entry['unit']}" for entry in events(out) if entry.get("event") in kinds)


def markers(out: Path) -> dict[str, dict]:
    """Return the markers of all units of a run, as `stage/unit`."""
    top = out / "markers"
    files = ((file.relative_to(top).with_suffix("").as_posix(), file) for file in top.rglob("*.json"))
    return {unit: json.loads(file.read_text()) for unit, file in files}


def done_twice(out: Path) -> int:
    """Return how many units more were done than there are."""
    return sum(count - 1 for count in told(out, "done").values())


def ended(process: subprocess.Popen, limit_s: float = 400) -> tuple[int, str]:
    """Wait for a command; return its exit code and what it said."""
    try:
        _, said = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"it hung: {process.communicate()[1]}") from None
    return process.returncode, said


def wait_for_files(folder: Path, pattern: str, count: int, process: subprocess.Popen) -> None:
    """Wait until there are so many files, or the command ended."""
    while len(list(folder.glob(pattern))) < count and process.poll() is None:
        time.sleep(0.02)


@dataclass
class Table:
    """Rows, printed when all is over."""

    rows: list[str] = field(default_factory=list)

    def add(
        self, name: str, out: Path, code: int, commands: int, began_s: float, harmed: datetime | None = None
    ) -> None:
        """Add what happened in a folder, since a moment of `time.monotonic`; and when harm was done, if it was."""
        happened = ", ".join(f"{count} {event}" for event, count in sorted(seen(out).items())) or "nothing"
        seconds = time.monotonic() - began_s
        after = noticed_after_s(out, harmed) if harmed is not None else ""
        row = (name, happened, after, str(code), str(commands), str(done_twice(out)), f"{seconds:.0f}")
        self.rows.append(f"| {' | '.join(row)} |")

    def __str__(self) -> str:
        return "\n".join([HEAD, *self.rows])
