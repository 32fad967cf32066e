"""Compare and swap of one small object: replaced only if it still holds what was read."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError, NotFoundError, PreconditionError
from obstore.store import from_url

from cluster.storage import Storage, StorageError


def exchange(storage: Storage, key: str, data: bytes, seen: bytes | None) -> bool:
    """Write an object if it still is what the caller has seen.

    An object store is asked by the object's ETag. obstore knows no such put on a disk: there the folder of the object
    is locked (`flock`) while it is compared and replaced, so that of all who use this function one wins.

    Args:
        storage: where.
        key: of the object; its folder is locked on a disk.
        data: what it shall hold.
        seen: what it held when the caller decided that; None: there was none.

    Returns:
        False, and nothing is written, where it holds something else by now.

    Raises:
        StorageError: it cannot be written, or the store cannot promise this.
    """
    if seen is None:
        return storage.create(key, data)
    if storage.is_local:
        with _alone(storage.path(key).parent):
            if _held(storage, key) != seen:
                return False
            storage.put(key, data)
            return True
    try:
        store = from_url(storage.url)
        found = obstore.get(store, key)
        if bytes(found.bytes()) != seen:
            return False
        version: Any = {name: found.meta[name] for name in ("e_tag", "version") if found.meta[name] is not None}
        obstore.put(store, key, data, mode=version)
        return True
    except (NotFoundError, FileNotFoundError, PreconditionError):
        return False
    except (BaseError, OSError) as error:
        raise StorageError(f"asked to exchange {storage.url}/{key}; found {str(error).splitlines()[0]}") from error


def _held(storage: Storage, key: str) -> bytes | None:
    with suppress(FileNotFoundError):
        return storage.get(key)
    return None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        opened = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:  # then the object is not there either
        yield
        return
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)
