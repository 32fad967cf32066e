"""Checkpoints of a training run in a folder or an object store: whole or not there, checked when read.

    000007/state.pt      the files of checkpoint 7
    000007.json          their sizes and digests, written last: without it there is no checkpoint 7

A kill at any moment leaves the checkpoint before. One that is damaged later is found by its digests, and the one before
it is taken instead. A store that does not answer is asked again for about a minute.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from cluster.storage import Storage, StorageError

KEPT_CHECKPOINTS = 2
"""Older ones are deleted; the last but one is kept in case the last cannot be read."""
BACK_OFF_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Waits before a store that failed is asked again; after the last one its error is raised."""

T = TypeVar("T")
logger = logging.getLogger(__name__)


@dataclass
class CheckpointFolder:
    """The checkpoints of one run; one process writes, any number reads while nobody does."""

    storage: Storage
    _damaged: set[int] = field(default_factory=set)
    """Numbers that were found to be damaged: they do not count among those that are kept."""

    def write(self, files: Mapping[str, bytes], metrics: Mapping[str, Any]) -> None:
        """Add a checkpoint, then delete what is old.

        Raises:
            StorageError: the store failed until the last attempt; the checkpoints before are untouched.
        """
        numbers = patiently(self.numbers)
        number = (numbers or [0])[-1] + 1
        for name, data in files.items():
            patiently(partial(self.storage.put, f"{number:06d}/{name}", data))
        facts = {name: {"size": len(data), "sha256": _digest(data)} for name, data in files.items()}
        pointer = _sealed({"files": facts, "metrics": dict(metrics)})
        patiently(partial(self.storage.put, _pointer(number), pointer))
        whole = [one for one in [*numbers, number] if one not in self._damaged]
        for old in [one for one in numbers if one not in whole[-KEPT_CHECKPOINTS:]]:
            patiently(partial(self._delete, old))

    def newest(self) -> tuple[int, dict[str, bytes]] | None:
        """Return number and files of the newest checkpoint that is whole, None where there is none; warns of others.

        Raises:
            StorageError: the store failed until the last attempt: that is no reason to take an older one.
        """
        numbers = patiently(self.numbers)
        for number in reversed(numbers):
            try:
                return number, self.read(number)
            except ValueError as error:
                self._damaged.add(number)
                logger.warning("%s; the checkpoint before it is tried", error)
        if numbers:
            logger.warning("no checkpoint in %s can be read: training starts anew", self.storage.url)
        return None

    def read(self, number: int) -> dict[str, bytes]:
        """Return the files of a checkpoint.

        Raises:
            ValueError: it is damaged; names the file.
            StorageError: the store failed until the last attempt.
        """
        try:
            facts = _unsealed(self._get(_pointer(number)))["files"]
        except (ValueError, FileNotFoundError) as error:
            place = f"{self.storage.url}/{_pointer(number)}"
            raise ValueError(f"asked for the checkpoint {place}; found that it is damaged: {error}") from error
        found = {}
        for name, written in facts.items():
            key = f"{number:06d}/{name}"
            try:
                data = self._get(key)
            except FileNotFoundError as error:
                raise ValueError(f"asked for the checkpoint {self.storage.url}/{key}; found no such file") from error
            if _digest(data) != written["sha256"]:
                raise ValueError(
                    f"asked for the checkpoint {self.storage.url}/{key}; found {len(data)} bytes that are not the "
                    f"{written['size']} that were written"
                )
            found[name] = data
        return found

    def numbers(self) -> list[int]:
        """Return the numbers of all checkpoints that were written to their end."""
        names = (key.removesuffix(".json") for key in self.storage.children() if key.endswith(".json"))
        return sorted(int(name) for name in names if name.isdecimal())

    def clear(self) -> None:
        """Delete all of them: the run is over."""
        for number in self.numbers():
            self._delete(number)

    def _get(self, key: str) -> bytes:
        return patiently(partial(self.storage.get, key))

    def _delete(self, number: int) -> None:
        # The pointer first: what is left of a deletion that was cut short is no checkpoint.
        self.storage.delete(_pointer(number))
        if self.storage.is_local:  # with what a kill left half-written, which listings hide
            shutil.rmtree(self.storage.path(f"{number:06d}"), ignore_errors=True)
            return
        for key in list(self.storage.list(f"{number:06d}")):
            self.storage.delete(key)


def patiently(action: Callable[[], T]) -> T:
    """Call something that asks a store, again and again with growing waits while the store fails.

    Raises:
        StorageError: of the last attempt.
    """
    for wait_s in BACK_OFF_S:
        try:
            return action()
        except StorageError as error:
            logger.warning("%s; trying again in %g s", error, wait_s)
            time.sleep(wait_s)
    return action()


def _pointer(number: int) -> str:
    return f"{number:06d}.json"


def _sealed(facts: Mapping[str, Any]) -> bytes:
    """Return facts as JSON with the digest of themselves."""
    return json.dumps({"facts": facts, "sha256": _digest(json.dumps(facts, sort_keys=True).encode())}).encode()


def _unsealed(data: bytes) -> dict[str, Any]:
    """Return what was sealed; ``ValueError`` where it is not what was."""
    try:
        sealed = json.loads(data)
        facts = dict(sealed["facts"])
        whole = sealed["sha256"] == _digest(json.dumps(facts, sort_keys=True).encode())
    except (KeyError, TypeError) as error:
        raise ValueError(f"{len(data)} bytes that no checkpoint has") from error
    if not whole:
        raise ValueError(f"{len(data)} bytes that are not those that were written")
    return facts


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
