"""What a killed process left half written in a run's folder, and its removal."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cluster.storage import Storage
from jobs.estimate import format_bytes

PARTIAL = re.compile(r"\.partial-[0-9a-f]{32}$|#\d+$")
"""Names of files written beside their place: of zarr shards (`tiler.stores`), of objects (`cluster.storage`)."""
OLD_S = 120.0
"""A file that was touched later may have a writer: another run that joined, a worker that was thought dead."""

logger = logging.getLogger(__name__)


def sweep_partial(storage: Storage, old_s: float = OLD_S) -> int:
    """Remove half-written files below a folder on a disk; return how many. Object stores have none.

    How old a file is is told by the clock of the disk that it lies on.
    """
    if not storage.is_local or not storage.path().is_dir():
        return 0
    with tempfile.NamedTemporaryFile(dir=storage.path()) as now:
        latest_s = os.stat(now.name).st_mtime - old_s
    count = size = 0
    for path in _files(storage.path()):
        try:
            facts = path.stat()
            if PARTIAL.search(path.name) and facts.st_mtime < latest_s:
                path.unlink()
                count, size = count + 1, size + facts.st_size
        except FileNotFoundError:  # its writer was alive
            continue
    if count:
        logger.info("removed %d half-written files, %s", count, format_bytes(size), extra={"event": "sweep"})
    return count


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        for name in names:
            yield Path(place, name)
