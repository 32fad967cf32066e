"""The published map of a run as the page reads it: its pointer, its record, and its files on a local disk."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jobs.published_runs import published


@dataclass(frozen=True)
class PublishedRun:
    """A finished map."""

    out: str
    pointer: Mapping[str, Any]
    """`map.json`."""
    record: Mapping[str, Any]
    """`run.json`."""
    folder: Path
    """Where the files of the map are."""

    @property
    def key(self) -> str:
        """What identifies the published files."""
        return str(self.pointer["key"])

    @property
    def title(self) -> str:
        """The last part of the folder's name."""
        return self.out.rstrip("/").rsplit("/", 1)[-1]

    @property
    def files(self) -> dict[str, Path]:
        """Name of each file to where it is."""
        return {name: self.folder / facts["href"] for name, facts in self.pointer["files"].items()}

    @property
    def scenes(self) -> dict[str, str]:
        """Id of each scene to the address of its store, which may be gone."""
        return {one["id"]: f"{self.out.rstrip('/')}/ingest/{one['store']}.zarr" for one in self.record["scenes"]}


def open_published(target: str, held: ExitStack) -> PublishedRun:
    """Open the current map of a run; the files of one in an object store are copied to this machine.

    Args:
        target: CONFIG.yaml, or the folder of the run.
        held: keeps the copies until it closes.

    Raises:
        ValueError: there is no finished map; says what there is and what to do.
    """
    found = published(target)
    out, storage, pointer = found.out, found.storage, found.pointer
    if storage.is_local:
        folder = storage.path(pointer["folder"])
    else:
        folder = Path(held.enter_context(TemporaryDirectory(prefix="sandan-page-")))
        parts = [sheet["files"] for sheet in pointer.get("sheets", {}).values()]
        for facts in (one for files in (pointer["files"], *parts) for one in files.values()):
            (folder / facts["href"]).parent.mkdir(parents=True, exist_ok=True)
            (folder / facts["href"]).write_bytes(storage.get(f"{pointer['folder']}/{facts['href']}"))
    lacking = [facts["href"] for facts in pointer["files"].values() if not (folder / facts["href"]).exists()]
    if lacking:
        raise ValueError(f"{out}/{pointer['folder']} lacks {lacking[:5]}, which map.json names; run `sandan publish`")
    return PublishedRun(out, pointer, found.record, folder)
