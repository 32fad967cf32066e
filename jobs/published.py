"""The published map: every map has a folder of its own, and one small file says which of them is the current one.

    OUT/maps/<key>/     the files of a map: GeoTIFFs, catalogue
    OUT/map.json        the pointer: key, folder, files, numbers, keys of earlier maps; written whole, and last
    OUT/map             on a disk: a link to that folder, for people and for QGIS

Whoever reads follows the pointer (or the link) once and sees one map or the other, never parts of two. The folder of an
earlier map stays: readers may still be in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from cluster.storage import Storage, flush

POINTER, LINK, FOLDER = "map.json", "map", "maps"


def current(storage: Storage) -> dict[str, Any]:
    """Return what the pointer of a run says; empty where nothing is published."""
    try:
        return dict(json.loads(storage.get(POINTER)))
    except FileNotFoundError:
        return {}


@contextmanager
def new_folder(storage: Storage, key: str) -> Iterator[Path]:
    """Give a local folder to write a map to; at the end its files are in the folder of that map, on the disk."""
    if storage.is_local:
        folder = storage.path(f"{FOLDER}/{key}")
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        for path in [*folder.rglob("*"), folder, folder.parent]:
            flush(path)
        return
    with TemporaryDirectory() as scratch:
        yield Path(scratch)
        for file in sorted(p for p in Path(scratch).rglob("*") if p.is_file()):
            storage.put_file(f"{FOLDER}/{key}/{file.relative_to(scratch).as_posix()}", file)


def switch(storage: Storage, key: str, facts: Mapping[str, Any]) -> None:
    """Make a map whose files are all written the current one."""
    before = current(storage)
    earlier = [one for one in (before.get("key"), *before.get("earlier", ())) if one not in (None, key)]
    pointer = {"key": key, "folder": f"{FOLDER}/{key}", "earlier": earlier, **facts}
    storage.put(POINTER, json.dumps(pointer, indent=1).encode())


def show(storage: Storage) -> str:
    """Let the link follow the pointer, and return the address of the folder of the current map.

    Some disks have no links (exFAT): then it is the folder itself.
    """
    folder = current(storage)["folder"]
    if storage.is_local:
        link = storage.path() / LINK
        with suppress(OSError):
            if not link.is_symlink() or os.readlink(link) != folder:
                beside = storage.path() / f".{LINK}-{uuid4().hex}"
                beside.symlink_to(folder, target_is_directory=True)
                beside.replace(link)
            return f"{storage.url}/{LINK}"
    return f"{storage.url}/{folder}"
