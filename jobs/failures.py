"""What could not be done, kept beside what could: `OUT/failures/<stage>.json`, until it is done after all."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from cluster.engine import Failed
from cluster.redact import redact
from cluster.storage import Storage

FOLDER = "failures"


@dataclass
class Failures:
    """The units of a stage that were given up, and why; written when the context ends, however it does."""

    storage: Storage
    """Of the run."""
    stage: str
    found: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Unit to `reason`, `attempts`, `error` (a traceback) and `when`."""
    _changed: bool = False

    def add(self, unit: str, failed: Failed[Any]) -> None:
        """Note a unit that was given up."""
        self.found[unit] = {
            "reason": redact(failed.reason),
            "attempts": failed.attempts,
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "error": redact(failed.error),
        }
        self._changed = True

    def mend(self, unit: str) -> None:
        """Note that a unit is done."""
        self._changed |= self.found.pop(unit, None) is not None

    def __enter__(self) -> Self:
        self.found = failures_of(self.storage, self.stage)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._changed:
            self.storage.put(_name(self.stage), json.dumps(self.found, indent=1).encode())


def failures_of(storage: Storage, stage: str) -> dict[str, dict[str, Any]]:
    """Return the units of a stage that were given up and are not done since."""
    try:
        return dict(json.loads(storage.get(_name(stage))))
    except FileNotFoundError:
        return {}


def forget(storage: Storage, stage: str, units: Iterable[str]) -> None:
    """Drop units that are of nothing any more; without any left, the list goes."""
    gone = set(units)
    left = {unit: facts for unit, facts in failures_of(storage, stage).items() if unit not in gone}
    if left:
        storage.put(_name(stage), json.dumps(left, indent=1).encode())
    else:
        storage.delete(_name(stage))


def _name(stage: str) -> str:
    return f"{FOLDER}/{stage}.json"
