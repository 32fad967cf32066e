"""One folder on a disk or in an object store: whole objects in, whole objects out, and a put that only one can win."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, NotSupportedError, PreconditionError

REMOTE_SCHEMES = ("s3", "gs")
"""Object stores that are understood; everything without a scheme is a path."""

# '#' is how the local store names its half-written files, and hides every name that looks like one; the others are
# percent-encoded by some stores and not by others, so a key would not come back as it went in.
_ODD = re.compile(r"[\x00-\x1f\x7f\\#%{}^`\"<>|*?\[\]~]")


class StorageError(OSError):
    """A put, get, list or delete that failed for a reason other than a missing object."""


@dataclass(frozen=True)
class Storage:
    """A folder given as a path, ``s3://bucket/prefix`` or ``gs://bucket/prefix``; small, picklable, thread-safe.

    Credentials, region and endpoint of object stores come from the usual environment (``AWS_ACCESS_KEY_ID``,
    ``AWS_ENDPOINT_URL``, ``AWS_ALLOW_HTTP``, ``GOOGLE_APPLICATION_CREDENTIALS``, ...) of the process that uses it.
    Keys are relative, ``/``-separated and made of ordinary characters; others raise ``ValueError``.
    """

    url: str
    """The folder: an absolute path, or ``scheme://bucket/prefix`` without a slash at the end."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", _normal_url(self.url))

    @property
    def is_local(self) -> bool:
        """Whether the folder is on a file system of this machine."""
        return "://" not in self.url

    def path(self, key: str = "") -> Path:
        """Where a key lies on disk; raises ``ValueError`` for an object store, which has no paths."""
        if not self.is_local:
            raise ValueError(f"asked for a path in {self.url}, which is an object store; use get() or a local folder")
        return Path(self.url, _checked(key)) if key else Path(self.url)

    def child(self, prefix: str) -> Storage:
        """The folder ``prefix`` inside this one."""
        return Storage(f"{self.url}/{_checked(prefix)}")

    def put(self, key: str, data: bytes) -> None:
        """Write a whole object, making parents as needed; readers see the old one or the new one, never a half.

        On a disk it is there after a power cut, too: written beside, flushed, renamed.
        """
        with self._errors("write", key):
            if self.is_local:
                with _beside(self.path(key)) as half:
                    _write(half, data)
                    os.replace(half, self.path(key))
            else:
                obstore.put(self._store(), _checked(key), data)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object if there is none; ``False``, and nothing written, where one existed (first one wins).

        Where an object store holds these very bytes it was this call that wrote them: its first answer was lost, and
        the client asked again. Writers who must know who won say in their bytes who they are.

        Raises ``StorageError`` where the store says that it cannot promise this, and on disks without hard links. Some
        S3 look-alikes do not say so: ``cluster.store_check``.
        """
        with self._errors("create", key):
            try:
                if self.is_local:
                    with _beside(self.path(key)) as half:
                        _write(half, data)
                        os.link(half, self.path(key))  # refuses a name that is taken, which a rename does not
                else:
                    obstore.put(self._store(), _checked(key), data, mode="create")
            except FileExistsError:
                return False
            except (AlreadyExistsError, PreconditionError):
                with contextlib.suppress(FileNotFoundError, NotFoundError):
                    return bytes(obstore.get(self._store(), _checked(key)).bytes()) == data
                return False
        return True

    def put_file(self, key: str, local_path: Path, move: bool = False) -> None:
        """Write an object from a file, streaming; with ``move`` the file is given up (a rename if it can be)."""
        if self.is_local:
            self._put_local_file(self.path(key), Path(local_path), move)
            return
        with self._errors("upload", key):
            obstore.put(self._store(), _checked(key), Path(local_path))
        if move:
            Path(local_path).unlink()

    def get(self, key: str) -> bytes:
        """Read a whole object; raises ``FileNotFoundError`` where there is none."""
        if not self._present():
            raise FileNotFoundError(f"asked for {key!r} in {self.url}; there is no such folder")
        with self._errors("read", key):
            return bytes(obstore.get(self._store(), _checked(key)).bytes())

    def get_file(self, key: str, local_path: Path) -> None:
        """Write an object to a new file, streaming; raises ``FileNotFoundError`` where there is none."""
        with self._errors("download", key), open(local_path, "xb") as file:
            file.writelines(obstore.get(self._store(), _checked(key)).stream())

    def exists(self, key: str) -> bool:
        """Whether an object (not a folder) of this key is there."""
        if not self._present():
            return False
        with self._errors("look up", key):
            try:
                obstore.head(self._store(), _checked(key))
            except (FileNotFoundError, NotFoundError):
                return False
        return True

    def size(self, key: str) -> int:
        """Bytes of an object, without reading it; raises ``FileNotFoundError`` where there is none."""
        if not self._present():
            raise FileNotFoundError(f"asked for {key!r} in {self.url}; there is no such folder")
        with self._errors("look up", key):
            return int(obstore.head(self._store(), _checked(key))["size"])

    def list(self, prefix: str = "") -> Iterator[str]:
        """Keys under the folder ``prefix`` (all of them without one), at any depth, in no order, from one listing."""
        if not self._present():
            return
        with self._errors("list", prefix):
            for batch in obstore.list(self._store(), _checked(prefix.rstrip("/")) if prefix else None):
                for item in batch:
                    yield str(item["path"])

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Keys under the folder ``prefix``, at any depth, each with the bytes of its object, from one listing."""
        if not self._present():
            return
        with self._errors("list", prefix):
            for batch in obstore.list(self._store(), _checked(prefix.rstrip("/"))):
                yield from ((str(item["path"]), int(item["size"])) for item in batch)

    def children(self, prefix: str = "") -> Iterator[str]:
        """Keys of the objects that lie in the folder ``prefix`` itself, not deeper, in no order, from one listing."""
        if not self._present():
            return
        with self._errors("list", prefix):
            found = obstore.list_with_delimiter(self._store(), _checked(prefix.rstrip("/")) if prefix else None)
            yield from (str(item["path"]) for item in found["objects"])

    def copy(self, key: str, to: str) -> None:
        """Give an object a second key; nothing happens where there is none.

        On a disk both are names of one file, if the disk can do that: whoever replaces one leaves the other as it is.
        """
        with self._errors("copy", key), contextlib.suppress(FileNotFoundError, NotFoundError):
            if not self.is_local:
                obstore.copy(self._store(), _checked(key), _checked(to))
                return
            with _beside(self.path(to)) as half:
                try:
                    os.link(self.path(key), half)
                except FileNotFoundError:
                    return
                except OSError:  # a disk without hard links
                    shutil.copyfile(self.path(key), half)
                    flush(half)
                os.replace(half, self.path(to))

    def folders(self, prefix: str = "") -> Iterator[str]:
        """Names of the folders in the folder ``prefix``, in no order, from one listing."""
        if not self._present():
            return
        with self._errors("list", prefix):
            found = obstore.list_with_delimiter(self._store(), _checked(prefix.rstrip("/")) if prefix else None)
            yield from (str(path).rstrip("/").rpartition("/")[2] for path in found["common_prefixes"])

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        if not self._present():
            return
        with self._errors("delete", key), contextlib.suppress(FileNotFoundError, NotFoundError):
            obstore.delete(self._store(), _checked(key))

    def _present(self) -> bool:
        # A local store opens only folders that exist, and to read must not make one.
        return not self.is_local or os.path.isdir(self.url)

    def _store(self) -> Any:
        if self.is_local:
            os.makedirs(self.url, exist_ok=True)
        return _open_store(self.url)

    def _put_local_file(self, target: Path, source: Path, move: bool) -> None:
        with self._errors("write", target.name):
            target.parent.mkdir(parents=True, exist_ok=True)
            if move:
                with contextlib.suppress(OSError):  # another file system: copy instead
                    flush(source)
                    os.replace(source, target)
                    flush(target.parent)
                    return
            with _beside(target) as half:
                shutil.copyfile(source, half)
                flush(half)
                os.replace(half, target)
            if move:
                source.unlink()

    @contextlib.contextmanager
    def _errors(self, verb: str, key: str) -> Iterator[None]:
        place = f"{self.url}/{key}"
        try:
            yield
        except (FileNotFoundError, NotFoundError) as error:
            raise FileNotFoundError(f"asked to {verb} {place}; found {_first_line(error)}") from error
        except NotSupportedError as error:
            raise StorageError(
                f"asked to {verb} {place}; this store does not support it ({_first_line(error)}); choose another store"
            ) from error
        except (BaseError, OSError) as error:
            raise StorageError(
                f"asked to {verb} {place}; found {_first_line(error)}; "
                "check that the place exists, has room, and that this user may write there"
            ) from error


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk, and would be there after a power cut."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Give a name to write to, beside a file that must be whole or absent; what is left there at the end is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # The tail '#<digits>' is what the local store hides from listings, so litter of a kill is not an object.
    half = target.with_name(f"{target.name}#{uuid.uuid4().int}")
    try:
        yield half
        flush(target.parent)
    finally:
        half.unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _first_line(error: BaseException) -> str:
    # obstore appends a Rust debug dump after the sentence that says what happened.
    return next(iter(str(error).splitlines()), type(error).__name__)


def _normal_url(url: str) -> str:
    scheme, separator, rest = str(url).partition("://")
    if not separator:
        return os.path.abspath(os.path.expanduser(url))
    if scheme == "file":
        return os.path.abspath(rest)
    if scheme not in REMOTE_SCHEMES:
        raise ValueError(f"asked for storage at {url!r}; known are paths and {'://, '.join(REMOTE_SCHEMES)}://")
    return f"{scheme}://{rest.strip('/')}"


def _checked(key: str) -> str:
    odd = _ODD.search(key)
    parts = key.split("/")
    if odd or any(part in ("", ".", "..") for part in parts):
        what = f"the character {odd.group()!r}" if odd else "an empty or dotted part"
        raise ValueError(f"storage key {key!r} has {what}; use letters, digits, '-_.=' between single slashes")
    return key


@functools.lru_cache(maxsize=64)
def _open_store(url: str) -> Any:
    """The obstore client of a folder, kept because a client holds connections and is safe to share among threads."""
    from obstore.store import LocalStore, from_url

    return from_url(url) if "://" in url else LocalStore(url)
