"""Which raster files a path, a glob, a folder or an address means."""

from __future__ import annotations

import fnmatch
import glob
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tiler.rasters import DRIVERS, STORES, ZIPPED
from tiler.remote import reached, remote
from tiler.sources import is_printable


def expand(patterns: str | Sequence[str]) -> list[str]:
    """Return the files that paths, globs or folders mean, sorted; `s3://` and `gs://` patterns list the bucket.

    A folder means the raster files in it (not below it). Nothing found gives an empty list.

    Raises:
        ValueError: a name that is not UTF-8 or holds control characters: it would break every list that names it.
    """
    found: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        if "://" in pattern:
            found |= set(_expand_remote(pattern))
        elif Path(pattern).is_dir():
            found |= {str(p) for p in Path(pattern).iterdir() if p.suffix.lower() in DRIVERS}
        else:
            found |= set(glob.glob(pattern)) | ({pattern} if pattern.startswith(ZIPPED) else set())
    odd = sorted(name for name in found if not is_printable(name))
    if odd:
        raise ValueError(f"{odd[0]!r} is not UTF-8 or holds control characters; rename the file")
    return sorted(found)


def _expand_remote(pattern: str) -> list[str]:
    if not re.search(r"[*?\[]", pattern) and PurePosixPath(pattern).suffix.lower() in DRIVERS:
        return [pattern]
    if not pattern.startswith(STORES):
        raise ValueError(
            f"{pattern!r} names no raster file; a web host lists nothing: name each file ({sorted(DRIVERS)})"
        )
    scheme, rest = pattern.split("://", 1)
    bucket, _, key = rest.partition("/")
    prefix = re.split(r"[*?\[]", key)[0].rpartition("/")[0] if re.search(r"[*?\[]", key) else key.rstrip("/")
    wanted = key if prefix != key.rstrip("/") else f"{prefix}/*"
    with reached(pattern):
        listed = list(remote(f"{scheme}://{bucket}").list(prefix or None))
    keys = (entry["path"] for batch in listed for entry in batch)
    return [
        f"{scheme}://{bucket}/{k}" for k in keys if fnmatch.fnmatchcase(k, wanted) and Path(k).suffix.lower() in DRIVERS
    ]
