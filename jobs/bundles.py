"""Reading bundles from wherever they lie."""

from __future__ import annotations

from collections.abc import Iterable

from cluster.storage import Storage
from models.card import CARD_FILE, LARGEST_BYTES, WEIGHTS_FILE, Card, read_card

FILES = (CARD_FILE, WEIGHTS_FILE)
"""What networks are made of; a bundle's folder may hold more."""


def read_bundles(folders: Iterable[str]) -> list[dict[str, bytes]]:
    """Return the files of bundles by name.

    Raises:
        FileNotFoundError: one is missing.
    """
    return [{name: Storage(folder).get(name) for name in FILES} for folder in folders]


def card_of(folder: str) -> Card:
    """Return the card of a bundle.

    Raises:
        ValueError: there is none, or it is not what a card is.
    """
    storage = Storage(folder)
    if not storage.exists(CARD_FILE):
        raise ValueError(
            f"models: no bundle at {folder} ({CARD_FILE} is missing); train it first: sandan train RECIPE.yaml"
        )
    size = storage.size(CARD_FILE)
    if size > LARGEST_BYTES:
        raise ValueError(f"models: the card of {folder} has {size} bytes, no card is that large; copy the bundle again")
    try:
        return read_card(storage.get(CARD_FILE))
    except ValueError as error:
        raise ValueError(f"models: {folder}: {error}") from error
