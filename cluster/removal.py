"""Removing whole folders of a storage, and what that frees."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from cluster.storage import Storage, StorageError

THREADS = 16
"""Objects that are removed at once: each waits for the store."""


def remove_folder(storage: Storage, prefix: str) -> int:
    """Remove all that is below a folder, and the folder.

    Where nothing is, nothing happens. Links are removed, what they point to stays.

    Args:
        storage: where it is.
        prefix: the folder.

    Returns:
        Bytes that this freed; a file that has further names elsewhere frees nothing.

    Raises:
        StorageError: something cannot be removed; what was removed before stays so.
    """
    if not storage.is_local:
        found = list(storage.sizes(prefix))
        with ThreadPoolExecutor(THREADS, "remove") as pool:
            list(pool.map(storage.delete, (key for key, _ in found)))
        return sum(size for _, size in found)
    try:
        return sum(map(_unlink, _below(storage.path(prefix))))
    except OSError as error:
        raise StorageError(f"asked to remove {storage.url}/{prefix}; found {error}; check that it may be") from error


def bytes_below(storage: Storage, prefixes: Iterable[str]) -> int:
    """Return the bytes that removing some folders would free: of files with several names, where all lie in them."""
    if not storage.is_local:
        return sum(size for prefix in prefixes for _, size in storage.sizes(prefix))
    left: dict[tuple[int, int], tuple[int, int]] = {}
    for path in (path for prefix in prefixes for path in _below(storage.path(prefix))):
        with suppress(FileNotFoundError):
            facts = path.lstat()
            if not stat.S_ISDIR(facts.st_mode):
                names = left.get((facts.st_dev, facts.st_ino), (facts.st_nlink, 0))[0]
                left[facts.st_dev, facts.st_ino] = names - 1, facts.st_size
    return sum(size for names, size in left.values() if names <= 0)


def _below(place: Path) -> Iterator[Path]:
    """Yield a file, or all that is in a folder and then the folder itself."""
    if place.is_symlink() or not place.is_dir():
        yield place
        return
    for folder, folders, files in os.walk(place, topdown=False):
        yield from (Path(folder, name) for name in files)
        yield from (path for path in (Path(folder, name) for name in folders) if path.is_symlink())
        yield Path(folder)


def _unlink(path: Path) -> int:
    try:
        facts = path.lstat()
        if stat.S_ISDIR(facts.st_mode):
            path.rmdir()
            return 0
        path.unlink()
        return facts.st_size if facts.st_nlink == 1 else 0
    except FileNotFoundError:
        return 0
    except OSError as error:
        if error.errno == errno.ENOTEMPTY:  # somebody has written into it since: the next removal will find it
            return 0
        raise
