"""What a killed process left half written in a run's folder, and its removal."""

from __future__ import annotations

import logging
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cluster.storage import Storage
from jobs.estimate import format_bytes

PARTIAL = re.compile(r"\.partial-[0-9a-f]{32}$|#\d+$")
"""Names of files written beside their place: of zarr shards (`tiler.stores`), of objects (`cluster.storage`)."""
SCRATCH = re.compile(r"^\..+\.tif\.[a-z0-9_]{8}$")
"""Names of folders in which rasters are made, beside their place (`tiler.cog`)."""
OLD_S = 120.0
"""A file that was touched later may have a writer: another run that joined, a worker that was thought dead."""

logger = logging.getLogger(__name__)


def sweep_partial(storage: Storage, old_s: float = OLD_S) -> int:
    """Remove what is half written below a folder on a disk; return how much. Object stores have nothing of the kind.

    How old a file is is told by the clock of the disk that it lies on.
    """
    if not storage.is_local or not storage.path().is_dir():
        return 0
    with tempfile.NamedTemporaryFile(dir=storage.path()) as now:
        latest_s = os.stat(now.name).st_mtime - old_s
    count = size = 0
    for path in _half_written(storage.path()):
        facts = _facts(path)
        if facts and all(one.st_mtime < latest_s for one in facts):
            _remove(path)
            count, size = count + 1, size + sum(one.st_size for one in facts if stat.S_ISREG(one.st_mode))
    if count:
        logger.info("removed %d half-written files, %s", count, format_bytes(size), extra={"event": "sweep"})
    return count


def remove_scratch(folder: Path) -> None:
    """Remove at once what killed writers of rasters left below a folder, for who knows that nobody writes there."""
    for path in _half_written(folder):
        if SCRATCH.match(path.name):
            _remove(path)


def _half_written(root: Path) -> Iterator[Path]:
    """Yield files, and folders that are scratch as a whole."""
    for place, folders, files in os.walk(root):
        scratch = [name for name in folders if SCRATCH.match(name)]
        folders[:] = [name for name in folders if name not in scratch]
        yield from (Path(place, name) for name in (*scratch, *filter(PARTIAL.search, files)))


def _facts(path: Path) -> list[os.stat_result]:
    """Return the facts of a file, or of a folder and the files in it; none where its writer is alive, and they go."""
    try:
        return [one.stat() for one in (path, *(path.iterdir() if path.is_dir() else ()))]
    except FileNotFoundError:
        return []


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
