"""What a driver saw of what happened to its hosts: rows of a table."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.runs import events

SEEN = ("worker_lost", "worker_silent", "probe", "retry", "hedge", "worker_respawn", "stopping", "stopped", "takeover")
"""Events of a run's log that say what the driver saw of a fault."""
HEAD = (
    "| what happened | what the driver saw | ended with | commands | units done twice | seconds |\n"
    + "| --- " * 6
    + "|"
)


def seen(out: Path) -> Counter[str]:
    """Count what the logs of all commands in a folder say that happened."""
    return Counter(str(entry["event"]) for entry in events(out) if entry.get("event") in SEEN)


def told(out: Path, *kinds: str) -> Counter[str]:
    """Count the units that logs name with such an event."""
    return Counter(f"{entry['stage']}/{entry['unit']}" for entry in events(out) if entry.get("event") in kinds)


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

    def add(self, name: str, out: Path, code: int, commands: int, began_s: float) -> None:
        """Add what happened in a folder, since a moment of `time.monotonic`."""
        happened = ", ".join(f"{count} {event}" for event, count in sorted(seen(out).items())) or "nothing"
        seconds = time.monotonic() - began_s
        self.rows.append(f"| {name} | {happened} | {code} | {commands} | {done_twice(out)} | {seconds:.0f} |")

    def __str__(self) -> str:
        return "\n".join([HEAD, *self.rows])
