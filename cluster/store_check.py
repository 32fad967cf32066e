"""Whether a store keeps the promise on which locks, leases and markers rest: what was created is not created again."""

from __future__ import annotations

import uuid

from cluster.storage import Storage, StorageError


def check_create(storage: Storage) -> None:
    """Make sure that only one can win a ``create``: four requests, and nothing is left; of a disk it is known.

    Raises:
        StorageError: the store overwrites what is there (it does not obey ``If-None-Match``), or cannot be used.
        FileNotFoundError: there is no such bucket.
    """
    if storage.is_local:
        return
    key = f"probe-{uuid.uuid4().hex}.json"
    storage.create(key, b"first")
    try:
        overwritten = storage.create(key, b"second")
    finally:
        storage.delete(key)
    if overwritten:
        raise StorageError(
            f"{storage.url} overwrites objects that may be created only once: it does not obey conditional puts "
            "(If-None-Match: *), on which locks and markers rest; use a store that does (AWS S3, Google Cloud Storage, "
            "a current MinIO), or a local folder"
        )
