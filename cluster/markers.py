"""Markers: the proof, in storage, that a unit of work is finished, and of what."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

from cluster.storage import Storage

JSON: TypeAlias = "bool | int | float | str | list[JSON] | Mapping[str, JSON] | None"
Record: TypeAlias = Mapping[str, Any]

FOUND = "found"
"""In the record of a unit that somebody else had finished: nothing was done."""
_SUFFIX = ".json"
_NAME = r"[A-Za-z0-9_=,+@-][A-Za-z0-9_.=,+@-]*"
_UNIT = re.compile(rf"({_NAME}/)?{_NAME}")
_READERS = 16

logger = logging.getLogger(__name__)


@runtime_checkable
class Keyed(Protocol):
    """A key of work that knows the name of its unit: a frozen dataclass with a ``unit`` property."""

    @property
    def unit(self) -> str:
        """A name safe in file names, the same in every run; `folder/name` where units are many."""
        ...


def unit_of(key: Keyed | str) -> str:
    """The unit id of a key: its ``unit``, or the key itself where it is a string; ``ValueError`` for an unsafe name."""
    unit = key if isinstance(key, str) else getattr(key, "unit", None)
    if not isinstance(unit, str):
        raise ValueError(f"asked for the unit of {key!r}; found no `unit` string; give keys a `unit` property")
    if not _UNIT.fullmatch(unit) or len(unit) > 200:
        raise ValueError(
            f"unit {unit!r} is not a safe file name, or folder and file name; use at most 200 letters, digits and "
            "'-_.=,+@', and one slash at most"
        )
    return unit


@dataclass(frozen=True)
class Markers:
    """The markers of one stage: ``<unit>.json`` in its folder, each created once and never changed.

    A unit may name a folder of its own kind, ``scene/r0_c4``: then what is done of a scene is told by a short listing.
    """

    storage: Storage

    def create(self, unit: str, record: Mapping[str, JSON]) -> bool:
        """Mark a unit as finished; ``False`` where it was already, and then the first record stands."""
        text = json.dumps(record, ensure_ascii=False, sort_keys=True, allow_nan=False)
        return self.storage.create(unit_of(unit) + _SUFFIX, text.encode())

    def done(self, folder: str = "") -> set[str]:
        """Units of a folder that are finished, or those without one: one listing, nothing read."""
        return {key.removesuffix(_SUFFIX) for key in self.storage.children(folder) if key.endswith(_SUFFIX)}

    def read(self, unit: str) -> dict[str, Any]:
        """The record of a unit; ``FileNotFoundError`` where it is not finished, ``ValueError`` where it is damaged."""
        key = unit_of(unit) + _SUFFIX
        data = self.storage.get(key)
        try:
            return dict(json.loads(data))
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"asked for the marker {self.storage.url}/{key}; found {len(data)} bytes that are not a JSON record "
                f"({error}); delete it and run again: the unit is then done anew"
            ) from error

    def read_all(self, folder: str = "") -> dict[str, dict[str, Any]]:
        """Every record of a folder by unit, sorted by unit."""
        units = sorted(self.done(folder))
        with ThreadPoolExecutor(_READERS) as pool:
            return dict(zip(units, pool.map(self.read, units), strict=True))


@dataclass(frozen=True)
class Marked:
    """A stage whose every finished unit leaves a marker, written after the work has returned.

    The marker holds ``unit``, the ``fields``, the work's ``record``, and ``seconds``, ``host``, ``pid``, ``device``
    (the text attribute ``device`` of the work callable, where it has one) and ``finished`` (UTC).
    """

    stage: Callable[[], Callable[[Any], Record | None]]
    """The factory: frozen and picklable, called once per worker."""
    storage_url: str
    """The folder of the markers."""
    fields: Mapping[str, JSON] = field(default_factory=dict)
    """What to write into every marker besides the record: run id, contract number."""

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
            return record if markers.create(unit, marker) else _standing(markers, unit, record)

        return marked


def _found(markers: Markers, unit: str) -> Record | None:
    try:
        return dict(markers.read(unit).get("record", {}))
    except FileNotFoundError:
        return None


def _standing(markers: Markers, unit: str, mine: dict[str, Any]) -> Record:
    """The record of whoever was first; two copies of one unit ought to have written the same bytes."""
    first = dict(markers.read(unit).get("record", {}))
    if first.get("digest") != mine.get("digest"):
        logger.warning(
            "unit %s was finished twice with different digests: %s, then %s; the first marker stands, "
            "the output is of the last writer: compare devices and versions, and do the unit again",
            *(unit, first.get("digest"), mine.get("digest")),
        )
    return first


def _where() -> dict[str, Any]:
    finished = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"host": socket.gethostname(), "pid": os.getpid(), "finished": finished}
