"""Versions of curation: numbered lists of what to leave out, and which of them count.

`OUT/curation/0003/removed.csv` is version 3: never written again, and undone by leaving it out. `OUT/curation/kept.csv`
is what is left by the versions that count, and `account.json` how many each one took.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cluster.storage import Storage
from jobs.lists import csv_bytes

FOLDER = "curation"
COLUMNS = ("id", "reason", "rule", "by")
KEPT, ACCOUNT = "kept.csv", "account.json"


@dataclass(frozen=True)
class Removal:
    """One tile to leave out."""

    id: str
    reason: str
    """For people."""
    rule: str
    """What decided, with its settings."""
    by: str
    """Who decided: `rule` or `user`."""


@dataclass(frozen=True)
class Version:
    """A list of removals."""

    number: int
    removals: tuple[Removal, ...]
    facts: dict[str, Any]
    """What made it; empty where that was not written."""

    @property
    def verb(self) -> str:
        """The command that made it."""
        return str(self.facts.get("verb", "?"))


def write_version(storage: Storage, removals: Sequence[Removal], facts: dict[str, Any]) -> int:
    """Write the next version, and return its number; an older one is never touched.

    Args:
        storage: of the run.
        removals: at least one.
        facts: plain values: the verb, its settings, what it looked at.
    """
    folder = storage.child(FOLDER)
    data = csv_bytes(COLUMNS, [tuple(asdict(one).values()) for one in removals])
    number = max(version_numbers(storage), default=0) + 1
    while not folder.create(f"{number:04d}/removed.csv", data):  # another command was faster
        number += 1
    told = {"version": number, **facts, "removed": len(removals)}
    folder.put(f"{number:04d}/version.json", json.dumps(told, indent=1, default=str).encode())
    return number


def version_numbers(storage: Storage) -> list[int]:
    """Return the numbers of all versions of a run, in order."""
    found = (re.fullmatch(r"(?:.*/)?(\d{4,})/removed\.csv", key) for key in storage.child(FOLDER).list())
    return sorted(int(match[1]) for match in found if match)


def read_version(storage: Storage, number: int) -> Version:
    """Read one version.

    Raises:
        ValueError: there is none, a column or a cell is missing, or it is not as long as it was written.
    """
    folder, name = storage.child(FOLDER), f"{number:04d}/removed.csv"
    if not folder.exists(name):
        raise ValueError(f"{folder.url}: no version {number}; there are {version_numbers(storage) or 'none'}")
    rows = list(csv.DictReader(io.StringIO(folder.get(name).decode())))
    if any(set(row) != set(COLUMNS) or None in row.values() for row in rows) or not rows:
        raise ValueError(f"{folder.url}/{name} has no rows, or not the columns {', '.join(COLUMNS)}; restore it")
    facts = {}
    if folder.exists(f"{number:04d}/version.json"):
        facts = json.loads(folder.get(f"{number:04d}/version.json"))
        if facts["removed"] != len(rows):
            raise ValueError(
                f"{folder.url}/{name} holds {len(rows)} rows and was written with {facts['removed']}: the counts do "
                f"not close; restore it, or leave version {number} out"
            )
    return Version(number, tuple(Removal(**row) for row in rows), facts)


@dataclass(frozen=True)
class Taken:
    """What one version took from a data set."""

    version: int
    verb: str
    listed: int
    already: int
    """Of these, how many an earlier version had taken."""
    removed: int
    left: int


@dataclass(frozen=True)
class Account:
    """From all tiles of a data set to those that are kept."""

    store: str
    start: int
    taken: tuple[Taken, ...]
    kept: tuple[str, ...]
    """Ids, in the order of the store."""

    @property
    def sentence(self) -> str:
        """The counts as a sum."""
        parts = "".join(f" - {one.removed} ({one.verb}, version {one.version})" for one in self.taken)
        return f"{self.start} tiles{parts} = {len(self.kept)} kept"

    def to_json(self) -> dict[str, Any]:
        """Return plain values, without the ids."""
        return {
            "store": self.store,
            "start": self.start,
            "versions": [asdict(one) for one in self.taken],
            "kept": len(self.kept),
            "ids": digest_of(self.kept),
        }


def account_of(store: str, ids: Sequence[str], versions: Sequence[Version]) -> Account:
    """Take versions from a data set, one after the other; what several list is counted once.

    Args:
        store: name of the tile store.
        ids: of all its tiles.
        versions: that count.

    Raises:
        ValueError: the counts do not close: a version lists what is not there, or something twice, or is named twice.
    """
    numbers = [one.number for one in versions]
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"versions {numbers} name one twice; name each once")
    everything, gone, taken = set(ids), set[str](), []
    for one in versions:
        listed = [removal.id for removal in one.removals]
        strangers = sorted(set(listed) - everything)
        if strangers:
            raise ValueError(
                f"version {one.number} lists {len(strangers)} tiles that {store} does not hold, such as "
                f"{strangers[:3]}: the counts do not close; leave it out, or make it again for these data"
            )
        if len(set(listed)) < len(listed):
            raise ValueError(
                f"version {one.number} lists {len(listed) - len(set(listed))} tiles twice: the counts do not close; "
                "leave it out"
            )
        new = set(listed) - gone
        gone |= new
        counts = len(listed), len(listed) - len(new), len(new), len(everything) - len(gone)
        taken.append(Taken(one.number, one.verb, *counts))
    kept = tuple(name for name in ids if name not in gone)
    account = Account(store, len(ids), tuple(taken), kept)
    if account.start - sum(one.removed for one in taken) != len(kept):
        raise ValueError(f"the counts do not close: {account.sentence}; ids of {store} repeat")
    return account


def write_account(storage: Storage, account: Account) -> None:
    """Write what counts: the list of kept tiles last, because that is what trainings read."""
    folder = storage.child(FOLDER)
    folder.put(ACCOUNT, json.dumps(account.to_json(), indent=1).encode())
    folder.put(KEPT, csv_bytes(("id",), [(name,) for name in account.kept]))


def kept_now(storage: Storage) -> tuple[tuple[str, ...], tuple[int, ...]] | None:
    """Return the ids that are kept and the versions that count; None where nothing was applied."""
    folder = storage.child(FOLDER)
    if not folder.exists(KEPT):
        return None
    versions = json.loads(folder.get(ACCOUNT))["versions"]
    return _ids(folder.get(KEPT), f"{folder.url}/{KEPT}"), tuple(one["version"] for one in versions)


def read_kept(path: str, ids: Sequence[str]) -> frozenset[str]:
    """Read a list of kept tiles for a training.

    Args:
        path: a CSV with the column id: local, s3:// or gs://.
        ids: all that the data set holds.

    Raises:
        ValueError: no such file, no column or row, or an id that is unknown.
    """
    kept = _known(path, ids)
    if not kept:
        raise ValueError(f"{path} has no row, so that nothing would be kept; `sandan curate apply RUN.yaml` writes it")
    return kept


def read_removed(paths: Sequence[str], ids: Sequence[str]) -> frozenset[str]:
    """Read lists of what to leave out: versions of curation, or lists of a user. They may be empty.

    Args:
        paths: as of `read_kept`.
        ids: all that the data set holds.

    Raises:
        ValueError: as of `read_kept`, but for the row.
    """
    return frozenset[str]().union(*(_known(path, ids) for path in paths))


def left_out(ids: Sequence[str], kept: str | None, removed: Sequence[str] = ()) -> frozenset[str]:
    """Return what lists leave out of all ids.

    Args:
        ids: all that there are.
        kept: a list of what is kept; None keeps all.
        removed: lists of what is left out as well.

    Raises:
        ValueError: a list is not there, or of other data.
    """
    gone = frozenset[str]() if kept is None else frozenset(ids) - read_kept(kept, ids)
    return gone | read_removed(removed, ids)


def _known(path: str, ids: Sequence[str]) -> frozenset[str]:
    folder, _, name = path.rpartition("/")
    storage = Storage(folder or ("/" if path.startswith("/") else "."))
    if not storage.exists(name):
        raise ValueError(f"{path} does not exist; give a CSV with the column id, as `sandan curate` writes it")
    listed = frozenset(_ids(storage.get(name), path))
    unknown = sorted(listed - set(ids))
    if unknown:
        raise ValueError(
            f"{path} names {len(unknown)} tiles that the data set does not hold, such as {unknown[:3]}: it is the list "
            "of other data; curate these"
        )
    return listed


def digest_of(ids: Sequence[str] | frozenset[str]) -> str:
    """Return a name for a set of ids."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()


def read_list(path: str) -> list[str]:
    """Read ids that a user lists: a CSV with the column id, or plain lines.

    Raises:
        ValueError: no such file, or nothing in it.
    """
    if not Path(path).is_file():
        raise ValueError(f"--list {path}: no such file; give a CSV with the column id")
    listed = list(dict.fromkeys(_ids(Path(path).read_bytes(), path)))
    if not listed:
        raise ValueError(f"--list {path}: no row; list what to leave out")
    return listed


def _ids(data: bytes, path: str) -> tuple[str, ...]:
    rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig")))
    if "id" not in (rows.fieldnames or ()):
        raise ValueError(f"{path} has no column id, only {rows.fieldnames}; `sandan curate` writes such lists")
    return tuple(row["id"] for row in rows)
