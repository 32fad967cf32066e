"""Markers: the proof, in storage, that a unit of work is finished, and of what."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from cluster.storage import Storage

JSON: TypeAlias = "bool | int | float | str | list[JSON] | Mapping[str, JSON] | None"
_SUFFIX = ".json"
_NAME = r"[A-Za-z0-9_=,+@-][A-Za-z0-9_.=,+@-]*"
_UNIT = re.compile(rf"({_NAME}/)?{_NAME}")
_READERS = 16


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
