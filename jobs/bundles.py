"""Reading bundles from wherever they lie."""

from __future__ import annotations

from collections.abc import Iterable

from cluster.storage import Storage

FILES = ("card.json", "weights.safetensors")
"""What networks are made of; a bundle's folder may hold more."""


def read_bundles(folders: Iterable[str]) -> list[dict[str, bytes]]:
    """Return the files of bundles by name.

    Raises:
        FileNotFoundError: one is missing.
    """
    return [{name: Storage(folder).get(name) for name in FILES} for folder in folders]
