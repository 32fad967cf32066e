"""Stages whose every finished unit leaves a marker."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from cluster.differences import DIFFERS, difference, keep
from cluster.markers import JSON, Keyed, Markers, unit_of
from cluster.storage import Storage

Record: TypeAlias = Mapping[str, Any]

FOUND = "found"
"""In the record of a unit that somebody else had finished: nothing was done."""


@dataclass(frozen=True)
class Marked:
    """A stage whose every finished unit leaves a marker, written after the work has returned.

    Where another worker was faster, its marker and its record stand. That both did the same is checked
    (``cluster.differences``).

    The marker holds ``unit``, the ``fields``, the work's ``record``, and ``seconds``, ``host``, ``pid``, ``device``
    (the text attribute ``device`` of the work callable, where it has one) and ``finished`` (UTC).
    """

    stage: Callable[[], Callable[[Any], Record | None]]
    """The factory: frozen and picklable, called once per worker."""
    storage_url: str
    """The folder of the markers."""
    fields: Mapping[str, JSON] = field(default_factory=dict)
    """What to write into every marker besides the record: run id, contract number."""
    differences_url: str = ""
    """Where it is kept that a unit was done twice with different answers; empty: nowhere, then only its record says
    so."""

    def __call__(self) -> Callable[[Any], Record]:
        """Start the stage; what it returns works on a key, marks it and returns the record that stands."""
        work = self.stage()
        markers = Markers(Storage(self.storage_url))

        def marked(key: Keyed | str) -> Record:
            unit = unit_of(key)  # before the work: a bad name must not cost an hour
            if (standing := _found(markers, unit)) is not None:
                return {**standing, FOUND: True}  # of a run that joined, or of another copy of a late unit
            start_s = time.monotonic()
            record = dict(work(key) or {})
            marker = {
                **self.fields,
                "unit": unit,
                "record": record,
                "seconds": round(time.monotonic() - start_s, 3),
                "device": str(getattr(work, "device", "")),
                **_where(),
            }
            if markers.create(unit, marker):
                return record
            first = markers.read(unit)
            found = difference(first, marker)
            if found is None:
                return dict(first.get("record", {}))
            if self.differences_url:
                keep(self.differences_url, found)
            return {**first.get("record", {}), DIFFERS: found}

        return marked


def _found(markers: Markers, unit: str) -> Record | None:
    try:
        return dict(markers.read(unit).get("record", {}))
    except FileNotFoundError:
        return None


def _where() -> dict[str, Any]:
    finished = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"host": socket.gethostname(), "pid": os.getpid(), "finished": finished}
